"""The work that one hostile process causes does not affect the others."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

from jcollect import budget, worker_pool
from jcollect.budget import Bucket, Budgets
from jcollect.control.cancel import Cancellation, is_cancelled, stopped_by
from jcollect.errors import JcollectError
from jcollect.hub.accounts import Accounts, Share, Totals, exact_sum
from jcollect.probes.host import Host
from jcollect.session import attach_loop
from jcollect.session.credibility import CheckedCounts, Credibility
from jcollect.session.loading import Loading
from jcollect.session.process_lines import MAX_LINE, PROCESS_LINES, USER_LINES, ProcessLines
from jcollect.worker_pool import WorkerPool
from list_source import StillCounters
from processes import closed, ourselves

MOST_U64 = (1 << 64) - 1


# Tasks


def test_a_slow_task_delays_only_its_own_user() -> None:
    pool = WorkerPool("test", 4)
    stalled = threading.Event()
    try:
        slow = [pool.submit(lambda: stalled.wait(30), "slow") for _ in range(20)]
        quick = [pool.submit(lambda: None, "quick") for _ in range(20)]
        assert all(task.wait(10) for task in quick)
        assert not any(task.has_ended for task in slow)
    finally:
        stalled.set()
    assert all(task.wait(10) for task in slow)


def test_slow_and_other_processes_of_one_user_leave_slots_for_other_users() -> None:
    looks = attach_loop.new_scan_pool()
    stalled = threading.Event()
    try:
        slow = [looks.submit(lambda: stalled.wait(30), (1001, is_slow)) for is_slow in (False, True) * 20]
        assert looks.submit(lambda: None, (1002, False)).wait(10)
        assert looks.submit(lambda: None, (1002, True)).wait(10)
        assert not any(task.has_ended for task in slow)
    finally:
        stalled.set()
    assert all(task.wait(10) for task in slow)


def test_a_slow_task_delays_its_own_user_only_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_pool, "SLOW_SECONDS", 0.1)
    loading = Loading()
    stalled = threading.Event()

    def stall() -> Any:
        stalled.wait(60)

    try:
        for _ in range(8):
            loading.begin(ourselves(), "silent", stall)
        loading.begin(ourselves(), "honest", lambda: None)  # type: ignore[arg-type,return-value]
        loading.wait(15)
        assert [name for _, name, _ in loading.ended()] == ["honest"]
    finally:
        stalled.set()
    until = time.monotonic() + 10
    while loading.is_busy and time.monotonic() < until:
        loading.wait(1)
        assert all(name == "silent" for _, name, _ in loading.ended())
    assert not loading.is_busy


def test_slow_tasks_are_limited_in_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_pool, "SLOW_SECONDS", 0.05)
    loads = WorkerPool("test", 4, 6)
    stalled = threading.Event()
    running: list[int] = []

    def stall(user: int) -> None:
        running.append(user)
        stalled.wait(60)

    tasks = []
    try:
        for user in (1001, 1002, 1003):
            tasks += [loads.submit(partial(stall, user), user) for _ in range(20)]
            until = time.monotonic() + 10
            while len(running) < {1001: 6, 1002: 10, 1003: 10}[user] and time.monotonic() < until:
                time.sleep(0.01)
            time.sleep(0.3)
            # Two of the ordinary slots, and at first all slow slots except two.
            assert running.count(1001) == 6
            assert len(running) <= 10
    finally:
        stalled.set()
    assert all(task.wait(20) for task in tasks)


def test_a_task_that_fails_in_any_way_affects_no_other_task() -> None:
    pool = WorkerPool("test", 1)

    def fail(error: BaseException) -> Callable[[], None]:
        def run() -> None:
            raise error

        return run

    failed = [pool.submit(fail(error), 1) for error in (MemoryError(), OverflowError(), SystemExit(3))]
    fine = pool.submit(lambda: 7, 1)
    assert fine.wait(10)
    assert fine.result == 7
    assert [type(each.error) for each in failed] == [MemoryError, OverflowError, SystemExit]


def test_a_closed_pool_starts_no_waiting_task() -> None:
    pool = WorkerPool("test", 1)
    go_on = threading.Event()
    running = pool.submit(lambda: go_on.wait(30), 1)
    begun: list[int] = []
    waiting = pool.submit(lambda: begun.append(1), 1)
    pool.close()
    assert waiting.wait(10)
    assert isinstance(waiting.error, JcollectError)
    go_on.set()
    assert running.wait(10)
    assert not begun


def test_a_waiting_task_is_stopped_when_it_is_canceled() -> None:
    cancellation = Cancellation()
    stopped = threading.Event()
    is_waiting = threading.Event()

    def wait() -> bool:
        with cancellation.applied(), stopped_by(stopped.set):
            is_waiting.set()
            stopped.wait(30)
            return is_cancelled()

    task = WorkerPool("test", 1).submit(wait, 1)
    assert is_waiting.wait(10)
    cancellation.cancel()
    assert task.wait(10)
    assert task.result is True
    with cancellation.applied(), pytest.raises(JcollectError), stopped_by(stopped.set):
        pytest.fail("begun all the same")


# CPU time


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Returns the clock that budgets read, as a list that holds the time."""
    now = [1000.0]

    class Time:
        monotonic = staticmethod(lambda: now[0])

    monkeypatch.setattr(budget, "time", Time)
    return now


