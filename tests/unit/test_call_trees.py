"""Trees of calls: random ones with lost events, and those that events leave open."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from jcollect.convert.backwards import Backwards
from jcollect.convert.calls import Nesting
from jcollect.hub.items import Schema
from jcollect.sources.columns import Columns
from jcollect.view import call_tree
from jcollect.view.call_tree import Call, CallTrees, calls_in
from recorded import BEGIN, probe, record

METHODS = 4
ENTRY, RETURN, THROW = 1, 2, 3
PROBES = [
    probe(10 * number + kind, kind, method=f"m{number}")
    for number in range(METHODS)
    for kind in (ENTRY, RETURN, THROW)
]


@dataclass
class Truth:
    """A call of the model, which knows everything."""

    method: int
    thread: int
    parent: Truth | None
    threw: bool
    start: int = 0
    end: int = 0
    entry: int = 0
    children: list[Truth] = field(default_factory=list)
    end_is_lost: bool = False
    entry_is_lost: bool = False


class Model:
    """A program of several threads, whose calls are random, and its events, of which some are lost."""

    def __init__(self, seed: int, loss: float, traps: bool) -> None:
        """With `traps`, an entry event is earlier than the start of its call, as in the kernel lane."""
        self._random = random.Random(seed)
        self._traps = traps
        self.calls: list[Truth] = []
        events: list[tuple[int, int, Truth, int]] = []
        for thread in (7, 8, 9):
            clock = BEGIN + thread
            for _ in range(self._random.randint(1, 12)):
                clock = self._call(thread, None, clock + self._tick(), 0)
        for call in self.calls:
            call.entry_is_lost = self._random.random() < loss
            call.end_is_lost = self._random.random() < loss
            if not call.entry_is_lost:
                events.append((call.entry, 0, call, ENTRY))
            if not call.end_is_lost:
                # The probe at the end fires after the call has ended.
                late = self._random.randint(0, 1500) if traps else 0
                events.append((call.end + late, 1, call, THROW if call.threw else RETURN))
        # Events of one thread are in the order in which they happened.
        self.events = sorted(events, key=lambda each: (each[2].end if each[1] else each[0], each[2].thread))
        self.lost = sum(call.entry_is_lost + call.end_is_lost for call in self.calls)

    def _tick(self) -> int:
        return self._random.choice((25, 60, 2_000, 300_000))

    def _call(self, thread: int, parent: Truth | None, clock: int, depth: int) -> int:
        call = Truth(self._random.randrange(METHODS), thread, parent, self._random.random() < 0.2)
        self.calls.append(call)
        if parent is not None:
            parent.children.append(call)
        call.entry = clock
        call.start = clock = clock + (self._tick() if self._traps else 0)
        for _ in range(self._random.choice((0, 0, 1, 2, 4)) if depth < 6 else 0):
            # A call that is its own caller is as likely as any other.
            clock = self._call(thread, call, clock + self._tick(), depth + 1)
        call.end = clock + self._tick()
        return call.end

    def columns(self, size: int) -> Iterator[Columns]:
        for first in range(0, len(self.events), size):
            part = self.events[first : first + size]
            thread = np.array([call.thread for _, _, call, _ in part], np.uint64)
            ended = [kind != ENTRY for _, _, _, kind in part]
            yield Columns(
                np.arange(first, first + len(part), dtype=np.uint64),
                np.array([time for time, *_ in part], np.uint64),
                np.array([10 * call.method + kind for _, _, call, kind in part], np.uint32),
                # The carrier of a virtual thread is not always the same one.
                np.array([100 + time % 2 for time, *_ in part], np.uint32),
                thread,
                np.array(
                    [
                        call.end - call.start if end else 0
                        for (*_, call, _), end in zip(part, ended, strict=True)
                    ],
                    np.uint64,
                ),
                np.zeros(0, np.uint64),
                b"",
                np.array(
                    [call.start if end else 0 for (*_, call, _), end in zip(part, ended, strict=True)],
                    np.uint64,
                ),
            )

    def known_caller(self, call: Truth) -> Truth | None:
        """The innermost call around it whose end came."""
        caller = call.parent
        while caller is not None and caller.end_is_lost:
            caller = caller.parent
        return caller


def trees_of(model: Model, size: int = 7, hold: int | None = call_tree.HOLD_NS) -> list[Call]:
    roots: list[Call] = []
    trees = CallTrees(roots.append, hold)
    trees.describe(PROBES)
    for columns in model.columns(size):
        trees.take(columns)
    trees.finish()
    assert trees.left_out == 0
    return roots


@pytest.mark.parametrize("traps", [False, True], ids=["direct", "kernel"])
@pytest.mark.parametrize("seed", range(25))
def test_without_losses_the_tree_is_that_of_the_program(seed: int, traps: bool) -> None:
    model = Model(seed, 0, traps)
    found = {}
    for root in trees_of(model):
        for call in calls_in(root):
            found[call.thread, call.start] = call
            assert (call.is_lost, call.is_running, call.printed, call.lost) == (False, False, 0, 0)
    assert len(found) == len(model.calls)
    for truth in model.calls:
        call = found[truth.thread, truth.start]
        assert (call.method, call.end, call.threw) == (truth.method, truth.end, truth.threw)
        assert [each.start for each in call.children] == [each.start for each in truth.children]
        assert call.self_nanos == truth.end - truth.start - sum(c.end - c.start for c in truth.children)


@pytest.mark.parametrize("traps", [False, True], ids=["direct", "kernel"])
@pytest.mark.parametrize("seed", range(80))
def test_a_lost_event_is_a_gap_and_never_a_wrong_caller(seed: int, traps: bool) -> None:
    """The model allows this: each call whose end came is shown once, below the innermost call around it whose
    end came; or as a root, which that call says. A call whose end was lost is shown as a gap, or not at
    all."""
    model = Model(seed, random.Random(seed).choice((0.02, 0.1, 0.4)), traps)
    truths = {(truth.thread, truth.start): truth for truth in model.calls}
    shown: dict[tuple[int, int], tuple[Call, Call | None]] = {}
    gaps = 0
    printed: dict[int, int] = {}
    for root in trees_of(model, hold=None):
        assert not root.is_lost
        stack: list[tuple[Call, Call | None]] = [(root, None)]
        while stack:
            call, caller = stack.pop()
            if call.is_lost or call.is_running:
                gaps += 1
                assert any(
                    truth.entry == call.start and truth.end_is_lost and truth.method == call.method
                    for truth in model.calls
                )
                assert call.is_running or not call.children
            else:
                assert (call.thread, call.start) not in shown
                shown[call.thread, call.start] = (call, caller)
            stack += [(each, call) for each in call.children]
    assert shown.keys() == {key for key, truth in truths.items() if not truth.end_is_lost}
    for key, (_, caller) in shown.items():
        expected = model.known_caller(truths[key])
        if caller is None:
            if expected is not None:
                printed[id(expected)] = printed.get(id(expected), 0) + 1
        elif not caller.is_running:
            assert expected is not None
            assert (caller.thread, caller.start) == (expected.thread, expected.start)
    for truth in model.calls:
        if id(truth) in printed:
            call, _ = shown[truth.thread, truth.start]
            assert call.printed == printed[id(truth)]
    lost_ends = sum(truth.end_is_lost for truth in model.calls)
    assert gaps <= lost_ends


@pytest.mark.parametrize("seed", range(15))
def test_conversions_nest_calls_as_trees_do(tmp_path: Path, seed: int) -> None:
    model = Model(seed, 0.1, True)
    record(tmp_path / "a", [Schema(PROBES), *model.columns(7)])
    source = Backwards([str(tmp_path / "a")], [])
    found = {}
    for item in Nesting(source).batches():
        if isinstance(item, tuple):
            for call in item[1]:
                found[call.thread, call.start] = tuple(number // 10 for number in call.callers)
    for truth in model.calls:
        if truth.end_is_lost:
            continue
        callers: list[int] = []
        caller = model.known_caller(truth)
        while caller is not None:
            callers.insert(0, caller.method)
            caller = model.known_caller(caller)
        assert found[truth.thread, truth.start] == tuple(callers)
