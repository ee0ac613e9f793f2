"""Other tracers, and a second collector, at the same probes before, during and after ours: each counts
correctly, and the semaphores fall when the last one has detached.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from collector_fixtures import Bench, Target

from conditions import require_bpf, wait_until
from java_target import Process, end_bpftrace, run
from stub_image import LONG, Method, StubImage

IMAGE = StubImage([Method("com.acme.Orders", "place", (LONG,), LONG, "(J)J", (1, 2))])
ENTRY = "com_acme_Orders:place__entry"
LINK_TYPES = ("uprobe-multi", "perf-event")

# Returns a tracer's count of the entry probe. Stops the tracer.
Count = Callable[[], int]
Tracer = Callable[[Bench, Target], AbstractContextManager[Count]]


@pytest.fixture(autouse=True)
def _bpf() -> None:
    require_bpf()


@contextlib.contextmanager
def bpftrace(bench: Bench, target: Target) -> Iterator[Count]:
    # bpftrace attaches the last probe of a script last.
    script = f'usdt:{library(bench)}:{ENTRY} {{ @calls = count(); }} interval:ms:50 {{ printf("tick\\n"); }}'
    with Process(["bpftrace", "-p", str(target.pid), "-e", script]) as tracer:
        tracer.wait_for_line("tick")

        def count() -> int:
            end_bpftrace(tracer)
            counted = [line for line in tracer.out if line.startswith("@calls: ")]
            return int(counted[0].split()[1]) if counted else 0

        yield count


@contextlib.contextmanager
def perf(bench: Bench, target: Target) -> Iterator[Count]:
    if not Path("/sys/kernel/tracing/uprobe_events").exists():
        subprocess.run(["mount", "-t", "tracefs", "none", "/sys/kernel/tracing"], check=True)
    file, event, samples = library(bench), f"sdt_{ENTRY}", bench.directory / "perf.data"
    control, acknowledged = bench.directory / "control", bench.directory / "acknowledged"
    for fifo in (control, acknowledged):
        os.mkfifo(fifo)
    try:
        assert run("perf", "buildid-cache", "--add", file).returncode == 0
        added = run("perf", "probe", "-x", file, "--add", f"%{event}")
        assert added.returncode == 0, added.stderr
        command = ["perf", "record", "-e", event, "-p", str(target.pid), "-o", str(samples)]
        with (
            Process([*command, f"--control=fifo:{control},{acknowledged}"]) as tracer,
            open(control, "w") as asked,
            open(acknowledged) as answered,
        ):
            asked.write("ping\n")
            asked.flush()
            assert answered.read(3) == "ack"

            def count() -> int:
                tracer.signal(signal.SIGINT)
                tracer.wait()
                script = run("perf", "script", "-i", samples).stdout
                return sum(event in line for line in script.splitlines())

            yield count
    finally:
        run("perf", "probe", "-d", event)
        run("perf", "buildid-cache", "--remove", file)


@contextlib.contextmanager
def second_collector(bench: Bench, target: Target) -> Iterator[Count]:
    socket = f"unix://{bench.directory}/second.sock"
    collector = bench.attach(target, "--listen", socket, "--probe", ENTRY)

    def count() -> int:
        return delivered(collector.end())

    yield count


TRACERS = {
    "bpftrace": (bpftrace, LINK_TYPES),
    "perf": (perf, LINK_TYPES[:1]),
    "a second jcollect": (second_collector, LINK_TYPES),
}
CASES = [
    pytest.param(tracer, link_type, id=f"{name}, {link_type}")
    for name, (tracer, ways) in TRACERS.items()
    for link_type in ways
]


def library(bench: Bench) -> Path:
    return bench.directory / "jprobe-1/1.so"


def delivered(summary: str) -> int:
    """Returns the hits in the last line of attach. Checks that all were delivered."""
    words = summary.split(": ", 1)[1].split()
    assert words[2] == "=", summary
    assert words[0] == words[3], summary
    assert "+ 0 lost" in summary
    return int(words[0].replace(",", ""))


@pytest.mark.parametrize(("tracer", "link_type"), CASES)
def test_a_tracer_attached_earlier_counts_during_and_after_the_collectors_trace(
    bench: Bench, tracer: Tracer, link_type: str
) -> None:
    target = bench.target(IMAGE, "nt", "dnt")
    with tracer(bench, target) as count:
        target.fire(1, 97)
        collector = bench.attach(target, "--link", link_type)
        target.fire(2, 101)
        assert delivered(collector.end()) == 2 * 202
        target.fire(1, 103)
        assert count() == 97 + 202 + 103
    wait_until(lambda: target.semaphores() == 0, "the semaphores to fall")


@pytest.mark.parametrize(("tracer", "link_type"), CASES)
def test_a_tracer_attached_later_counts_and_the_collector_goes_on_counting(
    bench: Bench, tracer: Tracer, link_type: str
) -> None:
    target = bench.target(IMAGE, "nt", "dnt")
    collector = bench.attach(target, "--link", link_type)
    target.fire(1, 107)
    with tracer(bench, target) as count:
        target.fire(2, 109)
        assert count() == 218
    target.fire(1, 113)
    assert delivered(collector.end()) == 2 * (107 + 218 + 113)
    wait_until(lambda: target.semaphores() == 0, "the semaphores to fall")


@pytest.mark.parametrize("link_type", LINK_TYPES)
def test_a_tracer_that_is_killed_leaves_the_others_counting(bench: Bench, link_type: str) -> None:
    target = bench.target(IMAGE, "nt", "dnt")
    killed = bench.attach(target, "--link", link_type, "--listen", f"unix://{bench.directory}/killed.sock")
    collector = bench.attach(target, "--link", link_type)
    target.fire(1, 127)
    killed.kill()
    target.fire(2, 131)
    assert delivered(collector.end()) == 2 * (127 + 262)
    wait_until(lambda: target.semaphores() == 0, "the semaphores to fall")
