"""The agent on aarch64, under qemu-user: its probes can be read, and the direct lane is exact.

Nothing here needs BPF: calls fire without a trap.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from conditions import as_root, wait_until
from emulated import EMULATED_SECONDS, emulated_jdk, emulator, is_translated
from java_target import JAR, JCOLLECT, ORDERS, ORDERS_PROBES, Jdk, Process, run, states_of, wait_for_probes
from leased import leased_counts, leased_events
from orders_client import ENTRY, assert_exact, events_of
from prime_calls import hits_of, leftovers, run_calls
from processes import opened

AGENT = f"-javaagent:{JAR}=probes={ORDERS},control=on,max-overhead=0"
# PrimeCalls.java has the same numbers.
THREADS = 4

pytestmark = as_root


@pytest.fixture
def jdk() -> Jdk:
    return emulated_jdk()


def started(jdk: Jdk, targets: Path, *jvm: str) -> Process:
    target = Process([*emulator(), jdk.java, *jvm, "-cp", str(targets), "PrimeCalls"])
    target.wait_for_line("ready", EMULATED_SECONDS)
    return target


@pytest.fixture
def target(jdk: Jdk, targets: Path) -> Iterator[Process]:
    """Yields the program with an agent from the start, all of its probes dormant."""
    with started(jdk, targets, AGENT) as target:
        assert is_translated(target.pid)
        wait_for_probes(target.pid, ORDERS_PROBES)
        yield target
        target.send("exit")
        assert target.wait() == 0
        assert target.err == []


def all_armed(target: Process) -> bool:
    return states_of(target.pid)["armed"] == ORDERS_PROBES


def assert_every_call_is_an_event(target: Process) -> None:
    with leased_events(opened(target.pid)) as events:
        wait_until(lambda: all_armed(target), "all probes to be armed")
        tallies = run_calls(target)
        wait_until(lambda: events.tallies.events.total() >= hits_of(tallies), f"{hits_of(tallies):,} events")
        assert_exact(events.tallies, tallies)
        assert events.lost() == 0
        assert len(events.tids) == THREADS
    wait_until(lambda: states_of(target.pid)["dormant"] == ORDERS_PROBES, "all probes to be dormant")


def test_every_call_is_an_event(target: Process) -> None:
    # The second time with methods that were woven before, and with other rings.
    assert_every_call_is_an_event(target)
    assert_every_call_is_an_event(target)


def test_every_call_is_counted_in_a_histogram(target: Process) -> None:
    with leased_counts(opened(target.pid)) as counts:
        wait_until(lambda: states_of(target.pid)["armed"] > 0, "probes to be armed")
        tallies = run_calls(target)
        ends = {probe: calls for probe, calls in events_of(tallies).items() if probe[2] != ENTRY}
        wait_until(lambda: counts.read() == ends, "all calls to be counted")


def test_an_agent_that_is_loaded_later_traces_every_call_and_leaves_nothing(jdk: Jdk, targets: Path) -> None:
    with started(jdk, targets) as target:
        assert run(JCOLLECT, "select", target.pid, ORDERS, timeout=EMULATED_SECONDS).returncode == 0
        assert_every_call_is_an_event(target)
        assert run(JCOLLECT, "reset", target.pid).returncode == 0
        wait_until(lambda: leftovers(target.pid) == [], "the agent to leave nothing")
        target.send("exit")
        assert target.wait() == 0
        assert target.err == []
