"""Cgroups that limit a test's process, in the cgroup version that has the controller on this machine."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from conditions import miss, wait_until

MOUNTS = Path("/sys/fs/cgroup")
PERIOD_US = 100_000
_ROOT_V2 = MOUNTS / "cgroup.controllers"
_LEAVING_SECONDS = 10


class Cgroup:
    """A cgroup created below another or at the top, and removed on exit. Requires root."""

    def __init__(self, name: str, above: Cgroup | None = None) -> None:
        self.is_v2 = _ROOT_V2.exists()
        top = MOUNTS if self.is_v2 else MOUNTS / "cpu"
        if not os.access(top, os.W_OK):
            miss(f"a CPU quota takes a cgroup of its own, and {top} cannot be written")
        self.folder = (above.folder if above else top) / f"{name}-{os.getpid()}"

    def __enter__(self) -> Cgroup:
        if self.is_v2:
            (self.folder.parent / "cgroup.subtree_control").write_text("+cpu")
        self.folder.mkdir()
        return self

    def __exit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        # The last thread of an exited process may still be listed.
        deadline = time.monotonic() + _LEAVING_SECONDS
        while True:
            try:
                self.folder.rmdir()
                return
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)

    def limit(self, cores: float | None) -> None:
        """Limits the CPU time of its processes per 0.1 s; None removes the limit."""
        quota = None if cores is None else round(cores * PERIOD_US)
        if self.is_v2:
            (self.folder / "cpu.max").write_text(f"{'max' if quota is None else quota} {PERIOD_US}")
        else:
            (self.folder / "cpu.cfs_period_us").write_text(str(PERIOD_US))
            (self.folder / "cpu.cfs_quota_us").write_text(str(-1 if quota is None else quota))

    def starting(self) -> list[str]:
        """Starts a command inside the cgroup."""
        return inside(self.folder)


def inside(folder: Path) -> list[str]:
    """Starts a command inside the cgroup."""
    return ["sh", "-c", f'echo $$ > "{folder}/cgroup.procs" && exec "$@"', "sh"]


@contextmanager
def memory_cgroup(name: str, mebibytes: int) -> Iterator[Path]:
    """Yields a cgroup that limits memory. It is removed once its processes have exited."""
    for parent in (MOUNTS / "memory", MOUNTS):
        group = parent / f"{name}-{os.getpid()}"
        try:
            if not (parent / "memory.stat").exists():
                continue
            if parent == MOUNTS:
                (parent / "cgroup.subtree_control").write_text("+memory")
            group.mkdir()
        except OSError:
            continue
        limits = [group / file for file in ("memory.limit_in_bytes", "memory.max") if (group / file).exists()]
        if limits:
            break
        group.rmdir()
    else:
        miss("no cgroup can limit memory here")
    limits[0].write_text(str(mebibytes << 20))
    yield group
    wait_until(lambda: not (group / "cgroup.procs").read_text(), "the cgroup is empty")
    group.rmdir()


@contextmanager
def pids_cgroup(name: str) -> Iterator[Path]:
    """Yields a cgroup with pids.max. It is removed once its processes have exited."""
    for parent in (MOUNTS / "pids", MOUNTS):
        group = parent / f"{name}-{os.getpid()}"
        try:
            group.mkdir()
        except OSError:
            continue
        if (group / "pids.max").exists():
            break
        group.rmdir()
    else:
        miss("no cgroup can limit processes and threads here")
    yield group
    wait_until(lambda: not (group / "cgroup.procs").read_text(), "the cgroup is empty")
    group.rmdir()
