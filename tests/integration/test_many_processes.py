"""One collector for many processes, given by PID, by main class, or all; they start and exit meanwhile."""

from __future__ import annotations

import json
import os
import re
import sys
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from collector_fixtures import Bench, Command, events_of, numbered_target, socket_of

from conditions import SOON_SECONDS, require_bpf, wait_until
from java_target import JDKS, ORDERS, ORDERS_PROBES, Jdk, Process, java, probes_of, wait_for_probes
from prime_calls import hits_of, prime_calls, run_calls
from stub_image import LONG, Method, StubImage

# A class that no other process of this host runs.
CLASS = f"com.acme.Orders{os.getpid()}"
NUMBERS = StubImage([Method(CLASS, "place", (LONG,), LONG, "(J)J", (2,))])
PLACE = f"{CLASS}#place"

# Runs with its own /run, where no other collector uses the default address.
OWN_RUN = ("unshare", "-m", "sh", "-c", 'mount -t tmpfs none /run && exec "$@"', "sh")


@pytest.fixture(autouse=True)
def _bpf() -> None:
    require_bpf()


def pids_of(command: Command) -> Counter[int]:
    return Counter(event["pid"] for event in events_of(command))


def test_the_processes_of_several_pids_are_served_at_one_address(bench: Bench) -> None:
    one, other = numbered_target(bench, NUMBERS, 1), numbered_target(bench, NUMBERS, 2)
    collector = bench.start("attach", one.pid, other.pid, "-o", "json", before=OWN_RUN)
    lines = [collector.status(0), collector.status(1)]
    for target in (one, other):
        assert any(line.startswith(f"PID {target.pid} (target): armed 1 probe of 1 ") for line in lines)
    assert lines[0].endswith("; serving unix:///run/jprobe/collector.sock")
    beside = ("nsenter", "-m", "-t", str(collector.process.pid))
    mine = bench.observe(other.pid, "-o", "json", before=beside)
    one.fire(2, 1009)
    other.fire(1, 499)
    said = bench.run("status", "unix:///run/jprobe/collector.sock", "--json", before=beside).stdout
    status = json.loads(said)["collectors"][0]
    assert {each["pid"]: each["armed"] for each in status["processes"]} == {one.pid: 1, other.pid: 1}
    one.end()
    collector.line_with(f"PID {one.pid} (target): has exited")
    other.fire(1, 103)
    other.end()
    summary = collector.wait()
    assert "2,620 hits = 2,620 delivered + 0 lost" in summary
    assert pids_of(collector) == {one.pid: 2018, other.pid: 602}
    assert "observed 602 events; 0 lost" in mine.wait()
    assert pids_of(mine) == {other.pid: 602}


def test_a_pid_that_cannot_be_attached_to_does_not_affect_the_others(bench: Bench) -> None:
    one = numbered_target(bench, NUMBERS, 1)
    refused = bench.run("attach", one.pid, 4_000_000)
    assert (refused.returncode, refused.stderr) == (
        1,
        "jcollect: there is no process with PID 4000000; jcollect ps lists the processes\n",
    )
    bare, other = bench.bare_target(is_jvm=True), bench.bare_target()
    refused = bench.run("attach", bare.pid, other.pid)
    assert refused.returncode == 1
    assert f"jcollect: PID {bare.pid} (target) is a JVM without the jprobe agent" in refused.stderr
    collector = bench.start("attach", one.pid, bare.pid, "--listen", socket_of(bench))
    collector.line_with(f"leaving out PID {bare.pid} (target): PID {bare.pid} (target) is a JVM without ")
    collector.line_with(f"PID {one.pid} (target): armed 1 probe")
    one.fire(1, 7)
    assert "7 hits = 7 delivered + 0 lost" in collector.end()
    assert one.semaphores() == 0
    assert bench.run("attach").returncode == 2


def test_all_processes_with_probes_are_attached_to_soon_and_detached_from(bench: Bench) -> None:
    collector = bench.start("attach", "--all", "--probe", PLACE, "-o", "json",
                            "--listen", socket_of(bench))  # fmt: skip
    assert collector.status() == (
        f"waiting for probes of any process that match --probe '{PLACE}'; serving {socket_of(bench)}"
    )
    fired: dict[int, int] = {}
    for number in range(1, 4):
        target = numbered_target(bench, NUMBERS, number)
        wait_until(target.semaphores, "the collector to attach", SOON_SECONDS)
        target.fire(1, 100 * number)
        fired[target.pid] = 100 * number
        if number < 3:
            target.end()
            collector.line_with(f"PID {target.pid} (target): has exited")
    assert "600 hits = 600 delivered + 0 lost" in collector.end()
    assert pids_of(collector) == fired
    assert target.semaphores() == 0


