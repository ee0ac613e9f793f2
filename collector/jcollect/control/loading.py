"""Loads the agent into a running JVM, or says why that JVM does not take it."""

from __future__ import annotations

import os
import subprocess
import sys
import time

from jcollect import __version__
from jcollect.control.inside import open_directory
from jcollect.control.jar import DeliveredJar, delivered_jar
from jcollect.control.jdk import find_libjvm
from jcollect.control.standard_error import would_wait
from jcollect.control.target import Target, read_target
from jcollect.control.thread_limit import thread_shortage
from jcollect.discovery.maps import read_maps
from jcollect.errors import JcollectError
from jcollect.unix_sockets import is_dead

LOADING_SECONDS = 30.0

# Of those seconds, what the JVM may take to open its attach socket.
_HANDSHAKE_SECONDS = 10.0
_POLL_SECONDS = 0.02


class NoThreadsError(JcollectError):
    """The JVM was not asked to be attached to, because it would have ended: it can start no thread."""


def load_agent(pid: int, seconds: float = LOADING_SECONDS) -> None:
    """Loads the agent, its gateway on; an agent that runs there already turns its gateway on.

    Raises JcollectError when the JVM or the agent refuses, or when that takes longer than `seconds`, and
    NoThreadsError when it would end the JVM.
    """
    target = read_target(pid)
    libjvm = find_libjvm()
    _check_takes_agents(target)
    deadline = time.monotonic() + seconds
    _wait_until_ready(target, deadline)
    with delivered_jar(target) as delivered:
        options = f"control=on,version={__version__},report={delivered.report}"
        place = (libjvm, pid, target.attach_socket)
        command = (*place, target.uid, target.gid, delivered.jar, options, _HANDSHAKE_SECONDS)
        answer = _attach(target, [str(part) for part in command], deadline)
        if answer.startswith("spared: "):
            raise NoThreadsError(str(_cannot_load(target, answer.removeprefix("spared: "))))
        if answer != "loaded":
            raise _cannot_load(target, _advice(answer.removeprefix("refused: ")))
        _check_report(target, delivered)


def _attach(target: Target, command: list[str], deadline: float) -> str:
    """What attach_agent.py says."""
    try:
        result = subprocess.run(
            [sys.executable, "-P", "-m", "jcollect.control.attach_agent", *command],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=max(1.0, deadline - time.monotonic()),
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise _cannot_load(
            target,
            "it has let the attach mechanism wait for too long; it may be stopped, or very busy. "
            f"It may load the agent yet; look with: jcollect status {target.pid}",
        ) from None
    lines = result.stdout.splitlines()
    if result.returncode != 0 or not lines:
        trouble = (result.stderr.splitlines() or ["no word"])[-1]
        raise _cannot_load(target, f"attaching ended with code {result.returncode}: {trouble}")
    return lines[-1]


def _check_takes_agents(target: Target) -> None:
    pid = target.pid
    own = os.geteuid()
    if own not in (0, target.uid):
        raise _cannot_load(target, f"it belongs to user {target.uid}, and we are user {own}; run with sudo")
    try:
        mappings = read_maps(pid)
    except PermissionError:
        raise _cannot_load(target, "needs CAP_SYS_PTRACE to see what it is; run with sudo") from None
    except OSError:
        raise JcollectError(f"PID {pid} has exited") from None
    names = {os.path.basename(mapping.path) for mapping in mappings}
    if any(name.startswith("libj9vm") for name in names):
        raise _cannot_load(target, "it is an OpenJ9 JVM, and the agent needs HotSpot")
    if "libjvm.so" not in names:
        raise _cannot_load(
            target, "it is not a JVM: it has no libjvm.so mapped; give the PID of a java process"
        )
    if target.is_stopped:
        raise _cannot_load(target, f"it is stopped; let it go on first: kill -CONT {pid}")
    if would_wait(pid, mappings):
        raise _cannot_load(
            target,
            "nobody reads its standard error, which is full, and the JVM would wait there for ever with its "
            "warning about agents (JEP 451); read it, or start the program with "
            "-XX:+EnableDynamicAgentLoading",
        )


def _wait_until_ready(target: Target, deadline: float) -> None:
    """Until SIGQUIT, with which attaching begins, is safe.

    A JVM that does not catch it would die of it, and so would one that can start no thread.
    """
    socket = target.attach_socket
    _clear_the_way(target)
    if os.path.exists(socket):
        return
    if _has_read_only_tmp(target):
        raise _cannot_load(target, "a JVM is attached to by a socket in /tmp, and its /tmp is read-only")
    while not (read_target(target.pid).catches_quit or os.path.exists(socket)):
        if time.monotonic() > deadline:
            raise _cannot_load(
                target,
                "it does not catch SIGQUIT, which asks a JVM to be attached to and would end this one; "
                "was it started with -Xrs and -XX:+DisableAttachMechanism?",
            )
        time.sleep(_POLL_SECONDS)
    # attach_agent.py looks again. Most JVMs are spared without starting another one.
    shortage = thread_shortage(target.pid)
    if shortage and not os.path.exists(socket):
        raise NoThreadsError(str(_cannot_load(target, shortage)))


def _clear_the_way(target: Target) -> None:
    """Removes the attach socket of a JVM that was killed, and that had the target's PID before.

    It would be taken for the target's. The target removes it when it starts, where it may: the file of
    another user in /tmp it may not.
    """
    name = os.path.basename(target.attach_socket)
    try:
        tmp = open_directory(target.pid, "/tmp")
    except OSError:
        return  # The JVM's own words for it are better.
    try:
        if is_dead(f"/proc/self/fd/{tmp}/{name}"):
            os.unlink(name, dir_fd=tmp)
    except PermissionError:
        raise _cannot_load(
            target,
            f"/tmp/{name}, left behind by an earlier process of that PID and another user, is in the way; "
            f"remove it: sudo rm /proc/{target.pid}/root/tmp/{name}",
        ) from None
    except OSError:
        return  # There is none, or what is there is no socket.
    finally:
        os.close(tmp)


def _has_read_only_tmp(target: Target) -> bool:
    try:
        return bool(os.statvfs(f"/proc/{target.pid}/root/tmp").f_flag & os.ST_RDONLY)
    except OSError:
        return False


def _check_report(target: Target, delivered: DeliveredJar) -> None:
    report = delivered.read_report()
    if not report:
        raise _cannot_load(
            target, "the agent was started and has not said how it went; see the program's stderr"
        )
    if report != "ok":
        raise _cannot_load(target, report)


def _advice(refusal: str) -> str:
    """The JVM's own words, and what to do about those that are known."""
    if "EnableDynamicAgentLoading" in refusal:
        return f"the JVM says: {refusal} (JEP 451); or start it with -javaagent:jprobe.jar"
    if "does not support the attach mechanism" in refusal:
        return f"the JVM says: {refusal}; it was started with -XX:+DisableAttachMechanism"
    if "Unable to open socket file" in refusal:
        return f"the JVM says: {refusal}; was it started with -XX:+DisableAttachMechanism, or is it stopped?"
    return f"the JVM says: {refusal}"


def _cannot_load(target: Target, reason: str) -> JcollectError:
    return JcollectError(f"cannot load the agent into PID {target.pid}: {reason}")
