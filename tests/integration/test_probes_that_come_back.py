"""Probes that retire while a collector is attached, because they are unselected, and that are then selected
again.
"""

from __future__ import annotations

import re
from collections import Counter

import pytest
from collector_fixtures import RETURN_FILTERED, Bench, Target, events_of

from conditions import require_bpf, wait_until
from stub_image import LONG, RETURN, Method, StubImage

FIRST = Method("com.acme.Orders", "first", (), LONG, "()J", (RETURN,))
LATER = Method("com.acme.Orders", "later", (), LONG, "()J", (RETURN,))
# Prime and small, so that no count can be a multiple of another.
ONE, TWO, THREE, FOUR = 1_009, 211, 3_001, 503


@pytest.fixture(autouse=True)
def bpf() -> None:
    require_bpf()


def first(bench: Bench) -> Target:
    return bench.target(StubImage([FIRST]), "dnt")


def later(target: Target, generation: int = 2) -> None:
    target.load(StubImage([LATER], generation=generation), "dnt", name=f"jprobe-1/{generation}.so")


def test_retired_probes_are_detached_and_returning_ones_are_linked_again(bench: Bench) -> None:
    target = first(bench)
    later(target)
    collector = bench.attach(target, "-o", "json")
    target.fire(1, ONE)
    target.hold(0, RETURN_FILTERED, TWO, 1)
    target.retire(1)
    wait_until(lambda: target.semaphores() == 1, "the collector to detach from the retired library")
    target.fire(1, THREE)
    target.hold(0, RETURN_FILTERED, 10_007, 1)  # No tracer is attached, so no hit is counted.
    target.revive(1)
    assert re.fullmatch(r"armed 1 more probe of 1 method in \d+ ms", collector.status(1))
    assert target.semaphores() == 2
    target.fire(1, FOUR)
    target.hold(0, RETURN_FILTERED, THREE, 1)
    delivered = 2 * ONE + THREE + 2 * FOUR
    held = TWO + THREE
    summary = collector.end()
    assert f" {delivered + held:,} hits = {delivered:,} delivered + {held:,} filtered + 0 lost" in summary
    names = Counter(event["probe"].split(":")[1] for event in events_of(collector))
    assert names == {"first__return": ONE + THREE + FOUR, "later__return": ONE + FOUR}
    assert target.semaphores() == 0


def test_probes_retired_from_the_start_are_attached_to_when_they_return(bench: Bench) -> None:
    target = first(bench)
    later(target)
    target.retire(1)
    collector = bench.attach(target)
    assert collector.status().startswith("armed 1 probe of 1 method ")
    target.revive(1)
    assert collector.status(1).startswith("armed 1 more probe ")
    target.fire(1, ONE)
    assert f": {2 * ONE:,} hits = {2 * ONE:,} delivered" in collector.end()


def test_the_first_events_of_later_probes_count_for_max_events(bench: Bench) -> None:
    target = bench.bare_target()
    collector = bench.start("attach", target.pid, "--wait", "--max-events", ONE, "-o", "json")
    assert collector.status().startswith("waiting ")
    later(target)
    assert collector.status(1).startswith("armed 1 probe ")
    target.fire(1, THREE)
    assert f"{ONE:,} delivered" in collector.wait()
    assert len(events_of(collector)) == ONE
