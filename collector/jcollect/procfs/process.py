"""A process that was opened once: everything below the command line takes this value and no PID.

The kernel reuses PIDs. A pidfd stands for one process forever, so a value that was read from /proc/PID counts
only if the pidfd shows that its process was still alive afterwards. The pidfd keeps neither the process nor
its memory.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable
from typing import TypeVar

from jcollect.errors import JcollectError, NoFilesError, lacks_files
from jcollect.procfs import capabilities
from jcollect.procfs.identity import Identity
from jcollect.procfs.owner import owner_of
from jcollect.procfs.reasons import is_gone
from jcollect.procfs.status import ProcessStatus, check_alive, read_stat, read_status

_ID_KINDS = ("real", "effective", "saved", "file system")
_STOPPED_STATES = ("T", "t")

_Value = TypeVar("_Value")


class Process:
    """One process. Its credentials are those at the time when it was opened. After `close` it counts as one
    that has exited. For any thread."""

    def __init__(self, pid: int, pidfd: int, status: ProcessStatus, owner: int) -> None:
        """Takes over the pidfd; a negative one stands for a process that was closed. Callers use `open`."""
        self.pid = pid
        self.owner = owner  # The user who is charged for the work that it causes.
        self._pidfd = pidfd
        self._lock = threading.Lock()
        self._status = status
        self._start_time: int | None = None

    @classmethod
    def open(cls, pid: int) -> Process:
        """Opens the process of a PID. Raises JcollectError if there is none, or if it is a thread's ID."""
        try:
            pidfd = os.pidfd_open(pid)
        except (OSError, OverflowError) as error:
            raise _cannot_open(pid, error) from None
        try:
            status = read_status(pid)
            owner = owner_of(pid, status.uids[0])
            check_alive(pidfd)
        except OSError as error:
            os.close(pidfd)
            raise _cannot_open(pid, error) from None
        return cls(pid, pidfd, status, owner)

    def close(self) -> None:
        """Gives the descriptor back. A second call does nothing."""
        with self._lock:
            pidfd, self._pidfd = self._pidfd, -1
        if pidfd >= 0:
            os.close(pidfd)

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Process({self.pid})"

    @property
    def pidfd(self) -> int:
        """The descriptor, for requests to readers. Negative after `close`."""
        return self._pidfd

    @property
    def has_exited(self) -> bool:
        """True if the process has exited, or was closed."""
        try:
            self.check_alive()
        except ProcessLookupError:
            return True
        return False

    def check_alive(self) -> None:
        """Raises ProcessLookupError if the process has exited, or was closed."""
        with self._lock:
            if self._pidfd < 0:
                raise ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH))
            check_alive(self._pidfd)

    # Properties that never change.

    @property
    def name(self) -> str:
        """The command name at the time when the process was opened."""
        return self._status.name

    @property
    def inner_pid(self) -> int:
        """The PID in the innermost PID namespace."""
        return self._status.inner_pid

    @property
    def is_nested(self) -> bool:
        """True if the process is in another PID namespace than this one."""
        return self._status.is_nested

    @property
    def start_time(self) -> int:
        """The start in clock ticks since boot. Raises OSError if the process has exited."""
        if self._start_time is None:
            self._start_time = self._read(read_stat).start_time
        return self._start_time

    @property
    def effective_uid(self) -> int:
        # The owner of /proc/PID would not do: root owns it if the process may not be dumped.
        return self._status.uids[1]

    @property
    def has_one_user(self) -> bool:
        """True if the real, effective, saved and file system IDs are the same. Those of a set-user-ID program
        are not, and the user who started that program chooses the paths that it names."""
        return len(set(self._status.uids)) == len(set(self._status.gids)) == 1

    @property
    def user(self) -> Identity:
        """The only user and group of the process, as seen from here. Raises JcollectError if it has more."""
        if not self.has_one_user:
            raise self._has_several_users()
        return Identity(self._status.uids[0], self._status.gids[0])

    # Properties that are read again at each call.

    def is_stopped(self) -> bool:
        """Returns true if a signal or a debugger has stopped the process; false if it has exited. The freezer
        of a control group does not show."""
        try:
            return self._read(read_stat).state in _STOPPED_STATES
        except OSError:
            return False

    def is_exiting(self) -> bool:
        """Returns true if the process has exited, or the kernel takes it down: its memory map is empty then,
        and its root missing, some time before the process counts as exited."""
        try:
            return self._read(read_stat).is_exiting
        except OSError as error:
            return is_gone(error)

    def catches_quit(self) -> bool:
        """Returns true if SIGQUIT, which asks a JVM to open its attach socket, does not end the process.
        Raises OSError if it has exited."""
        return self._read(read_status).catches_quit

    def mapped_pages(self) -> int:
        """Returns the number of mapped pages; 0 if the process has exited.

        Every mmap and munmap changes it, and reading it takes a hundredth of the time for the memory map.
        """
        try:
            return self._read(_mapped_pages)
        except OSError:
            return 0

    def _read(self, read: Callable[[int], _Value]) -> _Value:
        """Returns what a function reads from /proc/PID. Raises OSError."""
        value = read(self.pid)
        self.check_alive()
        return value

    def exited(self) -> JcollectError:
        """Returns the error for a process that has exited."""
        return _exited(self.pid)

    def explain(self, error: OSError, what: str = "memory map") -> JcollectError:
        """Returns the error for a process that cannot be read; `what` names the part that was read."""
        return _explain(self.pid, error, what)

    def _has_several_users(self) -> JcollectError:
        status = self._status
        name, numbers = ("user", status.uids) if len(set(status.uids)) != 1 else ("group", status.gids)
        several = ", ".join(f"{kind} {number}" for kind, number in zip(_ID_KINDS, numbers, strict=False))
        return JcollectError(
            f"PID {self.pid} has several {name} IDs ({several}), as a set-user-ID program has; "
            "jcollect commands only processes of one user and one group"
        )


