"""Makes a JVM open its attach socket, or reports why it is not asked to.

Everything in the JVM's /tmp is done apart (attach_socket.py), with the rights of the JVM's user.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable

from jcollect.control import attach_socket
from jcollect.control.refusal import cannot_load, cannot_start_thread
from jcollect.control.thread_limit import thread_shortage
from jcollect.procfs.apart import apart
from jcollect.procfs.identity import Identity
from jcollect.procfs.process import Process

# Maximum time for the JVM to open its socket, within the time that the caller allows.
_SECONDS = 10.0
# A file system that works answers within this time, even on a loaded machine.
_PATIENCE_SECONDS = 2.0
_POLL_SECONDS = 0.05


def open_attach_socket(process: Process, deadline: float) -> None:
    """Returns when the socket is there.

    Raises JcollectError, and of these NoThreadsError if attaching would end the JVM. Raises TimeoutError if
    the target's file system does not answer before the deadline (monotonic clock), and OSError if its /tmp
    cannot be used.
    """
    if _remove_stale_socket(process, deadline):
        return
    _wait_until_it_catches_quit(process, deadline)
    if _find(process, deadline):
        return
    shortage = thread_shortage(process)
    if shortage:
        raise cannot_start_thread(process, shortage)
    _request(process, deadline)


def _remove_stale_socket(process: Process, deadline: float) -> bool:
    """Removes the attach socket of a killed JVM that had the target's PID.

    Tools would confuse it with the target's. The target removes it when it starts, unless it is another
    user's file in /tmp. So this runs as the socket's owner, but only if the target's /tmp is that of
    jcollect: elsewhere the target could choose whose rights are used, and on which file. Returns true if a
    process serves the socket.
    """
    owner = _find(process, deadline)
    if not owner:
        return False
    with contextlib.suppress(FileNotFoundError):  # The file was removed in between.
        if owner == str(process.user.uid):
            _apart(process, deadline, attach_socket.clear)
        else:
            _clear_others(process, int(owner))
    return bool(_find(process, deadline))


def _clear_others(process: Process, owner: int) -> None:
    try:
        apart(
            process,
            attach_socket.clear_in_ours,
            process.pid,
            process.inner_pid,
            seconds=_PATIENCE_SECONDS,
            user=Identity(owner, os.getegid()),
            # This user can stop the child that removes the socket.
            charged=owner,
        )
    except (PermissionError, TimeoutError):
        why = "left behind by an earlier process of that PID and another user"
        raise _in_the_way(process, attach_socket.socket_name(process.inner_pid), why) from None


def _find(process: Process, deadline: float) -> str:
    """Returns the owner of the attach socket; empty if there is none."""
    found = _apart(process, deadline, attach_socket.find)
    if found == attach_socket.READ_ONLY:
        raise cannot_load(process, "attaching requires a socket in its /tmp, and its /tmp is read-only")
    if found == attach_socket.OTHER:
        raise _in_the_way(process, attach_socket.socket_name(process.inner_pid), "which is not a socket")
    return found.decode()


def _wait_until_it_catches_quit(process: Process, deadline: float) -> None:
    """Waits until the JVM catches SIGQUIT, which begins the handshake and would otherwise kill it."""
    while not process.catches_quit():
        if time.monotonic() > deadline:
            raise cannot_load(
                process,
                "it does not catch SIGQUIT, the signal that starts attaching and would end this JVM; "
                "it may have been started with -Xrs and -XX:+DisableAttachMechanism",
            )
        if _find(process, deadline):
            return
        time.sleep(_POLL_SECONDS)


def _request(process: Process, deadline: float) -> None:
    seconds = max(0.0, min(_SECONDS, deadline - time.monotonic()))
    asked = (process.user.uid, process.start_time, seconds)
    answer = _apart(
        process,
        time.monotonic() + seconds + _PATIENCE_SECONDS,
        attach_socket.request,
        *asked,
        descriptors=(process.pidfd,),
    )
    if answer == attach_socket.CHANGED:
        raise cannot_load(process, "it has executed another program or changed its user; try again")
    if answer == attach_socket.IN_THE_WAY:
        raise _in_the_way(process, attach_socket.file_name(process.inner_pid), "another user's")
    if answer != attach_socket.OPENED:
        raise cannot_load(
            process,
            f"it has not opened its attach socket within {seconds:.0f} s; it may be stopped or busy, "
            "or may have been started with -XX:+DisableAttachMechanism; try again, or start it with "
            "-javaagent:jprobe.jar",
        )


def _apart(
    process: Process,
    deadline: float,
    function: Callable[..., bytes],
    *arguments: object,
    user: Identity | None = None,
    descriptors: tuple[int, ...] = (),
) -> bytes:
    return apart(
        process,
        function,
        process.pid,
        process.inner_pid,
        *arguments,
        seconds=max(_PATIENCE_SECONDS, deadline - time.monotonic()),
        user=user or process.user,
        descriptors=descriptors,
    ).content


def _in_the_way(process: Process, name: str, why: str) -> Exception:
    return cannot_load(
        process,
        f"/tmp/{name}, {why}, is in the way; remove it: sudo rm -r /proc/{process.pid}/root/tmp/{name}",
    )
