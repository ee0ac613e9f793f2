"""jcollect in a PID namespace of its own, as in a container."""

from __future__ import annotations

import re
from pathlib import Path

from collector_fixtures import Bench, events_of

from conditions import require_bpf
from stub_image import LONG, Method, StubImage

OWN_PIDS = ("unshare", "-m", "-p", "-f", "--mount-proc")
NUMBERS = StubImage([Method("com.acme.Orders", "number", (), LONG, "()J", (2,))])


def test_process_and_thread_ids_are_those_of_the_collectors_namespace(bench: Bench) -> None:
    require_bpf()
    target = bench.target(NUMBERS, "dnt", wrapper=OWN_PIDS)
    beside = ("nsenter", "-m", "-p", "-t", str(target.pid))
    collector = bench.start("attach", 1, "-o", "json", "--max-events", 303, before=beside)
    assert collector.status().startswith("armed "), collector.errors
    target.fire(3, 101)
    collector.wait()
    events = events_of(collector)
    assert {event["pid"] for event in events} == {1}
    threads = {event["tid"] for event in events}
    assert len(threads) == 3
    assert max(threads) < target.pid


def test_a_thread_of_a_namespace_inside_of_the_collectors_has_no_id(bench: Bench) -> None:
    require_bpf()
    target = bench.target(NUMBERS, "dnt", wrapper=(*OWN_PIDS, "unshare", "-p", "-f"))
    status = Path(f"/proc/{target.pid}/status").read_text()
    (parent,) = re.findall(r"PPid:\t(\d+)", status)
    (_, pid, inner) = re.findall(r"NSpid:\t(\d+)\t(\d+)\t(\d+)", status)[0]
    assert (pid, inner) == ("2", "1")
    beside = ("nsenter", "-m", "-p", "-t", parent)
    collector = bench.start("attach", pid, "-o", "json", "--max-events", 7, before=beside)
    assert collector.status().startswith("armed "), collector.errors
    target.fire(1, 7)
    collector.wait()
    assert [(event["pid"], event["tid"]) for event in events_of(collector)] == [(2, 0)] * 7
