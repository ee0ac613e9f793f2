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
from jcollect.view.call import Call, calls_in
from jcollect.view.call_tree import CallTrees
from jcollect.view.tree_lines import Shown, tree_json, tree_lines
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


def thread_of(*events: tuple[int, int, int]) -> Columns:
    """Returns events of one thread: time after BEGIN, probe and duration; ends have a measured start."""
    times, probes, took = np.array(events, np.uint64).reshape(-1, 3).T
    times = times + np.uint64(BEGIN)
    sevens = np.full(len(times), 7, np.uint64)
    starts = np.where(probes % 10 == ENTRY, 0, times - took)
    return Columns(
        np.arange(len(times), dtype=np.uint64), times, probes.astype(np.uint32), sevens.astype(np.uint32),
        sevens, took, np.zeros(0, np.uint64), b"", starts.astype(np.uint64),
    )  # fmt: skip


def trees(hold: int | None = call_tree.HOLD_NS) -> tuple[CallTrees, list[Call]]:
    roots: list[Call] = []
    found = CallTrees(roots.append, hold)
    found.describe(PROBES)
    return found, roots


def test_a_call_that_began_before_knows_what_was_printed() -> None:
    found, roots = trees()
    found.take(thread_of((10, 11, 0), (20, 12, 10), (30, 11, 0), (45, 12, 15)))
    assert [(root.method, root.duration) for root in roots] == [(1, 10), (1, 15)]
    found.take(thread_of((60, 2, 55)))
    last = roots[-1]
    assert (last.printed, last.children, last.self_nanos) == (2, [], 55 - 10 - 15)
    lines = [line.text.strip() for line in tree_lines(last, found.names, Shown(), True)]
    assert lines[1:] == ["… 2 calls in it printed before: its begin was not seen"]


def test_of_many_printed_calls_the_time_is_not_known() -> None:
    found, roots = trees()
    for number in range(call_tree.MOST_REMEMBERED + 9):
        at = 100 * number
        found.take(thread_of((at + 10, 11, 0), (at + 20, 12, 10)))
    found.take(thread_of((99_999, 2, 99_998)))
    assert roots[-1].self_nanos is None
    assert tree_json(roots[-1], found.names, Shown())["self_ns"] is None


def test_calls_that_have_not_ended_run_at_the_end() -> None:
    found, roots = trees()
    found.take(thread_of((10, 1, 0), (20, 11, 0), (30, 21, 0), (50, 22, 20), (70, 31, 0), (90, 32, 20)))
    assert not roots
    found.finish()
    (root,) = roots
    (inner,) = root.children
    assert (root.method, root.is_running, root.duration) == (0, True, 80)
    assert (inner.method, inner.is_running, inner.duration, inner.self_nanos) == (1, True, 70, 30)
    assert [each.method for each in inner.children] == [2, 3]
    assert "m0  still running" in tree_lines(root, found.names, Shown(), True)[0].text


def test_without_entry_probes_a_call_is_a_root_after_a_while() -> None:
    found, roots = CallTrees(lambda root: roots.append(root)), []  # type: ignore[var-annotated]
    found.describe([each for each in PROBES if each.kind != ENTRY])
    found.take(thread_of((100, 12, 50), (200, 12, 60), (300, 2, 290)))
    assert not roots
    second = call_tree.HOLD_NS
    found.take(thread_of((second + 500, 22, 10)))
    assert [(root.method, len(root.children)) for root in roots] == [(0, 2)]
    found.flush(BEGIN + 3 * second)
    assert [root.method for root in roots] == [0, 2]


def test_a_lost_end_does_not_hold_up_a_thread_forever() -> None:
    found, roots = trees()
    found.take(thread_of((10, 1, 0), (20, 11, 0), (30, 12, 10)))
    found.take_loss(1, [2])
    assert not roots
    found.take(thread_of((2 * call_tree.HOLD_NS, 11, 0), (2 * call_tree.HOLD_NS + 5, 12, 5)))
    assert [(root.method, root.duration, root.lost) for root in roots] == [(1, 10, 1)]
    found.finish()
    assert [root.duration for root in roots] == [10, 5]
    assert found.unended == 1


