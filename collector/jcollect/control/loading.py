"""Loads the agent into a running JVM, or reports why it cannot."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable

from jcollect import __version__
from jcollect.console import status
from jcollect.control.bounded_child import BlockedError, run_bounded
from jcollect.control.handshake import open_attach_socket
from jcollect.control.jar import DeliveredJar, delivered_jar
from jcollect.control.jdk import find_libjvm
from jcollect.control.refusal import cannot_load, cannot_start_thread, exited_instead
from jcollect.control.standard_error import would_block
from jcollect.errors import JcollectError
from jcollect.printable import printable
from jcollect.procfs.identity import can_become
from jcollect.procfs.jvm import describe_jvm
from jcollect.procfs.maps import read_maps
from jcollect.procfs.process import Process

LOADING_SECONDS = 30.0

# Inherits nothing, because a JVM obeys JAVA_TOOL_OPTIONS, and the dynamic linker LD_LIBRARY_PATH.
_ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}
_MAX_SHOWN = 500

# Killed processes that have not ended, by the PID of the target that blocks them.
_blocked: dict[int, subprocess.Popen[bytes]] = {}


def load_agent(
    process: Process, seconds: float = LOADING_SECONDS, say: Callable[[str], None] = status
) -> None:
    """Loads the agent with its gateway on; an agent that runs there already turns its gateway on. `say` gets
    a line if that takes long.

    Raises JcollectError if the JVM or the agent refuses, or if that takes longer than `seconds`, and
    NoThreadsError if it would end the JVM.
    """
    deadline = time.monotonic() + seconds
    _check_not_blocked(process)
    libjvm = find_libjvm()
    try:
        _check_takes_agents(process)
        _open_socket(process, deadline)
        with delivered_jar(process, deadline) as delivered:
            answer = _attach(process, str(libjvm), delivered, deadline, say)
            if answer.startswith("spared: "):
                raise cannot_start_thread(process, answer.removeprefix("spared: "))
            if answer.startswith("unfit: "):
                raise cannot_load(process, answer.removeprefix("unfit: "))
            if answer != "loaded":
                raise cannot_load(process, _advice(answer.removeprefix("refused: ")))
            _check_report(process, delivered)
    except JcollectError as error:
        # The cause of any error, because files below /proc/PID are missing then.
        raise exited_instead(process, error) from None
    except TimeoutError:
        raise cannot_load(
            process,
            "its file system did not answer in time; a FUSE server may hang: see what is mounted on its /tmp",
        ) from None


def _open_socket(process: Process, deadline: float) -> None:
    try:
        open_attach_socket(process, deadline)
    except TimeoutError:
        raise
    except ProcessLookupError:
        raise process.exited() from None
    except OSError as error:
        raise cannot_load(process, f"its /tmp cannot be used: {error.strerror}") from None


def _attach(
    process: Process, libjvm: str, delivered: DeliveredJar, deadline: float, say: Callable[[str], None]
) -> str:
    """Returns the line that attach_agent.py prints."""
    options = f"control=on,version={__version__},report={delivered.report}"
    arguments = (os.getpid(), libjvm, process.pid, process.pidfd, *process.user, delivered.jar, options)
    # Excludes the current directory and Python's variables.
    program = (sys.executable, "-P", "-E", "-m", "jcollect.control.attach_agent")
    seconds = max(1.0, deadline - time.monotonic())
    try:
        result = run_bounded(
            [*program, *map(str, arguments)],
            seconds,
            _ENVIRONMENT,
            descriptors=(process.pidfd,),
            on_slow=lambda: say(f"loading the agent into PID {process.pid} ..."),
        )
    except BlockedError as error:
        if error.child.poll() is None:
            _blocked[process.pid] = error.child
        raise cannot_load(
            process,
            "it did not answer the attach request in time; it may be stopped or busy, and may still load the "
            f"agent. Check with: jcollect status {process.pid}",
        ) from None
    lines = result.output.splitlines()
    if result.code != 0 or not lines:
        said = [line for line in result.errors.splitlines() if line.strip(" #")]
        if not said and resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY:
            raise cannot_load(
                process,
                "the Java runtime that jcollect starts to attach has ended without a message, probably for "
                "lack of address space: raise ulimit -v to 2.5 GB, or remove the limit",
            )
        trouble = (said or ["no message"])[-1]
        raise cannot_load(process, f"attaching ended with code {result.code}: {_excerpt(trouble)}")
    return _excerpt(lines[-1])


def _check_not_blocked(process: Process) -> None:
    child = _blocked.get(process.pid)
    if child is None:
        return
    if child.poll() is None:
        raise cannot_load(
            process,
            f"an earlier attempt is blocked by the target's file system, and its process {child.pid} cannot "
            f"be killed; see cat /proc/{child.pid}/stack, or end the target",
        )
    del _blocked[process.pid]


def _excerpt(text: str) -> str:
    """Returns a text of the target, shortened and made printable."""
    return printable(text[:_MAX_SHOWN])


def _check_takes_agents(process: Process) -> None:
    if not can_become(process.user):
        raise cannot_load(
            process,
            f"it belongs to user {process.user.uid}, and jcollect runs as user {os.geteuid()} without "
            "CAP_SETUID and CAP_SETGID; run with sudo",
        )
    try:
        mappings = read_maps(process)
    except PermissionError:
        raise cannot_load(process, "reading its memory map needs CAP_SYS_PTRACE; run with sudo") from None
    except TimeoutError:
        raise
    except OSError:
        raise process.exited() from None
    names = {os.path.basename(mapping.path) for mapping in mappings}
    if any(name.startswith("libj9vm") for name in names):
        raise cannot_load(process, "it is an OpenJ9 JVM, and the agent needs HotSpot")
    if "libjvm.so" not in names:
        raise cannot_load(
            process, "it is not a JVM: it has no libjvm.so mapped; give the PID of a java process"
        )
    if process.is_stopped():
        raise cannot_load(process, f"it is stopped; resume it first: kill -CONT {process.pid}")
    jvm = describe_jvm(process, mappings)
    if not jvm.is_attachable:
        # The signal that begins the handshake would make it print its threads.
        raise cannot_load(
            process,
            "the JVM reports: The VM does not support the attach mechanism; it was started with "
            "-XX:+DisableAttachMechanism",
        )
    if would_block(process, jvm):
        raise cannot_load(
            process,
            "its standard error is a full pipe that no process reads, and the JVM would wait forever to "
            "print its warning about agents (JEP 451) there; read it, or start the program with "
            "-XX:+EnableDynamicAgentLoading",
        )


def _check_report(process: Process, delivered: DeliveredJar) -> None:
    report = _excerpt(delivered.read_report())
    if not report:
        raise cannot_load(
            process, "the agent was started and has not reported the result; see the program's stderr"
        )
    if report != "ok":
        raise cannot_load(process, report)


def _advice(refusal: str) -> str:
    """Returns the JVM's message, with advice if it is a known one."""
    if "EnableDynamicAgentLoading" in refusal:
        return f"the JVM reports: {refusal} (JEP 451); or start it with -javaagent:jprobe.jar"
    return f"the JVM reports: {refusal}"