# Like `jcollect`, but prints only one line about each process.
TERSE = """
import jcollect.session.process_lines as process_lines
process_lines.PROCESS_LINES = 1
from jcollect.commands import main
main()
"""


def test_omitted_lines_are_counted_before_the_hit_counts(bench: Bench) -> None:
    target = numbered_target(bench, NUMBERS, 1)
    collector = Command(("attach", target.pid), program=(sys.executable, "-c", TERSE))
    try:
        assert collector.status().startswith("armed 1 probe ")
        # When the third is attached to, the line about the second has been printed.
        for number in (2, 3):
            target.load(NUMBERS, "dnt", name=f"jprobe-1/{number}.so")
            wait_until(lambda number=number: target.semaphores() == number, "it is attached to")
        last = collector.end()
    finally:
        collector.kill()
    assert last.startswith("detached after ")
    left_out = rf"jcollect: warning: \.\.\. and [12] more lines? about PID {target.pid} in the last "
    assert re.match(left_out, collector.errors[-2]), collector.errors


@pytest.mark.takes_long
def test_ids_of_exited_processes_are_reassigned(bench: Bench) -> None:
    collector = bench.start("attach", "--all", "--probe", PLACE, "--max-probes", "2",
                            "-o", "json", "--listen", socket_of(bench))  # fmt: skip
    collector.status()
    pids = []
    for number in range(1, 8):
        target = numbered_target(bench, NUMBERS, number)
        wait_until(target.semaphores, "the collector to attach")
        target.fire(1, number)
        pids.append(target.pid)
        target.end()
        collector.line_with(f"PID {target.pid} (target): has exited")
    assert "28 hits = 28 delivered + 0 lost" in collector.end()
    assert pids_of(collector) == {pid: number for number, pid in enumerate(pids, 1)}
    assert not [line for line in collector.errors if "left out" in line]


def test_a_process_that_has_no_probes_for_a_while_is_attached_to_once(bench: Bench) -> None:
    collector = bench.start("attach", "--all", "--probe", PLACE, "-o", "json",
                            "--listen", socket_of(bench))  # fmt: skip
    collector.status()
    target = numbered_target(bench, NUMBERS, 1)
    wait_until(target.semaphores, "the collector to attach")
    target.fire(1, 11)
    target.unload(0)
    # Any process that starts from now on is found by a later scan of the host.
    other = numbered_target(bench, NUMBERS, 2)
    wait_until(other.semaphores, "the collector to attach to another")
    target.load(NUMBERS, "dnt", name="jprobe-1/2.so")
    wait_until(target.semaphores, "the collector to attach again")
    target.fire(1, 13)
    assert "24 hits = 24 delivered + 0 lost" in collector.end()
    assert pids_of(collector) == {target.pid: 24}


