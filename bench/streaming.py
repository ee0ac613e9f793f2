"""Measures what the collector's streams carry: one subscriber and eight, with and without a filter on
values, the time from a method's return to a client, and 64 subscribers of which eight have stopped.

A bench of bench/run.py: `streaming`, about three minutes on each JDK. The program is targets/Lanes.java.

    bench/streaming.py ADDRESS STREAMS WHERE      the subscribers, all in a separate process
    bench/streaming.py stopped ADDRESS STREAMS    subscribers that never read
"""

from __future__ import annotations

import contextlib
import signal
import statistics
import sys
import threading
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

import grpc  # noqa: E402
import numpy as np  # noqa: E402

from conditions import wait_until  # noqa: E402
from direct_reading import Cpu, losses, made  # noqa: E402
from java_target import Jdk, Process, attach, java, probes_of  # noqa: E402
from jcollect.hub.items import EncodedEvents, Events  # noqa: E402
from jcollect.hub.stream_options import StreamOptions  # noqa: E402
from jcollect.rpc.address import parse_address  # noqa: E402
from jcollect.rpc.names import SUBSCRIBE  # noqa: E402
from jcollect.rpc.subscriber import Subscriber  # noqa: E402
from jprobe.v1 import collector_pb2  # noqa: E402
from programs import BUILD  # noqa: E402

SECONDS = 4.0
WARM = "200000 2"
# About every event passes, so that the filter saves no work behind it.
WHERE = "duration < 10s and return != 123456789"
# Calls per second, until events are lost.
RATES = {1: (1_000_000, 2_000_000, 4_000_000, 6_000_000), 8: (500_000, 750_000, 850_000, 1_000_000)}
LOW_RATE = 200
MANY, STOPPED = 64, 8
MANY_RATE = 20_000


class Received:
    """The events that the streams of this process have received."""

    def __init__(self) -> None:
        self.events: dict[int, int] = {}
        self.latencies_ms: list[float] = []

    def read(self, address: str, number: int, where: str, ready: threading.Barrier) -> None:
        """Reads one stream to its end."""
        self.events[number] = 0
        with Subscriber(parse_address(address)) as client:
            is_ready = False
            for item in client.subscribe(options=StreamOptions(where=where)):
                if not is_ready:
                    is_ready = True
                    ready.wait()
                if isinstance(item, (Events, EncodedEvents)):
                    columns = item.columns
                    self.events[number] += len(columns)
                    if number == 0 and len(columns) < 100:
                        now = time.time_ns()
                        ages = now - columns.time_unix_nanos.astype(np.int64)
                        self.latencies_ms += (ages / 1e6).tolist()


def subscribe(address: str, streams: int, where: str) -> None:
    """Counts what each stream receives until it ends."""
    received = Received()
    ready = threading.Barrier(streams + 1)
    threads = [
        threading.Thread(target=received.read, args=(address, number, where, ready))
        for number in range(streams)
    ]
    for thread in threads:
        thread.start()
    ready.wait()
    print("subscribed", flush=True)
    for thread in threads:
        thread.join()
    latencies = received.latencies_ms or [0.0]
    ranks = (statistics.median(latencies), float(np.percentile(latencies, 99)))
    print("received", *received.events.values(), flush=True)
    print("latency", *ranks, flush=True)


def stop(address: str, streams: int) -> None:
    """Subscribes and reads the schema only."""
    options = [("grpc.use_local_subchannel_pool", 1)]
    request = collector_pb2.SubscribeRequest()
    channels = [grpc.insecure_channel(parse_address(address).target, options=options) for _ in range(streams)]
    calls: list[Any] = [
        channel.unary_stream(SUBSCRIBE, request_serializer=collector_pb2.SubscribeRequest.SerializeToString)(
            request
        )
        for channel in channels
    ]
    for call in calls:
        next(call)
    print("subscribed", flush=True)
    sys.stdin.read()


