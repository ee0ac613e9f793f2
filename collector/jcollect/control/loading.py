"""Loads the agent into a running JVM, or says why that JVM does not take it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence

from jcollect import __version__
from jcollect.control.bounded_child import HeldUpError, run_bounded
from jcollect.control.handshake import open_attach_socket
from jcollect.control.jar import DeliveredJar, delivered_jar
from jcollect.control.jdk import find_libjvm
from jcollect.control.refusal import cannot_load, cannot_start_thread
from jcollect.control.standard_error import would_wait
from jcollect.control.target import Target, held, read_target
from jcollect.errors import JcollectError
from jcollect.printable import printable
from jcollect.procfs.identity import can_become
from jcollect.procfs.jvm import is_perfdata, perf_texts
from jcollect.procfs.maps import Mapping, read_maps

LOADING_SECONDS = 30.0

# Inherits nothing, because a JVM obeys JAVA_TOOL_OPTIONS, and the dynamic linker LD_LIBRARY_PATH.
_ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}
_MAX_TOLD = 500
_CAPABILITIES = "sun.rt.jvmCapabilities"

# Killed processes that have not ended, by the PID of the target that blocks them.
_held_up: dict[int, subprocess.Popen[bytes]] = {}


def load_agent(pid: int, seconds: float = LOADING_SECONDS) -> None:
    """Loads the agent, its gateway on; an agent that runs there already turns its gateway on.

    Raises JcollectError when the JVM or the agent refuses, or when that takes longer than `seconds`, and
    NoThreadsError when it would end the JVM.
    """
    deadline = time.monotonic() + seconds
    target = read_target(pid)
    _check_not_held_up(target)
    libjvm = find_libjvm()
    with held(target) as process:
        try:
            _check_takes_agents(target)
            _open_socket(target, process, deadline)
            with delivered_jar(target, deadline) as delivered:
                answer = _attach(target, str(libjvm), delivered, deadline)
                if answer.startswith("spared: "):
                    raise cannot_start_thread(target, answer.removeprefix("spared: "))
                if answer.startswith("unfit: "):
                    raise cannot_load(target, answer.removeprefix("unfit: "))
                if answer != "loaded":
                    raise cannot_load(target, _advice(answer.removeprefix("refused: ")))
                _check_report(target, delivered)
        except TimeoutError:
            raise cannot_load(
                target,
                "its file system has let us wait for too long, as a FUSE server does that does not answer; "
                "see what is mounted on its /tmp",
            ) from None


def _open_socket(target: Target, process: int, deadline: float) -> None:
    try:
        open_attach_socket(target, process, deadline)
    except TimeoutError:
        raise
    except OSError as error:
        raise cannot_load(target, f"its /tmp cannot be used: {error.strerror}") from None


def _attach(target: Target, libjvm: str, delivered: DeliveredJar, deadline: float) -> str:
    """What attach_agent.py says."""
    options = f"control=on,version={__version__},report={delivered.report}"
    user = (target.user.uid, target.user.gid)
    arguments = (os.getpid(), libjvm, target.pid, *user, delivered.jar, options)
    # Excludes the current directory and Python's variables.
    program = (sys.executable, "-P", "-E", "-m", "jcollect.control.attach_agent")
    seconds = max(1.0, deadline - time.monotonic())
    try:
        result = run_bounded([*program, *map(str, arguments)], seconds, _ENVIRONMENT)
    except HeldUpError as error:
        if error.child.poll() is None:
            _held_up[target.pid] = error.child
        raise cannot_load(
            target,
            "it has let the attach mechanism wait for too long; it may be stopped, or very busy. "
            f"It may load the agent yet; look with: jcollect status {target.pid}",
        ) from None
    lines = result.output.splitlines()
    if result.code != 0 or not lines:
        said = [line for line in result.errors.splitlines() if line.strip(" #")]
        trouble = (said or ["no word"])[-1]
        raise cannot_load(target, f"attaching ended with code {result.code}: {_told(trouble)}")
    return _told(lines[-1])


def _check_not_held_up(target: Target) -> None:
    child = _held_up.get(target.pid)
    if child is None:
        return
    if child.poll() is None:
        raise cannot_load(
            target,
            f"the process {child.pid} of ours, which tried it before, cannot be ended because the target's "
            f"file system does not answer it; see cat /proc/{child.pid}/stack, or end the target",
        )
    del _held_up[target.pid]


def _told(text: str) -> str:
    """Returns a text that the target may have worded, made printable."""
    return printable(text[:_MAX_TOLD])


def _check_takes_agents(target: Target) -> None:
    pid = target.pid
    if not can_become(target.user):
        raise cannot_load(
            target,
            f"it belongs to user {target.user.uid}, and we are user {os.geteuid()} without CAP_SETUID and "
            "CAP_SETGID; run with sudo",
        )
    try:
        mappings = read_maps(pid)
    except PermissionError:
        raise cannot_load(target, "needs CAP_SYS_PTRACE to see what it is; run with sudo") from None
    except TimeoutError:
        raise
    except OSError:
        raise JcollectError(f"PID {pid} has exited") from None
    names = {os.path.basename(mapping.path) for mapping in mappings}
    if any(name.startswith("libj9vm") for name in names):
        raise cannot_load(target, "it is an OpenJ9 JVM, and the agent needs HotSpot")
    if "libjvm.so" not in names:
        raise cannot_load(
            target, "it is not a JVM: it has no libjvm.so mapped; give the PID of a java process"
        )
    if target.is_stopped:
        raise cannot_load(target, f"it is stopped; let it go on first: kill -CONT {pid}")
    if _takes_no_attaching(target, mappings):
        # The signal that begins the handshake would make it print its threads.
        raise cannot_load(
            target,
            "the JVM says: The VM does not support the attach mechanism; it was started with "
            "-XX:+DisableAttachMechanism",
        )
    if would_wait(target, mappings):
        raise cannot_load(
            target,
            "nobody reads its standard error, which is full, and the JVM would wait there for ever with its "
            "warning about agents (JEP 451); read it, or start the program with "
            "-XX:+EnableDynamicAgentLoading",
        )


def _takes_no_attaching(target: Target, mappings: Sequence[Mapping]) -> bool:
    """Returns true if the JVM cannot be attached to; false if that cannot be read. The first capability is
    attaching, as "0" or "1"."""
    perfdata = next((mapping for mapping in mappings if is_perfdata(mapping)), None)
    if perfdata is None:
        return False
    return perf_texts(target.pid, target.user, perfdata).get(_CAPABILITIES, "").startswith("0")


def _check_report(target: Target, delivered: DeliveredJar) -> None:
    report = _told(delivered.read_report())
    if not report:
        raise cannot_load(
            target, "the agent was started and has not said how it went; see the program's stderr"
        )
    if report != "ok":
        raise cannot_load(target, report)


def _advice(refusal: str) -> str:
    """The JVM's own words, and what to do about those that are known."""
    if "EnableDynamicAgentLoading" in refusal:
        return f"the JVM says: {refusal} (JEP 451); or start it with -javaagent:jprobe.jar"
    return f"the JVM says: {refusal}"