def spend(clock: list[float], seconds: float, costs: list[tuple[budget.Budget, float]]) -> list[float]:
    """Returns the CPU time that each got, if it spends its cost whenever its budget allows."""
    spent = [0.0] * len(costs)
    until = clock[0] + seconds
    while clock[0] < until:
        clock[0] += 0.2
        for number, (one, cost) in enumerate(costs):
            if one.allows():
                one.charge(cost)
                spent[number] += cost
    return spent


def test_a_process_that_always_changes_gets_a_small_part_of_a_core(clock: list[float]) -> None:
    expensive = Budgets().of_process(1001)
    assert spend(clock, 1, [(expensive, 0.2)])[0] > 0.5  # Saved credit is spent without delay.
    spend(clock, 60, [(expensive, 0.2)])
    assert spend(clock, 100, [(expensive, 0.2)])[0] / 100 < 0.03


def test_all_hungry_processes_together_get_no_more_than_their_part(clock: list[float]) -> None:
    budgets = Budgets()
    expensive = [(budgets.of_process(1000 + number), 0.2) for number in range(20)]
    cheap = budgets.of_process(0)
    spend(clock, 600, expensive)
    got = spend(clock, 100, [*expensive, (cheap, 0.0004)])
    assert sum(got[:-1]) / 100 < 0.2
    assert got[-1] == pytest.approx(0.0004 * 500, rel=0.02)  # A cheap process runs whenever it wants.


def test_short_lived_processes_of_one_user_count_together(clock: list[float]) -> None:
    budgets = Budgets()
    spent = 0.0
    for number in range(3000):
        clock[0] += 0.2
        fresh = budgets.of_process(1001)
        if fresh.allows():
            fresh.charge(0.1)
            spent += 0.1 if number > 1000 else 0.0
    assert spent / (2000 * 0.2) < 0.1
    assert not budgets.allows_new(1001)
    assert budgets.allows_new(1002)


def test_a_bucket_that_is_empty_fills_again(clock: list[float]) -> None:
    bucket = Bucket(0.5, 2.0)
    bucket.take(3.0, clock[0])
    assert bucket.left(clock[0]) == -1.0
    assert bucket.left(clock[0] + 2) == 0.0
    assert bucket.left(clock[0] + 100) == 2.0


class Starting:
    """A process that has just started, and needs 5 ms to classify."""

    def __init__(self, owner: int, looked_at: list[int]) -> None:
        self.owner = owner
        self.classified = 0.0
        self._looked_at = looked_at

    def classify(self, now: float) -> float:
        self.classified = now
        self._looked_at.append(self.owner)
        time.sleep(0.005)
        return 0.005


def test_a_user_who_keeps_starting_processes_does_not_hide_those_of_others() -> None:
    host, looked_at = Host(), list[int]()
    host._scans = 2
    hostile = [Starting(1001, looked_at) for _ in range(200)]
    host._classify_starting([*hostile, Starting(1002, looked_at)], time.monotonic())  # type: ignore[list-item]
    assert looked_at.count(1001) < 10
    assert looked_at.count(1002) == 1
    looked_at.clear()
    host._classify_starting([*hostile, Starting(1002, looked_at)], time.monotonic())  # type: ignore[list-item]
    assert looked_at == [1002]


# Lines


class Lines:
    def __init__(self) -> None:
        self.every: list[str] = []
        self.lines = ProcessLines(self.every.append, self.every.append)


