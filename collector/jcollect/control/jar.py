"""The agent's jar that travels with jcollect, and how it gets to where another process can read it.

Each directory is locked (flock) for as long as its jcollect lives: one without a lock was left behind.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import fnmatch
import os
import secrets
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from jcollect.built import find_built
from jcollect.control.acting import as_user_of
from jcollect.control.inside import open_directory
from jcollect.control.target import Target, read_target
from jcollect.discovery.deadline import within
from jcollect.errors import JcollectError

_PLACES = ("/tmp", "/var/tmp", "/dev/shm")
_JAR = "jprobe.jar"
_REPORT = "report"
_MAX_REPORT = 8192
_PREFIX = "jprobe-load-"
_SWEEP_SECONDS = 0.5
# Each attempt but the first follows a sweep between the making of a directory and its lock.
_ATTEMPTS = 100


@dataclass(frozen=True)
class DeliveredJar:
    """Paths as the target sees them. The agent writes into the report whether it has started."""

    jar: str
    report: str
    _report_fd: int

    def read_report(self) -> str:
        """What the agent has written; empty if nothing."""
        return os.pread(self._report_fd, _MAX_REPORT, 0).decode(errors="replace").strip()


def find_jar() -> Path:
    """Inside an installed package, or where a checkout builds it. Raises JcollectError."""
    return find_built(f"_agent/{_JAR}", f"java-agent/build/libs/{_JAR}", "jcollect has no agent to load")


@contextlib.contextmanager
def delivered_jar(target: Target) -> Iterator[DeliveredJar]:
    """The jar in a fresh directory that the target's user alone can enter, until the end of the block.

    Raises JcollectError where no directory of the target takes it.
    """
    content = find_jar().read_bytes()
    _sweep(target)
    reasons = []
    for place in _PLACES:
        with contextlib.ExitStack() as stack:
            try:
                delivered = stack.enter_context(_delivered_into(place, target, content))
            except OSError as error:
                reasons.append(f"{place}: {error.strerror}")
                continue
            yield delivered
            return
    raise JcollectError(
        f"cannot hand the agent's jar to PID {target.pid}: none of its temporary directories takes it "
        f"({'; '.join(reasons)}); start the program with -javaagent instead"
    )


@contextlib.contextmanager
def _delivered_into(place: str, target: Target, content: bytes) -> Iterator[DeliveredJar]:
    with contextlib.ExitStack() as stack:
        with as_user_of(target):
            parent = open_directory(target.pid, place)
            stack.callback(os.close, parent)
            directory, name = _make(parent, target)
            stack.callback(os.close, directory)
            stack.callback(_remove, target, parent, directory, name)
            with open(_create(_JAR, directory), "wb") as jar:
                jar.write(content)
            report = _create(_REPORT, directory)
            stack.callback(os.close, report)
        path = f"{place}/{name}"
        yield DeliveredJar(f"{path}/{_JAR}", f"{path}/{_REPORT}", report)


def _create(name: str, directory: int) -> int:
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.open(name, flags, 0o600, dir_fd=directory)


def _make(parent: int, target: Target) -> tuple[int, str]:
    """A directory of a new name, locked where its file system has locks. Raises OSError."""
    for _ in range(_ATTEMPTS):
        name = f"{_PREFIX}{target.inner_pid}-{secrets.token_hex(8)}"
        os.mkdir(name, 0o700, dir_fd=parent)
        try:
            directory = _open(parent, name)
        except FileNotFoundError:
            continue
        except OSError:
            with contextlib.suppress(OSError):
                os.rmdir(name, dir_fd=parent)
            raise
        if not _is_locked(directory) and _is_named(parent, name, directory):
            return directory, name
        os.close(directory)
    raise OSError(errno.EAGAIN, "others sweep it all the time")


def sweep_for(pid: int) -> None:
    """Removes what jcollects that were killed have left for the user of this process, where he has it.

    Not if that takes long, as in a file system that does not answer. Raises nothing.
    """
    with contextlib.suppress(JcollectError, OSError):
        target = read_target(pid)
        # Not held against the process, whose memory can be read all the same.
        within(-pid, lambda: _sweep(target), _SWEEP_SECONDS)


def _sweep(target: Target) -> None:
    for place in _PLACES:
        with contextlib.suppress(OSError):
            _sweep_place(place, target)


def _sweep_place(place: str, target: Target) -> None:
    """Raises OSError."""
    with as_user_of(target):
        parent = open_directory(target.pid, place)
        try:
            for name in fnmatch.filter(os.listdir(parent), f"{_PREFIX}*"):
                # Another jcollect may take its own away at this moment.
                with contextlib.suppress(OSError):
                    about = os.stat(name, dir_fd=parent, follow_symlinks=False)
                    if about.st_uid == target.uid and stat.S_ISDIR(about.st_mode):
                        _sweep_one(parent, target, name)
        finally:
            os.close(parent)


def _sweep_one(parent: int, target: Target, name: str) -> None:
    directory = _open(parent, name)
    try:
        fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _remove(target, parent, directory, name)
    finally:
        os.close(directory)


def _open(parent: int, name: str) -> int:
    return os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)


def _is_locked(directory: int) -> bool:
    """By another: else it is by us from now on."""
    try:
        fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        pass  # Its file system has no locks: nobody can take it for left behind either.
    return False


def _is_named(parent: int, name: str, directory: int) -> bool:
    try:
        named = os.stat(name, dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return os.path.samestat(named, os.fstat(directory))


def _remove(target: Target, parent: int, directory: int, name: str) -> None:
    """For the holder of its lock."""
    # The target's user can put things in the way, to his own damage alone.
    with as_user_of(target), contextlib.suppress(OSError):
        for file in (_JAR, _REPORT):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(file, dir_fd=directory)
        if _is_named(parent, name, directory):
            os.rmdir(name, dir_fd=parent)
