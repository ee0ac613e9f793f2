"""Nests calls: finds for each call of a thread the call that made it.

Only traced methods are known, so the caller is the innermost traced call that was running. view/nesting.py
has the rule. Calls whose start was not measured seem to end when their probe fires, a little after it: they
are cut to fit into their callers.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from jcollect.convert.backwards import Backwards, Lost
from jcollect.probes.probe import TIMED_KINDS
from jcollect.sources.columns import Batch
from jcollect.view.nesting import begins_after, spans_of, thread_key

# Deeper calls count as calls of the one at this depth.
MOST_DEPTH = 1024
# Virtual threads are many. Beyond this number, calls may lose their callers.
_MOST_THREADS = 1 << 16


class Call(NamedTuple):
    """A call that has ended. `callers` are the outer calls, the outermost first; `event` is the index of its
    event in the batch. Times in ns since 1970."""

    probe: int
    pid: int
    tid: int
    thread: int
    start: int
    end: int
    duration: int
    callers: tuple[int, ...]
    event: int


class _Open(NamedTuple):
    """A call whose inner calls are being read, and the probes of its stack, its own included."""

    start: int
    end: int
    probes: tuple[int, ...]


class Nesting:
    """Nests the calls of all threads, backwards."""

    def __init__(self, source: Backwards) -> None:
        self._source = source
        self._stacks: dict[tuple[int, int], list[_Open]] = {}

    def batches(self) -> Iterator[tuple[Batch, list[Call]] | Lost]:
        """Yields each batch with its calls, the last one first."""
        for item in self._source.items():
            yield item if isinstance(item, Lost) else (item, self._calls(item))

    def _calls(self, batch: Batch) -> list[Call]:
        probes = self._source.probes
        c = batch.columns
        used = np.unique(c.probe).tolist()
        pids = {number: probes[number].pid for number in used if probes[number].kind in TIMED_KINDS}
        calls = []
        spans = spans_of(c)
        rows = zip(
            range(len(c) - 1, -1, -1), c.probe[::-1].tolist(), c.tid[::-1].tolist(), c.thread[::-1].tolist(),
            spans.starts[::-1], spans.ends[::-1], c.duration_nanos[::-1].tolist(), strict=True,
        )  # fmt: skip
        for index, probe, tid, thread, start, end, duration in rows:
            pid = pids.get(probe)
            if pid is None:
                continue
            calls.append(self._nested(probe, pid, tid, thread, start, end, duration, index))
        return calls

    def _nested(
        self, probe: int, pid: int, tid: int, thread: int, start: int, end: int, duration: int, index: int
    ) -> Call:
        stack = self._stack(thread_key(pid, tid, thread), end)
        following = None
        while stack and not begins_after(stack[-1].start, start, end):
            following = stack.pop()
        if following is not None:
            # It has ended when the call after it, within the same one, begins.
            end = min(end, following.start - 1)
        if stack:
            start, end = max(start, stack[-1].start), min(end, stack[-1].end)
        start = min(start, end)
        callers = stack[-1].probes if stack else ()
        if len(stack) < MOST_DEPTH:
            stack.append(_Open(start, end, (*callers, probe)))
        return Call(probe, pid, tid, thread, start, end, duration, callers, index)

    def _stack(self, thread: tuple[int, int], now: int) -> list[_Open]:
        """Returns the stack of a thread. Forgets those of threads that have no call at this time, once there
        are many."""
        stack = self._stacks.get(thread)
        if stack is None:
            if len(self._stacks) >= _MOST_THREADS:
                self._stacks = {
                    key: each for key, each in self._stacks.items() if each and each[0].start < now
                }
            if len(self._stacks) >= _MOST_THREADS:
                self._stacks.clear()
            stack = self._stacks[thread] = []
        return stack