def test_a_loss_is_noted_in_the_tree_that_runs() -> None:
    found, roots = trees()
    found.take(thread_of((10, 1, 0), (20, 11, 0), (30, 12, 10)))
    found.take_loss(3, [22])
    found.take(thread_of((50, 2, 40), (60, 11, 0), (70, 12, 10)))
    assert [root.lost for root in roots] == [3, 0]
    texts = [line.text for line in tree_lines(roots[0], found.names, Shown(), True)]
    assert any("3 events lost while it ran" in text for text in texts)


def test_a_tree_of_too_many_calls_counts_the_innermost_and_shortest() -> None:
    found, roots = trees()
    count = call_tree.MOST_CALLS_OF_THREAD // 1000 * 1000 + 2000
    found.take(thread_of((1, 1, 0)))
    for first in range(0, count, 1000):
        part = []
        for number in range(first, first + 1000):
            at = 10 + 100 * number
            part += [(at, 11, 0), (at + 20 + number % 7, 12, 20 + number % 7)]
        found.take(thread_of(*part))
    end = 10 + 100 * count
    found.take(thread_of((end, 2, end - 1)))
    (root,) = roots
    assert len(root.children) + root.left_out == count
    assert len(root.children) <= call_tree.MOST_CALLS_OF_THREAD
    assert root.left_out > count // 4
    took = sum(20 + number % 7 for number in range(count))
    assert root.self_nanos == end - 1 - took
    assert len(tree_lines(root, found.names, Shown(), True)) < 4000


def test_a_stack_of_any_depth_is_shown() -> None:
    depth = 5000
    found, roots = trees()
    found.take(thread_of(*((10 * i + 1, 1, 0) for i in range(depth))))
    end = 10 * depth
    found.take(thread_of(*((end + i + 1, 2, end + i - 10 * (depth - 1 - i)) for i in range(depth))))
    (root,) = roots
    assert sum(1 for _ in calls_in(root)) == depth
    assert "… 1 call not shown" in tree_lines(root, found.names, Shown(), True)[-1].text
    assert tree_json(root, found.names, Shown())["calls"]


def test_each_lost_end_is_a_gap_where_the_call_began() -> None:
    found, roots = trees()
    # m0 calls m1, whose entry event was lost, which calls m3, and m2, whose end was lost.
    found.take(thread_of((5, 1, 0), (30, 31, 0), (40, 32, 10), (50, 21, 0), (90, 12, 80)))
    found.take(thread_of((100, 2, 95)))
    (root,) = roots
    (call,) = root.children
    assert (call.method, call.duration, call.self_nanos) == (1, 80, 70)
    assert [(each.method, each.is_lost, each.start - BEGIN) for each in call.children] == [
        (3, False, 30),
        (2, True, 50),
    ]
    found, roots = trees()
    found.take(thread_of((5, 1, 0), (30, 11, 0), (40, 21, 0), (90, 32, 80)))
    found.take(thread_of((100, 2, 95)))
    (call,) = roots[0].children
    assert [(each.method, each.is_lost) for each in call.children] == [(1, True), (2, True)]


def test_an_event_that_comes_late_finds_its_place() -> None:
    found, roots = trees()
    found.take(thread_of((1, 1, 0), (95, 12, 90)))
    # In the call that has just ended: a caller of nothing, and then the call between both.
    found.take(thread_of((40, 32, 10)))
    found.take(thread_of((60, 22, 50)))
    found.take(thread_of((100, 2, 99)))
    (root,) = roots
    (outer,) = root.children
    (middle,) = outer.children
    (inner,) = middle.children
    assert [each.method for each in (root, outer, middle, inner)] == [0, 1, 2, 3]
    assert [each.self_nanos for each in (root, outer, middle, inner)] == [9, 40, 40, 10]


def test_events_in_the_order_of_falling_times_find_their_places() -> None:
    found, roots = trees()
    found.take(thread_of((1, 1, 0)))
    count = 5000
    found.take(thread_of(*((10 * number + 8, 12, 5) for number in reversed(range(count)))))
    found.take(thread_of((10 * count, 2, 10 * count - 1)))
    (root,) = roots
    assert [each.start - BEGIN for each in root.children] == [10 * number + 3 for number in range(count)]
    assert root.self_nanos == 10 * count - 1 - 5 * count
