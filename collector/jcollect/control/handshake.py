"""Makes a JVM open its attach socket, or says why it is not asked to.

Everything in the JVM's /tmp is done apart (attach_socket.py), with the rights of the JVM's user.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable

from jcollect.control import attach_socket
from jcollect.control.refusal import cannot_load, cannot_start_thread
from jcollect.control.target import Target, read_target
from jcollect.control.thread_limit import thread_shortage
from jcollect.procfs.apart import apart
from jcollect.procfs.identity import Identity

# Maximum time for the JVM to open its socket, within the time that the caller allows.
_SECONDS = 10.0
# A file system that works answers within this time, even on a loaded machine.
_PATIENCE_SECONDS = 2.0
_POLL_SECONDS = 0.05


def open_attach_socket(target: Target, process: int, deadline: float) -> None:
    """Returns when the socket is there. `process` is a pidfd of the target.

    Raises JcollectError, and of these NoThreadsError if attaching would end the JVM. Raises TimeoutError if
    the target's file system does not answer before the deadline (monotonic clock), and OSError if its /tmp
    cannot be used.
    """
    if _clear_the_way(target, deadline):
        return
    _wait_until_it_catches_quit(target, deadline)
    if _find(target, deadline):
        return
    shortage = thread_shortage(target.pid)
    if shortage:
        raise cannot_start_thread(target, shortage)
    _request(target, process, deadline)


def _clear_the_way(target: Target, deadline: float) -> bool:
    """Removes the attach socket of a killed JVM that had the target's PID.

    Tools would confuse it with the target's. The target removes it when it starts if it may, but it may not
    remove another user's file in /tmp. So this runs as the socket's owner, who may, if the target's /tmp is
    ours: elsewhere the target could choose whose rights are used, and on what. Returns true if there is a
    socket that is served.
    """
    owner = _find(target, deadline)
    if not owner:
        return False
    with contextlib.suppress(FileNotFoundError):  # The file was removed in between.
        if owner == str(target.user.uid):
            _apart(target, deadline, attach_socket.clear)
        else:
            _clear_others(target, int(owner))
    return bool(_find(target, deadline))


def _clear_others(target: Target, owner: int) -> None:
    try:
        apart(
            target.pid,
            attach_socket.clear_in_ours,
            target.pid,
            target.inner_pid,
            seconds=_PATIENCE_SECONDS,
            user=Identity(owner, os.getegid()),
            # This user can stop the child that removes the socket.
            charged=owner,
        )
    except (PermissionError, TimeoutError):
        raise _in_the_way(target, "left behind by an earlier process of that PID and another user") from None


def _find(target: Target, deadline: float) -> str:
    """Returns the owner of the attach socket; empty if there is none."""
    found = _apart(target, deadline, attach_socket.find)
    if found == attach_socket.READ_ONLY:
        raise cannot_load(target, "a JVM is attached to by a socket in /tmp, and its /tmp is read-only")
    if found == attach_socket.OTHER:
        raise _in_the_way(target, "which is no socket")
    return found.decode()


def _wait_until_it_catches_quit(target: Target, deadline: float) -> None:
    """Waits until the JVM catches SIGQUIT, which begins the handshake and would otherwise kill it."""
    while not read_target(target.pid).catches_quit:
        if time.monotonic() > deadline:
            raise cannot_load(
                target,
                "it does not catch SIGQUIT, which asks a JVM to be attached to and would end this one; "
                "was it started with -Xrs and -XX:+DisableAttachMechanism?",
            )
        if _find(target, deadline):
            return
        time.sleep(_POLL_SECONDS)


def _request(target: Target, process: int, deadline: float) -> None:
    seconds = max(0.0, min(_SECONDS, deadline - time.monotonic()))
    asked = (target.user.uid, target.start_time, seconds)
    answer = _apart(
        target,
        time.monotonic() + seconds + _PATIENCE_SECONDS,
        attach_socket.request,
        *asked,
        descriptors=(process,),
    )
    if answer == attach_socket.CHANGED:
        raise cannot_load(target, "it is no longer what it was a moment ago; try again")
    if answer != attach_socket.OPENED:
        raise cannot_load(
            target,
            f"it has not opened its attach socket within {seconds:.0f} s; it may be stopped, or very busy, "
            "or was started with -XX:+DisableAttachMechanism; try again, or start it with "
            "-javaagent:jprobe.jar",
        )


def _apart(
    target: Target,
    deadline: float,
    function: Callable[..., bytes],
    *arguments: object,
    user: Identity | None = None,
    descriptors: tuple[int, ...] = (),
) -> bytes:
    return apart(
        target.pid,
        function,
        target.pid,
        target.inner_pid,
        *arguments,
        seconds=max(_PATIENCE_SECONDS, deadline - time.monotonic()),
        user=user or target.user,
        descriptors=descriptors,
    ).content


def _in_the_way(target: Target, why: str) -> Exception:
    name = attach_socket.socket_name(target.inner_pid)
    return cannot_load(
        target,
        f"/tmp/{name}, {why}, is in the way; remove it: sudo rm /proc/{target.pid}/root/tmp/{name}",
    )
