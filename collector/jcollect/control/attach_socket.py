"""The attach socket of a JVM, and the handshake by which HotSpot opens it. Runs apart, as the JVM's user.

The JDK's attach API begins by creating .attach_pidN in the JVM's working directory and signaling a PID. This
module creates the file in /tmp, where HotSpot looks as well, and signals a process that is held (pidfd). The
API then finds a socket, creates no file and sends no signal.

Imports only the standard library and modules that do the same.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import socket
import stat
import struct
import time
from collections.abc import Iterator, Sequence

from jcollect.procfs.files import open_directory
from jcollect.procfs.status import check_alive, read_stat, read_status
from jcollect.unix_sockets import is_descriptor_dead

READ_ONLY, OTHER, OPENED, SILENT, CHANGED = b"read-only", b"other", b"opened", b"silent", b"changed"
IN_THE_WAY = b"in the way"
_TMP = "/tmp"
_POLL_SECONDS = 0.02
# Time for another tool to finish; after it, the tool was probably killed.
_OTHERS_SECONDS = 5.0
_CONNECT_SECONDS = 5.0
# struct ucred of unix(7).
_UCRED = struct.Struct("iII")


def socket_name(inner_pid: int) -> str:
    """Returns the name of the socket in /tmp."""
    return f".java_pid{inner_pid}"


def file_name(inner_pid: int) -> str:
    """Returns the name of the attach file, in the working directory or /tmp."""
    return f".attach_pid{inner_pid}"


def find(pid: int, inner_pid: int) -> bytes:
    """Returns the user ID of the socket's owner; READ_ONLY if no socket can be created, OTHER if another file
    is in the way, nothing if there is no socket. Raises OSError if there is no /tmp."""
    tmp = open_directory(pid, _TMP)
    try:
        about = os.stat(socket_name(inner_pid), dir_fd=tmp, follow_symlinks=False)
    except FileNotFoundError:
        return READ_ONLY if os.fstatvfs(tmp).f_flag & os.ST_RDONLY else b""
    finally:
        os.close(tmp)
    return b"%d" % about.st_uid if stat.S_ISSOCK(about.st_mode) else OTHER


def clear(pid: int, inner_pid: int) -> bytes:
    """Removes the socket if no process listens on it. Must run as its owner. Raises OSError."""
    tmp = open_directory(pid, _TMP)
    try:
        _clear(tmp, socket_name(inner_pid))
    finally:
        os.close(tmp)
    return b""


def clear_in_ours(pid: int, inner_pid: int) -> bytes:
    """Does the same, as another user, if the target's /tmp is that of this process. Raises OSError."""
    its = open_directory(pid, _TMP)
    # Not through the target's mounts, which can show any file under any name.
    ours = os.open(_TMP, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if not os.path.samestat(os.fstat(its), os.fstat(ours)):
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))
        _clear(ours, socket_name(inner_pid))
    finally:
        os.close(its)
        os.close(ours)
    return b""


def _clear(tmp: int, name: str) -> None:
    entry = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=tmp)
    try:
        about = os.fstat(entry)
        # A socket of another user, or a second name of a socket elsewhere, may be a trap.
        if about.st_uid != os.geteuid() or about.st_nlink != 1:
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))
        if is_descriptor_dead(entry):
            os.unlink(name, dir_fd=tmp)
    finally:
        os.close(entry)


def request(
    pid: int, inner_pid: int, uid: int, start_time: int, seconds: float, descriptors: Sequence[int]
) -> bytes:
    """Asks the JVM to open its socket, and waits for it. Returns OPENED, or SILENT after that many seconds.
    Returns IN_THE_WAY, and sends no signal, if another user's file prevents the attach file: HotSpot would
    print its threads on the program's stdout instead.

    `descriptors` holds a pidfd. Returns CHANGED, and sends no signal, unless that process is still the one
    with this PID and start time, runs entirely as that user, and catches SIGQUIT. Raises OSError.
    """
    (process,) = descriptors
    deadline = time.monotonic() + seconds
    with contextlib.ExitStack() as stack:
        tmp = open_directory(pid, _TMP)
        stack.callback(os.close, tmp)
        if not _offer(pid, inner_pid, tmp, stack, deadline):
            return IN_THE_WAY
        if _is_open(tmp, inner_pid):
            return OPENED
        status, start = read_status(pid), read_stat(pid).start_time
        check_alive(process)
        if not (start == start_time and set(status.uids) == {uid} and status.catches_quit):
            return CHANGED
        signal.pidfd_send_signal(process, signal.SIGQUIT)
        return _wait_for_socket(tmp, inner_pid, process, deadline)