def _mapped_pages(pid: int) -> int:
    with open(f"/proc/{pid}/statm", "rb", buffering=0) as file:
        return int(file.read().split()[0])


def _cannot_open(pid: int, error: OSError | OverflowError) -> JcollectError:
    if isinstance(error, OSError) and lacks_files(error):
        return NoFilesError(f"hold PID {pid}")
    try:
        # For the ID of a thread, pidfd_open(2) fails with EINVAL, and with ENOENT on later kernels.
        status = read_status(pid)
        if status.group != pid:
            return JcollectError(
                f"{pid} is a thread of the process {status.group}; give the PID {status.group}"
            )
    except OSError as reason:
        if not is_gone(reason):
            return _explain(pid, reason, "status")
        return JcollectError(f"there is no process with PID {pid}; jcollect ps lists the processes")
    if isinstance(error, OSError) and not is_gone(error):
        return _explain(pid, error, "status")
    return _exited(pid)


def _exited(pid: int) -> JcollectError:
    return JcollectError(f"PID {pid} has exited")


def _is_restricted() -> bool:
    """Returns true if Yama lets a process read the memory of its descendants only."""
    try:
        with open("/proc/sys/kernel/yama/ptrace_scope", "rb", buffering=0) as file:
            return file.read().strip() != b"0"
    except OSError:
        return False  # The kernel has no Yama.


def _explain(pid: int, error: OSError, what: str) -> JcollectError:
    if error.errno in (errno.EACCES, errno.EPERM):
        if capabilities.holds(capabilities.SYS_PTRACE):
            return JcollectError(
                f"cannot read the {what} of PID {pid}: the kernel denies it in spite of CAP_SYS_PTRACE; the "
                "process is outside of this user namespace, or a security module protects it"
            )
        # Yama denies it to the process's own user, too.
        or_own = (
            ", because kernel.yama.ptrace_scope is not 0"
            if _is_restricted()
            else " or the process's own user"
        )
        return JcollectError(
            f"cannot read the {what} of PID {pid}: needs CAP_SYS_PTRACE{or_own}; {capabilities.advice()}"
        )
    if lacks_files(error):
        return NoFilesError(f"read the {what} of PID {pid}")
    if error.errno == errno.EFBIG:
        return JcollectError(f"cannot read the {what} of PID {pid}: it is too large")
    if error.errno == errno.ETIMEDOUT:
        return JcollectError(
            f"cannot read the {what} of PID {pid}: the process, or a file system that it uses, did not "
            "answer in time; try again when it answers"
        )
    if is_gone(error):
        return JcollectError(f"PID {pid} has exited while its {what} was read")
    return JcollectError(f"cannot read the {what} of PID {pid}: {error.strerror or error}; try again")