def measure(jdk: Jdk, rate: int, streams: int, where: str = "", stopped: int = 0) -> dict[str, float]:
    """Measures one rate with so many streams, beside some that never read."""
    address = f"unix://{BUILD}/streaming.sock"
    with contextlib.ExitStack() as stack:
        command = ("-cp", BUILD / "classes", "Lanes", "rate", 0)
        target = stack.enter_context(java(jdk, *command, probes="Lanes#add", options="ring-size=64m"))
        target.wait_for_line("ready")
        wait_until(lambda: probes_of(target.pid), "its probes")
        options = ("--lane", "direct", "--probe", "*__return", "--listen", address)
        collector = stack.enter_context(attach(target.pid, *options))
        if stopped:
            still = stack.enter_context(Process([sys.executable, __file__, "stopped", address, str(stopped)]))
            still.wait_for_line("subscribed")
        client = stack.enter_context(Process([sys.executable, __file__, address, str(streams), where]))
        client.wait_for_line("subscribed", 60)
        warm_calls, _ = made(target, WARM if rate > 100_000 else f"{rate} 1", 2)
        cpu = Cpu({"program": target.pid, "collector": collector.pid, "client": client.pid})
        calls, taken = made(target, f"{rate} {SECONDS}", SECONDS)
        cores = cpu.cores()
        if stopped:
            still.finish_input()
        collector.signal(signal.SIGINT)
        assert collector.wait() == 0, collector.err
        received = [int(each) for each in client.wait_for_line("received ", 60).split()[1:]]
        latency = [float(each) for each in client.wait_for_line("latency ").split()[1:]]
        lost = losses(next(line for line in collector.err if " hits = " in line))
    every = warm_calls + calls
    return {
        "calls per second": calls / taken,
        "events per second, all subscribers": streams * calls / taken,
        "not received, all subscribers": sum(every - each for each in received),
        "lost before the streams": lost["lost in the rings"] + lost["lost in the collector"],
        "return to client, p50, ms": latency[0],
        "return to client, p99, ms": latency[1],
        "collector, cores": cores["collector, cores"],
        "client, cores": cores["client, cores"],
    }


def streaming(jdk: Jdk) -> dict[str, Any]:
    """Raises the rate until events are lost, for each number of subscribers, with and without a filter."""
    found: dict[str, Any] = {}
    for streams, rates in RATES.items():
        for where in ("", WHERE):
            who = f"{streams} subscriber{'s' if streams > 1 else ''}{', filtered' if where else ''}"
            best = 0.0
            for rate in rates:
                one = found[f"{who}, {rate / 1e6:g} M calls/s"] = measure(jdk, rate, streams, where)
                total, missing = (
                    one["events per second, all subscribers"],
                    one["not received, all subscribers"],
                )
                if not missing:
                    best = max(best, total)
                print(
                    f"streaming {jdk}: {who}: {total / 1e6:.2f} M events/s in total, "
                    f"{missing:,.0f} not received, collector {one['collector, cores']:.2f} cores, "
                    f"client {one['client, cores']:.2f}",
                    flush=True,
                )
            found[f"{who}, none lost"] = {"events per second": best}
    low = found["low rate"] = measure(jdk, LOW_RATE, 1)
    print(
        f"streaming {jdk}: at {LOW_RATE}/s, from the return to the client: p50 "
        f"{low['return to client, p50, ms']:.2f} ms, p99 {low['return to client, p99, ms']:.2f} ms",
        flush=True,
    )
    many = found["some stopped"] = measure(jdk, MANY_RATE, MANY - STOPPED, "", STOPPED)
    print(
        f"streaming {jdk}: {MANY} subscribers, {STOPPED} of them stopped: the others did not receive "
        f"{many['not received, all subscribers']:,.0f} events",
        flush=True,
    )
    return found


if __name__ == "__main__":
    if sys.argv[1] == "stopped":
        stop(sys.argv[2], int(sys.argv[3]))
    else:
        subscribe(sys.argv[1], int(sys.argv[2]), sys.argv[3])