def _offer(pid: int, inner_pid: int, tmp: int, stack: contextlib.ExitStack, deadline: float) -> bool:
    """Creates the attach file in /tmp, or in the working directory if another user has planted something of
    this name in /tmp. The stack removes it. Returns false if HotSpot would find no file of its user.
    """
    with contextlib.suppress(OSError):
        if _offer_in_tmp(inner_pid, tmp, stack, deadline):
            return True
    with contextlib.suppress(OSError):
        folder = os.open(f"/proc/{pid}/cwd", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        stack.callback(os.close, folder)
        return _create(folder, file_name(inner_pid), stack)
    return False


def _offer_in_tmp(inner_pid: int, tmp: int, stack: contextlib.ExitStack, deadline: float) -> bool:
    """Returns true if there is an attach file: a new one, or that of another tool, which has finished or was
    killed. Raises OSError.

    Waits while the other tool attaches: HotSpot prints its threads on the program's stdout if a second signal
    arrives after it has opened its socket.
    """
    name = file_name(inner_pid)
    end = min(deadline, time.monotonic() + _OTHERS_SECONDS)
    while not _create(tmp, name, stack):
        age = _age_of_offer(tmp, name)
        if age is None:
            return False
        if time.monotonic() > end or age > _OTHERS_SECONDS or _is_open(tmp, inner_pid):
            return True
        time.sleep(_POLL_SECONDS)
    return True


def _age_of_offer(tmp: int, name: str) -> float | None:
    """Returns the age in s of the attach file of another tool, which attaches at this moment or was killed
    while it did; 0 if it was removed just now. HotSpot accepts it as well. Only its user and root can remove
    it. Returns None for a file that HotSpot does not accept."""
    try:
        about = os.stat(name, dir_fd=tmp, follow_symlinks=False)
    except FileNotFoundError:
        return 0.0
    is_accepted = about.st_uid in (0, os.geteuid()) and not stat.S_ISLNK(about.st_mode)
    return time.time() - about.st_mtime if is_accepted else None


def _create(folder: int, name: str, stack: contextlib.ExitStack) -> bool:
    """Returns false if a file of that name exists. The stack removes the new one. Raises OSError."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        os.close(os.open(name, flags, 0o600, dir_fd=folder))
    except FileExistsError:
        return False
    stack.callback(_remove, folder, name)
    return True


def _remove(folder: int, name: str) -> None:
    with contextlib.suppress(OSError):
        os.unlink(name, dir_fd=folder)


def _is_open(tmp: int, inner_pid: int) -> bool:
    try:
        about = os.stat(socket_name(inner_pid), dir_fd=tmp, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return stat.S_ISSOCK(about.st_mode)


def _wait_for_socket(tmp: int, inner_pid: int, process: int, deadline: float) -> bytes:
    while time.monotonic() < deadline:
        if _is_open(tmp, inner_pid):
            return OPENED
        check_alive(process)
        time.sleep(_POLL_SECONDS)
    return SILENT


@contextlib.contextmanager
def served_by(pid: int) -> Iterator[str]:
    """Yields a path of the attach socket in the target's /tmp, as a descriptor of this process.

    Raises OSError, PermissionError if another process listens there: the target could have put its socket
    there.
    """
    tmp = open_directory(pid, "/tmp")
    try:
        entry = os.open(
            socket_name(read_status(pid).inner_pid), os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=tmp
        )
    finally:
        os.close(tmp)
    try:
        path = f"/proc/self/fd/{entry}"
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(_CONNECT_SECONDS)
            probe.connect(path)
            peer, uid, _ = _UCRED.unpack(probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
        # An earlier process of another user may have had this number.
        if (peer, uid) != (pid, os.geteuid()):
            raise PermissionError(errno.EPERM, f"PID {peer} of user {uid} listens at its attach socket")
        yield path
    finally:
        os.close(entry)
