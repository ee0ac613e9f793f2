"""Every hit is accounted for, by probe and by stage, at any quiet moment, with loss forced at each stage."""

from __future__ import annotations

import contextlib
import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from collector_fixtures import RETURN_FILTERED, Bench, Target, events_of

from conditions import require_bpf, wait_until
from jcollect.hub.clock import utc_offset_ns
from jcollect.hub.hub import Subscription
from jcollect.probes.scan import scan_traceable
from jcollect.session.session import Session
from jcollect.sources.columns import Columns
from jcollect.sources.records.decoder import RecordDecoder
from processes import opened
from received import batches, received
from stub_image import BOOLEAN, LONG, STRING, Method, StubImage

PLACE = Method("com.acme.Orders", "place", (LONG, STRING), BOOLEAN, "(JLjava/lang/String;)Z")
PATTERNS = ("nst", "d1t", "det")
NUMBERS = StubImage([Method("com.acme.Orders", "m0", (), LONG, "()J", (2,))])
LOSS = 3  # The exit code of --fail-on-loss.
# Maximum time in s for which a hit may be in flight.
QUIET_SECONDS = 1.0


@pytest.fixture(autouse=True)
def _bpf() -> None:
    require_bpf()


def collector_of(bench: Bench, target: Target) -> dict[str, Any]:
    shown = bench.run("status", target.pid, "--json")
    assert shown.returncode == 0, shown.stderr
    (collector,) = json.loads(shown.stdout)["collectors"]
    assert isinstance(collector, dict)
    return collector


def settled_status(bench: Bench, target: Target, hits: int) -> dict[str, Any]:
    """Returns the hit counts that the collector reports once they contain that many hits. Fails if that takes
    long.
    """

    def balanced() -> dict[str, Any] | None:
        said = collector_of(bench, target)
        counts = said["counts"]
        assert counts["hits"] <= hits
        return said if sum(counts.values()) - counts["hits"] == hits else None

    said: dict[str, Any] = wait_until(balanced, f"balanced counts of {hits} hits", QUIET_SECONDS + 2)
    return said


def counts_by_probe(said: dict[str, Any]) -> dict[str, dict[str, int]]:
    return {each["probe"]["name"]: each["counts"] for each in said["probes"]}


def adds_up(counts: dict[str, int]) -> bool:
    parts = ("delivered", "filtered", "lost_in_kernel_ring", "lost_in_collector")
    return counts["hits"] == sum(counts[part] for part in parts)


def test_the_hit_counts_of_each_probe_add_up_at_any_quiet_moment(bench: Bench) -> None:
    target = bench.target(StubImage([PLACE]), *PATTERNS)
    file = bench.directory / "counts.json"
    collector = bench.attach(target, "--counts", file)
    watcher = bench.observe(target.pid, "-o", "json", "--probe", "*__return")
    for round_number in range(1, 6):
        target.fire(4, 251)
        target.hold(0, RETURN_FILTERED, 17)
        said = settled_status(bench, target, round_number * (3 * 1004 + 17))
        by_probe = counts_by_probe(said)
        assert all(map(adds_up, by_probe.values()))
        assert {name: (each["hits"], each["filtered"]) for name, each in by_probe.items()} == {
            "place__entry": (1004 * round_number, 0),
            "place__return": (1021 * round_number, 17 * round_number),
            "place__throw": (1004 * round_number, 0),
        }
        (subscriber,) = said["subscribers"]
        assert subscriber["events"] == 1004 * round_number
        assert subscriber["events"] == sum(subscriber[part] for part in ("delivered", "lost", "queued"))
    lines = bench.run("status", target.pid).stdout.splitlines()
    assert f"attached: to PID {target.pid} (target), 3 of 3 probes armed, 1 stub library linked" in lines
    assert "hits: 15,145 hits = 15,060 delivered + 85 filtered + 0 lost (kernel ring 0, collector 0)" in lines
    assert any(re.fullmatch(r"link: uprobe-multi at nop\d* \(\+\d\) for 3 probes", line) for line in lines)
    assert lines[-3].split() == ["5,105", "5,020", "85", "0", "armed", "com_acme_Orders:place__return"]
    assert "15,145 hits = 15,060 delivered + 85 filtered + 0 lost" in collector.end()
    assert counts_by_probe(json.loads(file.read_text())) == by_probe
    watcher.wait()
    assert len(events_of(watcher)) == 5020