def test_a_process_that_brings_about_many_warnings_gets_few_lines() -> None:
    said = Lines()
    process = closed(4711, owner=1000)
    for number in range(10_000):
        said.lines.warn(process, f"{number} " + "x" * 50_000)
        said.lines.catch_up()
    assert len(said.every) <= PROCESS_LINES + 2
    assert max(map(len, said.every)) <= MAX_LINE
    said.lines.warn(closed(4712, owner=1000), "another one is reported")
    assert said.every[-1] == "another one is reported"
    said.lines.catch_up(is_over=True)
    left_out = f"{10_000 - PROCESS_LINES:,} more lines about PID 4711 in the last "
    assert any(left_out in line for line in said.every)


def test_many_processes_of_a_user_get_few_lines() -> None:
    said = Lines()
    for pid in range(10_000):
        said.lines.warn(closed(pid, owner=1000), "leaving out")
        said.lines.say(closed(pid, owner=1000), "has exited")
    assert len(said.every) <= USER_LINES + 5
    said.lines.warn(closed(1_000_001, owner=1001), "of another user")
    assert said.every[-1] == "of another user"
    said.lines.catch_up(is_over=True)
    assert "more lines about processes of user 1000 in the last " in said.every[-1]


# Hit counts


@pytest.fixture
def credibility(monkeypatch: pytest.MonkeyPatch) -> Credibility:
    monkeypatch.setattr("jcollect.session.credibility.cpus", lambda: 2)
    return Credibility()


def rows(*counts: tuple[int, int, int]) -> np.ndarray:
    return np.array(counts, np.uint64)


def test_plausible_hit_counts_are_accepted(credibility: Credibility) -> None:
    counts = CheckedCounts(2, credibility)
    counts.accept(rows((5, 6, 7), (0, 0, 0)))
    counts.accept(rows((1_000_000_000, 6, 5_000_000_000), (3, 0, 0)))
    assert counts.counts.tolist() == [[1_000_000_000, 6, 5_000_000_000], [3, 0, 0]]
    assert credibility.is_credible


@pytest.mark.parametrize(
    "lie",
    [
        (MOST_U64, 0, 0),
        (0, 1 << 63, 0),
        (0, 0, MOST_U64),
        (4, 6, 7),  # Less than before.
        (10**12, 0, 0),  # A CPU busy for a thousand seconds.
        (5, 6, 3600 * 10**9),
    ],
)
def test_impossible_hit_counts_are_rejected_and_all_after_them(
    credibility: Credibility, lie: tuple[int, int, int]
) -> None:
    counts, other = CheckedCounts(1, credibility), CheckedCounts(1, credibility)
    counts.accept(rows((5, 6, 7)))
    counts.accept(rows(lie))
    assert counts.counts.tolist() == [[5, 6, 7]]
    assert not credibility.is_credible
    counts.accept(rows((8, 8, 8)))
    other.accept(rows((8, 8, 8)))
    assert counts.counts.tolist() == [[5, 6, 7]]
    assert other.counts.tolist() == [[0, 0, 0]]


def test_many_probes_together_cannot_have_more_calls_than_one_process_can(credibility: Credibility) -> None:
    for _ in range(10):
        CheckedCounts(1, credibility).accept(rows((20_000_000_000, 0, 0)))
    assert not credibility.is_credible


def test_sums_are_exact_beyond_64_bits() -> None:
    assert exact_sum(np.full(3, MOST_U64, np.uint64)) == 3 * MOST_U64
    assert exact_sum(np.array([1 << 62, 1], np.uint64)) == (1 << 62) + 1
    assert exact_sum(np.zeros(0, np.uint64)) == 0


def test_the_hit_counts_of_processes_add_up_to_those_of_all() -> None:
    accounts = Accounts(4, [StillCounters(4, hits=[30, 10, 5, 0])])
    one, other = Share(), Share()
    exited, stays, others = np.array([0]), np.array([1]), np.array([2, 3])
    one.add(exited)
    one.add(stays)
    other.add(others)
    accounts.suppress(np.array([0, 2]), rows((100, 3, 50), (7, 0, 0)))
    assert one.totals(accounts.hit_counts()) + other.totals(accounts.hit_counts()) == accounts.totals()
    one.close(exited, accounts.hit_counts().totals(exited))
    accounts.release(exited)
    other.add(exited)  # The ID is now reassigned to a probe of another process.
    counts = accounts.hit_counts()
    assert one.totals(counts) == Totals(143, 0, 100, 0, 0, 3, 50)
    assert one.totals(counts) + other.totals(counts) == accounts.totals()