@pytest.fixture(scope="module")
def jar(targets: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns the path of a jar with PrimeCalls, under a name that no other JVM of this host has."""
    path = tmp_path_factory.mktemp("jar") / "orders.jar"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("META-INF/MANIFEST.MF", "Manifest-Version: 1.0\nMain-Class: PrimeCalls\n")
        for file in targets.glob("PrimeCalls*.class"):
            archive.write(file, file.name)
    return path


def orders(jdk: Jdk, jar: Path, **options: str) -> Process:
    target = java(jdk, "-jar", jar, **options)
    target.wait_for_line("ready")
    return target


@pytest.fixture(scope="module")
def two_orders(jar: Path) -> Iterator[list[Process]]:
    """Yields two JVMs of that name, with the agent."""
    jvms = [orders(JDKS[number], jar, probes=ORDERS) for number in (0, -1)]
    yield jvms
    for jvm in jvms:
        jvm.end()


def delivered_by_pid(bench: Bench) -> Counter[int]:
    (collector,) = json.loads(bench.run("status", socket_of(bench), "--json").stdout)["collectors"]
    counts: Counter[int] = Counter()
    for each in collector["probes"]:
        counts[each["probe"]["pid"]] += each["counts"]["delivered"]
    return counts


def test_jvms_are_attached_to_by_their_main_class_as_they_come(
    bench: Bench, targets: Path, jar: Path, two_orders: list[Process]
) -> None:
    for jvm in two_orders:
        wait_for_probes(jvm.pid, ORDERS_PROBES)
    with java(JDKS[0], "-cp", targets, "Waits", probes="Waits#*") as other:
        wait_until(lambda: probes_of(other.pid), "its probes")
        collector = bench.start("attach", "--name", f"{jar.parent}/or*", "--listen", socket_of(bench))
        for number in range(2):
            assert f"({jar}): armed {ORDERS_PROBES} probes" in collector.status(number)
        expected = {jvm.pid: hits_of(run_calls(jvm)) for jvm in two_orders}
        with orders(JDKS[0], jar, probes=ORDERS) as third:
            collector.line_with(f"PID {third.pid} ({jar}): armed {ORDERS_PROBES} probes")
            expected[third.pid] = hits_of(run_calls(third))
            wait_until(lambda: delivered_by_pid(bench) == Counter(expected), "all events of the three")
            summary = collector.end()
    total = sum(expected.values())
    assert f"{total:,} hits = {total:,} delivered + 0 lost" in summary


def test_jvms_without_the_agent_get_it_for_as_long_as_they_match(bench: Bench, jar: Path) -> None:
    with orders(JDKS[0], jar) as early:
        collector = bench.start(
            *("attach", "--name", str(jar), "--select", ORDERS, "--listen", socket_of(bench)),
            *("--max-overhead", 0),
        )
        collector.line_with(f"PID {early.pid} ({jar}): armed {ORDERS_PROBES} probes")
        with orders(JDKS[-1], jar) as late:
            collector.line_with(f"PID {late.pid} ({jar}): armed {ORDERS_PROBES} probes")
            expected = {jvm.pid: hits_of(run_calls(jvm)) for jvm in (early, late)}
            wait_until(lambda: delivered_by_pid(bench) == Counter(expected), "all events of both")
            total = sum(expected.values())
            assert f"{total:,} hits = {total:,} delivered + 0 lost" in collector.end()
            for jvm in (early, late):
                assert "there is no jprobe agent" in bench.run("status", jvm.pid).stderr


def test_ps_lists_the_jvms_of_the_host_and_what_is_attached(
    bench: Bench, targets: Path, jar: Path, two_orders: list[Process]
) -> None:
    def listed() -> dict[int, dict[str, Any]]:
        return {row["pid"]: row for row in json.loads(bench.run("ps", "--json").stdout)}

    marks = bench.bare_target()
    with prime_calls(JDKS[0], targets) as plain:
        collector = bench.start("attach", two_orders[0].pid, "--probe", "*#label")
        collector.status()
        rows = listed()
        traced, agent_only, without = rows[two_orders[0].pid], rows[two_orders[1].pid], rows[plain.pid]
        lines = bench.run("ps").stdout.splitlines()
        collector.end()
    assert marks.pid not in rows
    assert [row["name"] for row in (traced, agent_only, without)] == [str(jar), str(jar), "PrimeCalls"]
    for row, jdk in ((traced, JDKS[0]), (agent_only, JDKS[-1]), (without, JDKS[0])):
        assert (row["user"], row["is_jvm"]) == ("root", True)
        assert int(row["jdk"].split(".")[0]) == jdk.version
    assert traced["probes"] == {"dormant": ORDERS_PROBES - 3, "armed": 3}
    assert traced["collectors"] == [f"unix:///run/jprobe/{two_orders[0].pid}.sock"]
    assert agent_only["probes"] == {"dormant": ORDERS_PROBES}
    assert (agent_only["agent"], agent_only["collectors"]) == ("0.1.0", [])
    assert all(Path(file).exists() for file in agent_only["libraries"])
    assert "agent" not in without
    assert (without["probes"], without["libraries"]) == ({}, [])
    assert lines[0].split() == ["PID", "USER", "JDK", "AGENT", "LIBRARIES", "PROBES", "COLLECTOR", "NAME"]
    assert any(str(plain.pid) in line and line.endswith("PrimeCalls") for line in lines[1:])
