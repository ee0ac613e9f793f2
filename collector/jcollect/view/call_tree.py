"""Builds the trees of calls of all threads from their events, as they come.

A call is known when it ends: then the calls that it made are those that it covers (view/nesting.py), and
they have ended before. Entry events say which calls still run. A tree is complete when none does. An entry
event without an end is a gap, not a call: nobody knows where it ended, so nothing is placed in it.

The parent of a call is the innermost call around it whose end is known. A lost event removes its own call
from the tree, and moves no other one.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Sequence

from jcollect.probes.description import Described
from jcollect.probes.probe import ENTRY, THROW, TIMED_KINDS
from jcollect.sources.columns import Columns
from jcollect.view.call import Call, calls_in
from jcollect.view.nesting import begins_after, covers, spans_of, thread_key
from jcollect.view.summary import MethodId, key_of, names_of

# Calls of a thread that wait for the end of their tree. Beyond, they are left out, the innermost and then
# the shortest first, and counted.
MOST_CALLS_OF_THREAD = 1 << 16
# The same of all threads together, with those that run.
MOST_CALLS = 1 << 20
MOST_THREADS = 1 << 16
# Calls that run at the same time in one thread.
MOST_OPEN = 1 << 16
# Completed roots of a thread that a call whose begin was not seen may turn out to have made.
MOST_REMEMBERED = 64
# In the kernel lane an entry event has the time of its trap, and a start is from the program's clock.
_CLOCK_ERROR_NS = 1_000
# Events after which all calls are counted again.
_EVENTS_TO_COUNT = 1 << 16
# Time after which a call is taken for a root although it is not known that no other one runs around it.
HOLD_NS = 1_000_000_000


class _Open:
    """An entry event whose end has not come. `is_doubtful` if there may be none: it was lost, or the method
    is a constructor, whose end is not reported if the constructor of its superclass throws."""

    __slots__ = ("call", "is_doubtful")

    def __init__(self, call: Call, is_doubtful: bool) -> None:
        self.call = call
        self.is_doubtful = is_doubtful


class _Thread:
    """`done` are the calls that have ended, and whose callers have not, in the order of their times;
    `calls` the number of calls in them. `printed` has (start, duration) of the last roots, and `forgotten`
    the start of the last one that is not among them any more."""

    __slots__ = ("calls", "done", "forgotten", "lost", "open", "printed")

    def __init__(self) -> None:
        self.done: list[Call] = []
        self.open: list[_Open] = []
        self.calls = self.lost = self.forgotten = 0
        self.printed: list[tuple[int, int]] = []


class CallTrees:
    """The trees of one stream. `names` are those of the methods, by number.

    `complete` gets each root once its call has ended. A call of which it is not known whether another one
    runs around it counts as a root `hold` ns after its end; None: at the end of the stream. `left_out`
    counts the calls that are in no tree, and `unended` those that are in none because their ends were lost.
    """

    def __init__(self, complete: Callable[[Call], None], hold: int | None = HOLD_NS) -> None:
        self._complete = complete
        self._hold = hold
        self._names: list[str] | None = None
        self.pids: set[int] = set()
        self.left_out = self.unended = 0
        self._methods: dict[MethodId, int] = {}
        self._with_entry: set[int] = set()
        self._timed: set[int] = set()
        # True if no call runs unnoticed: all methods have entry probes.
        self._sees_entries = False
        # By probe ID: the number of its method, its PID, its kind, and whether it belongs to a constructor.
        self._probes: dict[int, tuple[int, int, int, bool]] = {}
        self._threads: dict[tuple[int, int], _Thread] = {}
        self._now = self._flushed = self._uncounted = 0

    @property
    def names(self) -> list[str]:
        if self._names is None:
            self._names = names_of(list(self._methods))
        return self._names

    def describe(self, probes: Iterable[Described]) -> None:
        """Adds the probes of a schema."""
        for probe in probes:
            number = self._methods.setdefault(key_of(probe), len(self._methods))
            self._probes[probe.id] = (number, probe.pid, probe.kind, probe.method == "<init>")
            self.pids.add(probe.pid)
            if probe.kind == ENTRY:
                self._with_entry.add(number)
            elif probe.kind in TIMED_KINDS:
                self._timed.add(number)
        self._sees_entries = self._timed <= self._with_entry
        self._names = None

    def take(self, columns: Columns, texts: Sequence[str] | None = None) -> None:
        """Adds a batch. `texts` has what is to be shown of each event; None for nothing."""
        if not len(columns):
            return
        spans = spans_of(columns)
        rows = zip(
            columns.probe.tolist(), columns.tid.tolist(), columns.thread.tolist(), spans.starts, spans.ends,
            strict=True,
        )  # fmt: skip
        for index, (probe, tid, java, start, end) in enumerate(rows):
            method, pid, kind, is_constructor = self._probes[probe]
            if kind == ENTRY:
                call = Call(method, probe, pid, tid, java, start, end)
                self._begin(self._thread(pid, tid, java), call, is_constructor)
            elif kind in TIMED_KINDS:
                call = Call(method, probe, pid, tid, java, start, end, kind == THROW)
                if texts is not None:
                    call.text = texts[index]
                self._end(self._thread(pid, tid, java), call)
        self._now = max(self._now, int(columns.time_unix_nanos.max()))
        self.flush(self._now)
        self._uncounted += len(columns)
        if self._uncounted >= _EVENTS_TO_COUNT:
            self._uncounted = 0
            self._bound()

    def _bound(self) -> None:
        """Completes what waits, if it is too much: calls count as roots, and no call as running."""
        threads = self._threads.values()
        if sum(each.calls + len(each.open) for each in threads) <= MOST_CALLS:
            return
        for thread in threads:
            self._complete_all(thread)
            self.unended += len(thread.open)
            thread.open.clear()

    def take_loss(self, events: int, by_probe: Collection[int]) -> None:
        """Records that so many more events of these probes will not come: all, if none is named."""
        methods = {self._probes[probe][0] for probe in by_probe if probe in self._probes}
        for thread in self._threads.values():
            if thread.open or thread.done:
                thread.lost += events
            for each in thread.open:
                if not by_probe or each.call.method in methods:
                    each.is_doubtful = True

    def _thread(self, pid: int, tid: int, java: int) -> _Thread:
        key = thread_key(pid, tid, java)
        thread = self._threads.get(key)
        if thread is None:
            if len(self._threads) >= MOST_THREADS:
                self._forget_threads()
            thread = self._threads[key] = _Thread()
        return thread

    def _forget_threads(self) -> None:
        """Forgets the threads in which nothing runs; if all are busy, the one that came first."""
        idle = [key for key, each in self._threads.items() if not each.open and not each.done]
        for key in idle or [next(iter(self._threads))]:
            self._complete_all(self._threads.pop(key))

    def _begin(self, thread: _Thread, call: Call, is_doubtful: bool) -> None:
        if len(thread.open) < MOST_OPEN:
            thread.open.append(_Open(call, is_doubtful))

    def _end(self, thread: _Thread, call: Call) -> None:
        lost = _closed(thread.open, call)
        siblings, parent = thread.done, None
        # An event that comes late: that of its caller is there.
        while (around := _around(siblings, call)) is not None:
            siblings, parent = around.children, around
        adopted = _adopt(siblings, call, lost)
        if parent is not None:
            parent.inner_nanos += call.duration - adopted
            return
        thread.calls += 1 + len(lost)
        _take_printed(thread, call)
        if not thread.open and self._sees_entries:
            self._complete_all(thread)
        elif thread.calls > MOST_CALLS_OF_THREAD:
            self._make_room(thread)

    def _make_room(self, thread: _Thread) -> None:
        if thread.open:
            thread.calls = _leave_out(thread.done)
        else:
            self._complete_first(thread, len(thread.done) // 2 + 1)

    def flush(self, now: int) -> None:
        """Completes the calls that count as roots at this time, in ns since 1970."""
        hold = self._hold
        if hold is None or now - self._flushed < hold // 4:
            return
        self._flushed = now
        for thread in self._threads.values():
            if not thread.done or not all(each.is_doubtful for each in thread.open):
                continue
            count = sum(call.end + hold <= now for call in thread.done)
            if count:
                self._complete_first(thread, count)

    def finish(self) -> None:
        """Completes everything: calls that have not ended are running."""
        for thread in self._threads.values():
            self.unended += _place_running(thread, self._now)
            self._complete_all(thread)

    def _complete_all(self, thread: _Thread) -> None:
        self._complete_first(thread, len(thread.done))
        thread.calls = 0

    def _complete_first(self, thread: _Thread, count: int) -> None:
        roots, thread.done = thread.done[:count], thread.done[count:]
        for root in roots:
            if root.is_folded:
                self.left_out += root.left_out
                continue
            root.lost, thread.lost = thread.lost, 0
            thread.printed.append((root.start, root.duration))
            self._complete(root)
        if len(thread.printed) > MOST_REMEMBERED:
            thread.forgotten = thread.printed[-MOST_REMEMBERED - 1][0]
            del thread.printed[:-MOST_REMEMBERED]
        if not thread.done:
            thread.calls = 0
            # They have no end, or they would have been in a tree.
            running = [each for each in thread.open if not each.is_doubtful]
            self.unended += len(thread.open) - len(running)
            thread.open = running


def _closed(running: list[_Open], call: Call) -> list[Call]:
    """Removes the entry event of a call that has ended, and those of calls within it, whose ends were lost;
    returns the latter."""
    # The entry event fires before the clock is read for the start: those after the start are of calls within.
    first = len(running)
    while first and running[first - 1].call.start > call.start:
        first -= 1
    own = 0
    if first and running[first - 1].call.method == call.method:
        first, own = first - 1, 1
    elif first < len(running):
        entry = running[first].call
        own = int(entry.method == call.method and entry.start <= call.start + _CLOCK_ERROR_NS)
    lost = [each.call for each in running[first + own :]]
    del running[first:]
    for each in lost:
        each.is_lost = True
    return lost


def _around(siblings: list[Call], call: Call) -> Call | None:
    """Returns the one of these calls that covers a call; None if none does."""
    for each in reversed(siblings):
        if each.end < call.start:
            break
        if not (each.is_lost or each.is_folded) and covers(each.start, each.end, call.start, call.end):
            return each
    return None


def _adopt(siblings: list[Call], call: Call, lost: list[Call]) -> int:
    """Puts a call among its siblings, and in it those that it covers; returns the time of these."""
    # Siblings are in the order of their starts. Most calls come last.
    last = len(siblings)
    if last and siblings[-1].start > call.end:
        last = bisect_right(siblings, call.end, key=lambda each: each.start)
    first = last
    while first and _is_in(siblings[first - 1], call):
        first -= 1
    if first and siblings[first - 1].is_folded and siblings[first - 1].end > call.start:
        call.is_partial = True
    nanos = 0
    for each in siblings[first:last]:
        if each.is_folded:
            call.left_out += each.left_out
            nanos += each.inner_nanos
        else:
            call.children.append(each)
            nanos += 0 if each.is_lost else each.duration
    if lost:
        call.children = sorted([*call.children, *lost], key=lambda each: each.start)
    call.inner_nanos += nanos
    siblings[first:last] = [call]
    return nanos


def _is_in(each: Call, call: Call) -> bool:
    if each.is_lost or each.is_folded:
        return each.start >= call.start
    # The call that ended first is the inner one of two that began at the same time.
    is_after = begins_after(call.start, each.start, each.end) or each.start == call.start
    return is_after and each.duration <= call.duration


def _take_printed(thread: _Thread, call: Call) -> None:
    """Takes account of the roots that a call turns out to have made."""
    while thread.printed and thread.printed[-1][0] >= call.start:
        call.printed += 1
        call.inner_nanos += thread.printed.pop()[1]
    call.is_partial = call.is_partial or thread.forgotten >= call.start


def _leave_out(done: list[Call]) -> int:
    """Leaves out what the calls have made, and, if these are still too many, the shorter half of them.
    Returns the number of calls that are left."""
    for call in done:
        if call.children:
            call.left_out += sum(1 + each.left_out for child in call.children for each in calls_in(child))
            call.children = []
    if len(done) <= MOST_CALLS_OF_THREAD // 2:
        return len(done)
    median = sorted(call.duration for call in done)[len(done) // 2]
    kept: list[Call] = []
    for call in done:
        if call.duration > median and not call.is_folded:
            kept.append(call)
            continue
        if not kept or not kept[-1].is_folded:
            kept.append(Call(-1, 0, call.pid, call.tid, call.thread, call.start, call.end))
        kept[-1].end = call.end
        kept[-1].left_out += call.left_out + (0 if call.is_folded else 1)
        kept[-1].inner_nanos += call.inner_nanos if call.is_folded else call.duration
    done[:] = kept
    return len(done)


def _place_running(thread: _Thread, now: int) -> int:
    """Makes the calls that have not ended the callers of those within them. Returns the number of those
    whose ends were lost, and that are in no other call."""
    lost: list[Call] = []
    for each in reversed(thread.open):
        call = each.call
        if each.is_doubtful:
            call.is_lost = True
            lost.append(call)
            continue
        call.end, call.is_running = max(now, call.start), True
        within = [one for one in lost if one.start >= call.start]
        lost = [one for one in lost if one.start < call.start]
        first = len(thread.done)
        while first and thread.done[first - 1].start >= call.start:
            first -= 1
        thread.done[first:], inner = [call], thread.done[first:]
        call.left_out = sum(one.left_out for one in inner if one.is_folded)
        call.inner_nanos = sum(one.inner_nanos if one.is_folded else one.duration for one in inner)
        call.children = sorted(
            [*(one for one in inner if not one.is_folded), *within], key=lambda one: one.start
        )
        _take_printed(thread, call)
    thread.open = []
    return len(lost)