def test_attached_probes_that_cannot_fire_are_named_with_the_reason(bench: Bench) -> None:
    image = StubImage([Method("com.acme.Orders", "place"), Method("com.acme.Orders", "never", kinds=(1,))])
    target = bench.target(image, "t", "d0t", "det", "!t")
    collector = bench.start("attach", target.pid)
    assert collector.status(1).startswith("armed 3 probes ")
    lines = bench.run("status", target.pid).stdout.splitlines()
    assert (
        "not live: 1 probe failed (cannot be woven; see the program's stderr): com_acme_Orders:never__entry"
    ) in lines
    assert f"attached: to PID {target.pid} (target), 3 of 4 probes armed, 1 stub library linked" in lines
    collector.end()


def test_loss_in_the_ring_buffer_is_counted_per_probe(bench: Bench) -> None:
    target = bench.target(StubImage([PLACE]), *PATTERNS)
    collector = bench.attach(target, "--ring-pages", "1", "--fail-on-loss")
    top = bench.start("top", target.pid, "--events", "--fail-on-loss")
    wait_until(lambda: collector_of(bench, target)["subscribers"], "top to subscribe")
    target.fire(4, 10007)
    said = settled_status(bench, target, 3 * 40028)
    by_probe = counts_by_probe(said)
    assert all(map(adds_up, by_probe.values()))
    assert [counts["hits"] for counts in by_probe.values()] == [40028] * 3
    assert sum(counts["lost_in_kernel_ring"] for counts in by_probe.values()) > 0
    collector.process.send_signal(signal.SIGINT)
    assert collector.wait(LOSS) == "jcollect: {:,} events lost, and --fail-on-loss is given".format(
        said["counts"]["lost_in_kernel_ring"]
    )
    assert top.wait(LOSS).endswith("events lost, and --fail-on-loss is given")


@contextlib.contextmanager
def session_of(target: Target) -> Iterator[tuple[Session, Subscription]]:
    """Attaches in this process to all probes of the target, with a subscriber to all events."""
    session = Session()
    try:
        subscription = session.hub.subscribe(())
        session.start()
        session.join(scan_traceable(opened(target.pid)), lambda probe: True).attach()
        wait_until(lambda: target.semaphores() > 0, "the semaphores")
        yield session, subscription
    finally:
        session.close()


def batches_of(subscription: Subscription) -> list[Columns]:
    return batches(received(subscription))


