"""Methods whose names look alike to tracers: each has its own probes, and no two share a name."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from conditions import require_bpf
from java_target import Jdk, attach, finish, java, on_every_jdk, wait_for_probes
from recording import Recording

ALIKE = "Namesakes$Alike"
METHODS = 21


@pytest.fixture(autouse=True)
def bpf() -> None:
    require_bpf()


@on_every_jdk
def test_namesakes_are_distinguished(jdk: Jdk, targets: Path) -> None:
    selectors = f"{ALIKE}*#*;!{ALIKE}_#new;!{ALIKE}$#new"
    with java(jdk, "-cp", targets, "Namesakes", probes=selectors) as target:
        target.wait_for_line("ready")
        probes = wait_for_probes(target.pid, 3 * METHODS)
        names = {(probe["provider"], probe["name"]) for probe in probes}
        assert len(names) == len(probes)
        # Names that are already unique stay unchanged.
        given = {
            (p["class"], p["method"], p["descriptor"]): p["name"] for p in probes if p["kind"] == "entry"
        }
        assert given[ALIKE, "f", "()V"] == "f__entry"
        assert given[ALIKE, "f", "(I)V"] == "f__5__entry"
        assert given[ALIKE, "f", "(J)V"] == "f__3__entry"
        assert given[ALIKE, "f__2", "()V"] == "f__2__entry"
        assert given[ALIKE, "f__2", "(I)V"] == "f__2__2__entry"
        assert given[ALIKE, "f__2__entry", "()V"] == "f__2__entry__entry"
        assert {given[ALIKE, "init", "()V"], given[ALIKE, "<init>", "()V"]} == {
            "init__entry",
            "init__3__entry",
        }
        with attach(target.pid) as collector:
            recording = Recording(target.pid)
            target.send("run")
            target.wait_for_line("done")
            summary = finish(collector)
            calls = Counter(event.method for event in recording.end() if event.kind == "return")
        assert not [line for line in collector.err if "skipping" in line]
    assert calls == Counter({f"{ALIKE}#f()V": 1}) + Counter(
        f"{class_name}#{method}{descriptor}" for class_name, method, descriptor in given
    )
    assert f"{2 * (METHODS + 1)} hits = {2 * (METHODS + 1)} delivered" in summary
