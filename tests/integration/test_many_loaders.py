"""The agent keeps nothing of class loaders that the JVM has collected, however many there were."""

from __future__ import annotations

import json
import re
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from conditions import require_bpf, wait_until
from java_target import (
    COMPILER,
    JCOLLECT,
    JDKS,
    Jdk,
    Process,
    finish,
    java,
    jcollect,
    run,
    states_of,
)
from jcollect.control.gateway import Gateway
from jcollect.control.open_gateway import open_gateway
from jcollect.errors import JcollectError
from processes import opened

BATCH = 50
CALLS = 3
# One loader of ten has no class files for the paths of `carry`.
TRACED = BATCH - BATCH // 10

# Elements of an array, a list and a map, casts, and fields by offset.
CARRY = (
    "ManyLoaders$Porter#carry(size=boxes[0].size, label=((Box) shelf[0]).label, first=byName.get('first'), "
    "made=Box.made)"
)
OF_THE_AGENT = "ManyLoaders$Porter#unresolved(x=this.nothing);ManyLoaders$Idle#*"
BY_SUPERTYPE = ["+java.util.function.IntUnaryOperator#applyAsInt(number=arg0)", "+ManyLoaders$Box#new"]

# The sizes of the tables and of the heap itself depend on the largest batch, not on the number of loaders.
JVM = ("-XX:+UseSerialGC", "-Xmx128m", "-XX:TieredStopAtLevel=1")

OF_LOADERS = {"ManyLoaders$Loader", "ManyLoaders$Porter", "ManyLoaders$Box"}

# The one with the limits, and the one that states what is in force.
LIBRARIES = 2

# A growth by one object per batch is a leak as well.
MOST_OF_THE_AGENT = 4


@pytest.fixture(autouse=True)
def bpf() -> None:
    require_bpf()


@dataclass(frozen=True)
class Kept:
    """The instances on the heap by class, after a collection, and the sizes of the mapped stub libraries."""

    instances: Mapping[str, int]
    libraries: Mapping[str, int]

    def of_agent(self) -> Counter[str]:
        return Counter(
            {name: n for name, n in self.instances.items() if re.match(r"(io|java)\.jprobe\.", name)}
        )


def kept(pid: int) -> Kept:
    histogram = run(COMPILER.home / "bin/jcmd", pid, "GC.class_histogram")
    assert histogram.returncode == 0, histogram
    rows = re.findall(r"^ *\d+: +(\d+) +\d+ +(\S+)", histogram.stdout, re.MULTILINE)
    return Kept({name: int(count) for count, name in rows}, libraries(pid))


def libraries(pid: int) -> Counter[str]:
    """Returns the mapped bytes of each stub library."""
    sizes: Counter[str] = Counter()
    for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
        if found := re.match(r"([0-9a-f]+)-([0-9a-f]+) .*/(jprobe-\d+-[0-9a-f]+/\d+\.so)", line):
            sizes[found[3]] += int(found[2], 16) - int(found[1], 16)
    return sizes


def armed(pid: int) -> int:
    try:
        return states_of(pid)["armed"]
    except OSError:  # A library of the last batch has just been unmapped.
        return 0


def ask(target: Process, command: str, answer: str) -> None:
    target.send(command)
    target.wait_for_line(answer)


def use_and_drop(target: Process, gateway: Gateway) -> None:
    """Creates a batch of loaders, traces all, searches and selects again in some ways, and drops them."""
    ask(target, f"load {BATCH}", "loaded")
    wait_until(lambda: armed(target.pid) == 3 * TRACED, "all to be armed")
    ask(target, f"call {CALLS}", "called")
    found = gateway.find("ManyLoaders$Porter#carry", 1000).found
    assert len(found) == BATCH
    with pytest.raises(JcollectError, match="nothing"):
        gateway.select(["ManyLoaders$Porter#carry(x=this.nothing)"])
    assert len(gateway.select(BY_SUPERTYPE).methods) >= 2 * BATCH
    gateway.explain(["ManyLoaders$Porter#carri"], 5)
    gateway.unselect(BY_SUPERTYPE)
    ask(target, "drop", "dropped")


@pytest.mark.takes_long
@pytest.mark.parametrize(
    ("jdk", "batches"),
    [
        pytest.param(jdk, batches, id=f"{jdk}-{batches * BATCH}", marks=marks)
        for batches, marks in ((10, ()), (40, pytest.mark.takes_long))
        for jdk in JDKS
    ],
)
def test_nothing_is_kept_of_collected_loaders(jdk: Jdk, batches: int, targets: Path, tmp_path: Path) -> None:
    options = {"probes": OF_THE_AGENT, "options": f"control=on,dir={tmp_path}"}
    with java(jdk, "-cp", targets, "ManyLoaders", jvm=JVM, **options) as target:
        target.wait_for_line("ready")
        with (
            open_gateway(opened(target.pid), may_load=False, seconds=30) as gateway,
            jcollect("attach", target.pid, "--wait", "--max-overhead", 0, "--select", CARRY) as collector,
        ):
            collector.wait_for_line("waiting for probes")
            use_and_drop(target, gateway)
            first = settled(target.pid)
            for _ in range(batches - 1):
                use_and_drop(target, gateway)
            last = settled(target.pid)
            assert " + 0 lost" in finish(collector)
        assert [line for line in target.err if "cannot trace" not in line] == []
    grown = Counter(last.instances) - Counter(first.instances)
    more = last.of_agent() - first.of_agent()
    assert {name: n for name, n in more.items() if n > MOST_OF_THE_AGENT} == {}
    assert {name: n for name, n in grown.items() if n > 0.9 * (batches - 1) * BATCH} == {}
    assert not {
        name
        for name in last.instances
        if re.match(r"ManyLoaders\$(Loader|Porter|Box|Idle)\b(?!.*Lambda)", name)
    }
    assert sum(last.libraries.values()) <= sum(first.libraries.values())


def settled(pid: int) -> Kept:
    """Waits until the agent has cleaned up, which it does every second."""
    wait_until(lambda: len(libraries(pid)) <= LIBRARIES, "the libraries of unloaded classes to be unmapped")
    return kept(pid)


@pytest.mark.takes_long
@pytest.mark.parametrize("jdk", [JDKS[-1]], ids=str)
def test_probes_are_listed_truly_while_their_classes_are_unloaded(jdk: Jdk, targets: Path) -> None:
    with java(jdk, "-cp", targets, "ManyLoaders", probes="ManyLoaders$Porter#*", jvm=JVM) as target:
        target.wait_for_line("ready")
        target.send("load 1")
        wait_until(lambda: run(JCOLLECT, "probes", target.pid).returncode == 0, "the first probes")
        stop = threading.Event()
        churning = threading.Thread(target=churn, args=(target, stop))
        churning.start()
        try:
            listed = [run(JCOLLECT, "probes", target.pid, "--json") for _ in range(25)]
            overviews = [run(JCOLLECT, "status", target.pid, "--json") for _ in range(10)]
        finally:
            stop.set()
            churning.join()
    for each in (*listed, *overviews):
        # At one moment there may be none.
        assert each.returncode == 0 or "has the jprobe agent but no probes" in each.stderr, each
    probes = [probe for each in listed if each.stdout for probe in json.loads(each.stdout)]
    assert len(probes) > 100
    assert {probe.get("state") for probe in probes} <= {"dormant", "retired"}
    assert {probe["semaphore_count"] for probe in probes} == {0}


def churn(target: Process, stop: threading.Event) -> None:
    while not stop.is_set():
        target.send("load 3")
        target.send("drop")
        time.sleep(0.02)
