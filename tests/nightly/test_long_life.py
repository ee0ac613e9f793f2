"""A JVM and its collector use no more resources after a long time than at the beginning.

JPROBE_LONG_LIFE_CYCLES and JPROBE_LONG_LIFE_SECONDS shorten the tests for experiments.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path

import pytest

from conditions import require_bpf, wait_until
from footprint import Footprint, growth, of_jvm, of_process
from java_target import H2_JAR, Jdk, Process, attach, finish, java, jcollect, on_every_jdk, states_of
from jcollect.control.gateway import Gateway
from jcollect.control.open_gateway import open_gateway
from processes import opened

CYCLES = int(os.environ.get("JPROBE_LONG_LIFE_CYCLES", "1000"))
SECONDS = float(os.environ.get("JPROBE_LONG_LIFE_SECONDS", "600"))
SAMPLES = 40
WOVEN_EVERY = 5

JVM = (
    # The heap has its full size from the start, so its growth is not measured.
    "-Xms64m",
    "-Xmx64m",
    "-XX:+AlwaysPreTouch",
    "-XX:+UseSerialGC",
    # C2 would allocate about 20 MB once, at an unpredictable time.
    "-XX:TieredStopAtLevel=1",
    "-XX:NativeMemoryTracking=summary",
)

# The kernel links and unlinks a thousand stubs one by one, which takes many seconds on a busy machine.
ARMED_SECONDS = 120.0

# 500 selections lie between the two quarters, 100 of them woven, or 300 times 3 class loaders. The
# tolerances allow less than 16 KB each time, and one mapping, descriptor or thread in 20 times: compilers
# allocate and free arenas, metadata is committed in steps of 64 KB at varying addresses, and a stub library
# exists twice for a moment while it is replaced.
JVM_TOLERANCE = {
    "rss": 8_000,
    "mappings": 24,
    "descriptors": 3,
    "threads": 2,
    "stub_files": 3,
    "metaspace": 4_000,
    "native": 8_000,
}
COLLECTOR_TOLERANCE = {"rss": 3_000, "mappings": 12, "descriptors": 4, "threads": 2}

# The collector remembers retired probes until it needs their IDs for new probes. With this limit, that
# happens soon; with the default of 16,384 it would take half an hour.
FEW_IDS = ("--max-probes", "256")
LATER = ("First", "Second", "Third")


@pytest.fixture(autouse=True)
def bpf() -> None:
    require_bpf()


@pytest.fixture(autouse=True)
def one_arena(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits glibc to one arena: each arena grows in steps of about 4 MB, at unpredictable times."""
    monkeypatch.setenv("MALLOC_ARENA_MAX", "1")


class Life:
    """Samples of a JVM and its attached collector."""

    def __init__(self, name: str, target: Process, collector: Process, stubs: Path) -> None:
        self._name = name
        self._target = target
        self._collector = collector
        self._stubs = stubs
        self._jvm: list[Footprint] = []
        self._jcollect: list[Footprint] = []

    def sample(self) -> None:
        self._jvm.append(of_jvm(self._target.pid, self._stubs))
        self._jcollect.append(of_process(self._collector.pid))

    def assert_flat(self) -> None:
        grown = [growth(self._jvm), growth(self._jcollect)]
        self._log(grown)
        assert _beyond(grown[0], JVM_TOLERANCE) == {}, grown
        assert _beyond(grown[1], COLLECTOR_TOLERANCE) == {}, grown

    def _log(self, grown: Sequence[Mapping[str, int]]) -> None:
        """Appends all samples to the file that JPROBE_LONG_LIFE_LOG names, for the analysis of growth."""
        if log := os.environ.get("JPROBE_LONG_LIFE_LOG"):
            with open(log, "a") as file:
                samples = [[asdict(each) for each in kind] for kind in (self._jvm, self._jcollect)]
                print(json.dumps({"name": self._name, "grown": grown, "samples": samples}), file=file)