def test_loss_in_the_collector_is_counted(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Forces malformed records, which do not occur otherwise, by hiding one probe from the collector."""
    known = RecordDecoder.add
    monkeypatch.setattr(
        RecordDecoder,
        "add",
        lambda self, ids, probes: known(
            self,
            *zip(
                *[each for each in zip(ids, probes, strict=True) if "return" not in each[1].name], strict=True
            ),
        ),
    )
    target = bench.target(StubImage([PLACE]), *PATTERNS)
    with session_of(target) as (session, _):
        target.fire(2, 499)
        wait_until(lambda: not session.accounts.totals().missing, "balanced counts", QUIET_SECONDS)
        by_name = {each.description.name: each.counts for each in session.status().probes}
        totals = session.detach()
    assert by_name["place__return"].lost_in_collector == by_name["place__return"].hits == 998
    assert by_name["place__entry"].delivered == by_name["place__throw"].delivered == 998
    assert (totals.hits, totals.delivered, totals.lost_in_collector) == (2994, 1996, 998)


def test_loss_of_a_subscriber_is_counted_and_reported_to_it(bench: Bench) -> None:
    target = bench.target(NUMBERS, "d1t")
    collector = bench.attach(target, "--fail-on-loss", "--queue-bytes", 1 << 20)
    observer = bench.observe(target.pid, "-o", "json", "--fail-on-loss")
    observer.process.send_signal(signal.SIGSTOP)
    fired = 0
    # More than queue, gRPC and socket can hold.
    while True:
        target.fire(1, 100_003)
        fired += 100_003
        said = settled_status(bench, target, fired)
        (subscriber,) = said["subscribers"]
        assert subscriber["events"] == fired
        assert fired == sum(subscriber[part] for part in ("delivered", "lost", "queued"))
        if subscriber["lost"]:
            break
        assert fired < 5_000_000
    assert (said["counts"]["delivered"], adds_up(said["counts"])) == (fired, True)
    observer.process.send_signal(signal.SIGCONT)
    wait_until(lambda: len(observer.output) + subscriber["lost"] == fired, "the rest to be read", 60)
    collector.process.send_signal(signal.SIGINT)
    assert observer.wait(LOSS).endswith("events lost, and --fail-on-loss is given")
    lost = f"{subscriber['lost']:,} lost (subscriber {subscriber['lost']:,})"
    assert observer.errors[-2] == f"observed {len(observer.output):,} events; {lost}"
    collector.wait(LOSS)
    assert f"{fired:,} hits = {fired:,} delivered + 0 lost" in collector.errors[-2]
    assert collector.errors[-2].endswith(f"1 served, {subscriber['lost']:,} events lost")


def test_events_of_all_threads_come_in_the_order_of_their_times(bench: Bench) -> None:
    """Uses more threads than CPUs, so that BPF programs are interrupted. Events out of order are counted."""
    target = bench.target(NUMBERS, "dnt")
    with session_of(target) as (session, subscription):
        begun = time.time_ns()
        target.fire(8, 40_009)
        ended = time.time_ns()
        session.detach()
        late = session.status().out_of_order
        # The machine's clock may be adjusted meanwhile; times of events do not follow.
        drift = abs(session.status().clock_set_nanos) + 10**6
    batches = batches_of(subscription)
    times = np.concatenate([batch.time_unix_nanos for batch in batches]).astype(np.int64)
    assert len(times) == 320_072
    assert begun - drift < times.min() < times.max() < ended + drift
    assert (times < np.maximum.accumulate(times)).sum() == late
    assert np.concatenate([batch.seq for batch in batches]).tolist() == list(range(320_072))
    threads = np.concatenate([batch.thread for batch in batches])
    numbers = np.concatenate([batch.values for batch in batches])
    for thread in range(8):
        first = 40_009 * thread
        assert numbers[threads == 100 + thread].tolist() == list(range(first, first + 40_009))


def test_a_change_of_the_clock_moves_no_event_and_is_reported(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = bench.target(NUMBERS, "dnt")
    # Without the adjustments of the machine's clock.
    usual = utc_offset_ns()
    monkeypatch.setattr("jcollect.session.session.utc_offset_ns", lambda: usual)
    with session_of(target) as (session, subscription):
        assert session.status().clock_set_nanos == 0
        begun = time.monotonic_ns() + usual
        target.fire(1, 11)
        an_hour = 3600 * 10**9
        monkeypatch.setattr("jcollect.session.session.utc_offset_ns", lambda: usual + an_hour)
        target.fire(1, 13)
        ended = time.monotonic_ns() + usual
        assert abs(session.status().clock_set_nanos - an_hour) < 10**6
        session.detach()
    times = [moment for batch in batches_of(subscription) for moment in batch.time_unix_nanos.tolist()]
    assert len(times) == 24
    assert begun < min(times) <= max(times) < ended
    assert times == sorted(times)


STALLED = """
import sys, time, grpc
from jprobe.v1 import collector_pb2, collector_pb2_grpc
channel = grpc.insecure_channel(sys.argv[1], [("grpc.max_receive_message_length", -1)])
service = collector_pb2_grpc.CollectorServiceStub(channel)
streams = [
    service.Subscribe(collector_pb2.SubscribeRequest(globs=[f"m{i % 12}", f"m{(i + 1 + i // 12) % 12}"]))
    for i in range(24)
]
for stream in streams:
    next(stream)
print("stalled", flush=True)
time.sleep(600)
"""
# Python, numpy, gRPC and the collector's tables; all queues, by hub/hub.py; and gRPC's buffers of each
# stream.
MOST_MEMORY_KB = 80_000 + 2 * (128 << 10) + 24 * 4096


def test_memory_is_bounded_whatever_subscribers_do(bench: Bench) -> None:
    """Starts 24 clients that do not read, each with its own filter, so that they share no encoded batches."""
    methods = [Method("com.acme.Orders", f"m{i}", (), LONG, "()J", (2,)) for i in range(12)]
    target = bench.target(StubImage(methods), *["d1t"] * 12)
    collector = bench.attach(target)
    code = [sys.executable, "-c", STALLED, f"unix:///run/jprobe/{target.pid}.sock"]
    with subprocess.Popen(code, stdout=subprocess.PIPE, text=True) as clients:
        assert clients.stdout is not None
        try:
            assert clients.stdout.readline() == "stalled\n"
            peak, fired = 0, 0
            for _ in range(4):
                target.fire(2, 25_000)
                fired += 2 * 12 * 25_000
                said = settled_status(bench, target, fired)
                peak = max(peak, resident_kb(collector.process.pid))
        finally:
            clients.kill()
    queued = sum(each["queued_bytes"] for each in said["subscribers"])
    assert queued > 100 << 20, "the queues are full"
    assert sum(each["lost"] for each in said["subscribers"]) > 0
    assert peak < MOST_MEMORY_KB
    # Encoding each event 24 times may take so long that the ring buffer fills up.
    assert (said["counts"]["hits"], adds_up(said["counts"])) == (fired, True)
    collector.end()


def resident_kb(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", status)[1])  # type: ignore[index]
