"""Classes that the JVM has loaded and not linked: where JDK-8277444 is, they are armed when they are."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from conditions import require_bpf, wait_until
from java_target import (
    Jdk,
    Process,
    attach,
    finish,
    java,
    jcollect,
    on_every_jdk,
    states_of,
    wait_for_probes,
)
from jvm_bugs import LINK_RACE, has_bug

GUEST = "Unlinked$Guest#applyAsInt"
CALLS = 7
PROBES = 3


@pytest.fixture(autouse=True)
def bpf() -> None:
    require_bpf()


def call(target: Process) -> None:
    target.send(f"call {CALLS}")
    target.wait_for_line("called")


def returned(collector: Process) -> int:
    return sum(json.loads(line)["kind"] == "return" for line in collector.out)


@on_every_jdk
def test_a_class_is_armed_when_it_is_linked(jdk: Jdk, targets: Path) -> None:
    with java(jdk, "-cp", targets, "Unlinked", probes=GUEST) as target:
        target.wait_for_line("ready")
        wait_for_probes(target.pid, PROBES)
        with attach(target.pid, "-o", "json") as collector:
            waits = has_bug(jdk, LINK_RACE)
            assert states_of(target.pid) == {"waiting" if waits else "armed": PROBES}
            warnings = [line for line in collector.err if "armed as soon as the JVM has linked" in line]
            assert len(warnings) == waits
            call(target)
            wait_until(lambda: states_of(target.pid) == {"armed": PROBES}, "the class to be armed")
            call(target)
            finish(collector)
        # Where the JVM links it for us, the first call is counted as well.
        assert CALLS <= returned(collector) <= 2 * CALLS
        assert waits or returned(collector) == 2 * CALLS


@on_every_jdk
def test_a_class_that_is_selected_before_it_is_linked(jdk: Jdk, targets: Path) -> None:
    with java(jdk, "-cp", targets, "Unlinked") as target:
        target.wait_for_line("ready")
        with jcollect("attach", target.pid, "--select", GUEST, "-o", "json") as collector:
            collector.wait_for_line("serving|.*serving" if has_bug(jdk, LINK_RACE) else "armed ")
            call(target)
            wait_until(lambda: states_of(target.pid).get("armed") == PROBES, "the class to be armed")
            call(target)
            finish(collector)
        assert CALLS <= returned(collector) <= 2 * CALLS