def _beyond(grown: Mapping[str, int], tolerance: Mapping[str, int]) -> dict[str, int]:
    return {name: grown[name] for name, most in tolerance.items() if grown[name] > most}


@contextmanager
def database_under_load(jdk: Jdk, targets: Path, stubs: Path) -> Iterator[Process]:
    options = f"control=on,dir={stubs}"
    arguments = ["-cp", H2_JAR, "org.h2.tools.Server", "-tcp", "-tcpPort", "0", "-ifNotExists"]
    with java(jdk, *arguments, options=options, jvm=JVM) as server:
        address = re.search(r"tcp://\S+", server.wait_for_line("TCP server running"))
        assert address
        url = f"jdbc:h2:tcp://localhost:{address[0].rsplit(':', 1)[1]}/mem:long"
        with java(jdk, "-cp", f"{targets}:{H2_JAR}", "H2Load", url, "100", "86400") as load:
            load.wait_for_line("loading")
            yield server
            assert load.err == []


def all_are_armed(pid: int) -> bool:
    """Returns true if there are probes and all that are not retired are woven."""
    return set(states_of(pid)) - {"retired"} == {"armed"}


def gateway_of(server: Process) -> Gateway:
    return open_gateway(opened(server.pid), may_load=False, seconds=30)


@on_every_jdk
def test_selecting_and_unselecting_a_thousand_times(jdk: Jdk, targets: Path, tmp_path: Path) -> None:
    with database_under_load(jdk, targets, tmp_path) as server, gateway_of(server) as gateway:
        with jcollect("attach", server.pid, "--wait") as collector:
            collector.wait_for_line("waiting for probes")
            life = Life(f"select {jdk}", server, collector, tmp_path)
            for cycle in range(CYCLES):
                # All methods of one class, and one method of all classes: a partly changing set.
                reply = gateway.select(["org.h2.command.Parser#*", "org.h2.command.**#close"])
                assert len(reply.methods) > 100
                if cycle % WOVEN_EVERY == 0:
                    wait_until(partial(all_are_armed, server.pid), "all to be armed", ARMED_SECONDS)
                gateway.unselect([])
                if cycle % max(1, CYCLES // SAMPLES) == 0:
                    life.sample()
            assert " + 0 lost" in finish(collector)
        assert server.err == []
    life.assert_flat()


def make_and_drop(target: Process, cycle: int) -> None:
    """Creates each class in a separate class loader, traces, calls and drops it."""
    for name in LATER:
        target.send(f"call {name} 0 1")
        target.wait_for_line("called")
    # The states are read because the collector rate-limits its lines.
    wait_until(partial(all_are_armed, target.pid), "all to be armed", ARMED_SECONDS)
    for name in LATER:
        target.send(f"call {name} {cycle} 101")
        target.wait_for_line("called")
        target.send(f"drop {name}")
        target.wait_for_line("dropped")
    target.send("collect")
    target.wait_for_line("collected")


@on_every_jdk
def test_class_loaders_that_come_and_go_every_second(jdk: Jdk, targets: Path, tmp_path: Path) -> None:
    probes = {"probes": "Later$*#applyAsInt", "options": f"dir={tmp_path}"}
    with java(jdk, "-cp", targets, "Later", jvm=JVM, **probes) as target:
        target.wait_for_line("ready")
        target.send("call First 0 1")
        target.wait_for_line("called")
        wait_until(lambda: list(tmp_path.glob("*/1.so")), "the first stub library")
        with attach(target.pid, *FEW_IDS) as collector:
            life = Life(f"loaders {jdk}", target, collector, tmp_path)
            begun = time.monotonic()
            cycle = 0
            while (now := time.monotonic()) < begun + SECONDS:
                make_and_drop(target, cycle)
                if cycle % max(1, int(SECONDS / SAMPLES)) == 0:
                    life.sample()
                cycle += 1
                time.sleep(max(0.0, now + 1 - time.monotonic()))
            assert " + 0 lost" in finish(collector)
        assert target.err == []
    life.assert_flat()
