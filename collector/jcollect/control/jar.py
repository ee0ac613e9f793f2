"""The agent's jar that travels with jcollect, and how it gets to where another process can read it."""

from __future__ import annotations

import contextlib
import fnmatch
import os
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from jcollect.built import find_built
from jcollect.control.acting import as_user_of
from jcollect.control.inside import open_directory
from jcollect.control.target import Target
from jcollect.errors import JcollectError

_PLACES = ("/tmp", "/var/tmp", "/dev/shm")
_JAR = "jprobe.jar"
_REPORT = "report"
_MAX_REPORT = 8192
_PREFIX = "jprobe-load-"
# Longer than any loading takes: what is older was left by a jcollect that was killed.
_LEFT_BEHIND_SECONDS = 3600.0


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
    name = _PREFIX + secrets.token_hex(8)
    with contextlib.ExitStack() as stack:
        with as_user_of(target):
            parent = open_directory(target.pid, place)
            stack.callback(os.close, parent)
            _sweep(target, parent)
            os.mkdir(name, 0o700, dir_fd=parent)
            stack.callback(_remove, target, parent, name)
            directory = os.open(
                name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent
            )
            stack.callback(os.close, directory)
            with open(_create(_JAR, directory), "wb") as jar:
                jar.write(content)
            report = _create(_REPORT, directory)
            stack.callback(os.close, report)
        path = f"{place}/{name}"
        yield DeliveredJar(f"{path}/{_JAR}", f"{path}/{_REPORT}", report)


def _create(name: str, directory: int) -> int:
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.open(name, flags, 0o600, dir_fd=directory)


def _sweep(target: Target, parent: int) -> None:
    oldest = time.time() - _LEFT_BEHIND_SECONDS
    for name in fnmatch.filter(os.listdir(parent), f"{_PREFIX}*"):
        # Another jcollect may take its own away at this moment.
        with contextlib.suppress(FileNotFoundError):
            status = os.stat(name, dir_fd=parent, follow_symlinks=False)
            if status.st_uid == target.uid and status.st_mtime < oldest:
                _remove(target, parent, name)


def _remove(target: Target, parent: int, name: str) -> None:
    # The target's user can put things in the way, to his own damage alone.
    with as_user_of(target), contextlib.suppress(OSError):
        directory = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
        try:
            for file in (_JAR, _REPORT):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(file, dir_fd=directory)
        finally:
            os.close(directory)
        os.rmdir(name, dir_fd=parent)
