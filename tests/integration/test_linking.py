"""Classes that the JVM has loaded but not linked: the agent links them before it retransforms them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from conditions import require_bpf
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
def test_a_class_that_is_not_linked_yet_is_traced_from_its_first_call(jdk: Jdk, targets: Path) -> None:
    with java(jdk, "-cp", targets, "Unlinked", probes=GUEST) as target:
        target.wait_for_line("ready")
        wait_for_probes(target.pid, PROBES)
        with attach(target.pid, "-o", "json") as collector:
            assert states_of(target.pid) == {"armed": PROBES}
            call(target)
            finish(collector)
        assert returned(collector) == CALLS


@on_every_jdk
def test_a_class_that_is_not_linked_yet_can_be_selected(jdk: Jdk, targets: Path) -> None:
    with java(jdk, "-cp", targets, "Unlinked") as target:
        target.wait_for_line("ready")
        with jcollect("attach", target.pid, "--select", GUEST, "-o", "json") as collector:
            collector.wait_for_line("armed ")
            call(target)
            finish(collector)
        assert returned(collector) == CALLS
