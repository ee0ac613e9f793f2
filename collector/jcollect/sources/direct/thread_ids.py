"""Translates the thread IDs of a process in a PID namespace of its own to those that the collector sees."""

from __future__ import annotations

import contextlib
import os
import time

import numpy as np

from jcollect.procfs.process import Process
from jcollect.procfs.status import read_status
from jcollect.sources.columns import U32

# Threads beyond this number have no ID in events.
_MOST_THREADS = 1 << 16
# Least interval between two readings. One of 2,000 threads takes 30 ms.
_READ_SECONDS = 1.0


class ThreadIds:
    """Sorted thread IDs in the process's own namespace, `own`, and the same threads' IDs from here, `ours`.

    `is_nested` is false if both are always equal. The kernel answers at once: nothing here can be held up.
    """

    def __init__(self, process: Process) -> None:
        self._process = process
        self.is_nested = process.is_nested
        self.own: U32 = np.zeros(0, np.uint32)
        self.ours: U32 = np.zeros(0, np.uint32)
        self._not_before = 0.0
        if self.is_nested:
            self.read()

    def read(self) -> bool:
        """Reads the IDs of the current threads; returns false if it is too soon for that."""
        if time.monotonic() < self._not_before or self._process.has_exited:
            return False
        found: dict[int, int] = {}
        with contextlib.suppress(OSError), os.scandir(f"/proc/{self._process.pid}/task") as tasks:
            for task, _ in zip(tasks, range(_MOST_THREADS), strict=False):
                with contextlib.suppress(OSError, ValueError):
                    found[read_status(int(task.name)).inner_pid] = int(task.name)
        if self._process.has_exited:
            return False  # They may be those of another process.
        pairs = sorted(found.items())
        self.own = np.array([own for own, _ in pairs], np.uint32)
        self.ours = np.array([ours for _, ours in pairs], np.uint32)
        self._not_before = time.monotonic() + _READ_SECONDS
        return True
