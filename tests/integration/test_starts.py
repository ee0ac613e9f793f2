"""Return and throw events carry the start of their call, as the program has measured it."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

import jcollect
from conditions import require_bpf
from java_target import attach, finish, java, newest_jdk
from jcollect.rpc.public.event import Event


@pytest.mark.parametrize("lane", ["kernel", "direct"])
def test_a_call_lasts_from_its_start_for_its_duration(targets: Path, lane: str) -> None:
    require_bpf()
    with java(newest_jdk, "-cp", targets, "Starts", probes="Starts#*") as target:
        target.wait_for_line("ready")
        with attach(target.pid, "--lane", lane) as collector:
            with jcollect.Client(str(target.pid)) as client:
                events = client.events()
                target.send("go")
                target.wait_for_line("called")
                found = [event for _, event in zip(range(200), events, strict=False)]
                events.close()
            finish(collector)
    entries: dict[str, list[Event]] = defaultdict(list)
    offsets, lates = [], []
    for event in found:
        entry_of = entries[event.probe.method]
        if event.probe.kind == "entry":
            assert event.start_unix_nanos == 0
            entry_of.append(event)
            continue
        entry = entry_of.pop()
        late = event.time_unix_nanos - event.duration_nanos - event.start_unix_nanos
        lates.append(late)
        offsets.append(event.start_unix_nanos - int(str(next(iter(entry.values.values())))))
        if lane == "direct":
            assert event.start_unix_nanos == entry.time_unix_nanos
        else:
            assert event.start_unix_nanos >= entry.time_unix_nanos
    assert len(offsets) == 100
    # The start is a constant after nanoTime before the call, and the event a bit after its end.
    spread = np.abs(np.array(offsets) - np.median(offsets))
    assert np.median(spread) < 30_000
    assert all(late == 0 for late in lates) if lane == "direct" else min(lates) > -2_000
    assert np.median(lates) < 100_000
