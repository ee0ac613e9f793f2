"""The JVM's own probes: their events agree with what the JVM logs, and pauses with the calls that they hold
up."""

from __future__ import annotations

import json
import re
import statistics
from pathlib import Path

import pytest

import jcollect
from conditions import require_bpf
from java_target import JCOLLECT, JDKS, Jdk, attach, finish, java, on_newest_jdk, run
from java_target import jcollect as command

# Flags without which monitor events do not fire, by the first JDK that has them.
MONITOR_FLAG = {17: "-XX:+ExtendedDTraceProbes", 18: "-XX:+DTraceMonitorProbes"}


@pytest.fixture(autouse=True)
def bpf() -> None:
    require_bpf()


def monitor_flag(jdk: Jdk) -> str:
    return MONITOR_FLAG[17 if jdk.version < 18 else 18]


@on_newest_jdk
def test_pauses_last_as_long_as_the_jvm_logs(jdk: Jdk, targets: Path, tmp_path: Path) -> None:
    log = tmp_path / "safepoints.log"
    flags = ["-XX:+UseG1GC", "-Xmx200m", f"-Xlog:safepoint:file={log}", monitor_flag(jdk)]
    # The methods of an agent are not attached to.
    with java(jdk, "-cp", targets, "Pausing", probes="Pausing#*", jvm=flags) as target:
        target.wait_for_line("ready")
        events = "gc,safepoint,compile,monitor,thread"
        with command("jvm", target.pid, "--json", "--events", events) as printer:
            assert re.match(r"armed \d+ USDT probes in ", printer.wait_for_line("armed "))
            target.send("")
            target.wait_for_line("done")
            last = finish(printer)
        assert re.search(r"([\d,]+) hits = \1 delivered \+ 0 lost", last), last
        found = [json.loads(line) for line in printer.out if line.startswith("{")]
    safepoints = [each for each in found if each["event"] == "safepoint"]
    collections = [each for each in found if each["event"] == "gc"]
    logged = [
        (match[1], int(match[2]))
        for line in log.read_text().splitlines()
        if (match := re.search(r'Safepoint "(\w+)".* Total: +(\d+) ns', line))
    ]
    # The JVM may have had safepoints before and after.
    names = [each["operation"] for each in safepoints]
    starts = [at for at in range(len(logged)) if [name for name, _ in logged[at : at + len(names)]] == names]
    assert len(names) >= 25
    assert starts, (names, logged)
    # A safepoint begins before the first thread is stopped, and the log's total a bit earlier.
    differences = [
        each["duration_ns"] - total for each, (_, total) in zip(safepoints, logged[starts[0] :], strict=False)
    ]
    assert abs(statistics.median(differences)) < 100_000, differences
    assert sum(each["full"] for each in collections) >= 25
    assert {each["manager"] for each in collections} >= {"G1 Old Generation"}
    contended = [each for each in found if each["event"] == "monitor" and each["class"] == "java/lang/Object"]
    assert len(contended) >= 20
    assert statistics.median(each["duration_ns"] for each in contended) > 3_000_000
    assert sum(each["event"] == "thread start" and each["name"] == "contender" for each in found) == 25


@on_newest_jdk
def test_a_call_says_how_long_the_jvm_was_paused(jdk: Jdk, targets: Path) -> None:
    with java(jdk, "-cp", targets, "Pausing", probes="Pausing#collect", jvm=["-XX:+UseSerialGC"]) as target:
        target.wait_for_line("ready")
        with attach(target.pid, "--explain", "cpu,pauses") as collector:
            with jcollect.Client(str(target.pid)) as client:
                events = client.events("*collect__return")
                target.send("")
                calls = [event for _, event in zip(range(25), events, strict=False)]
                events.close()
            assert " + 0 lost" in finish(collector)
    for call in calls:
        explanation = call.explanation
        assert explanation is not None
        assert explanation.pause == "Serial GC pause"
        paused = explanation.pause_nanos
        assert paused is not None
        assert 0 < paused <= call.duration_nanos
    known = [call.explanation for call in calls if call.explanation and call.explanation.off_cpu_nanos]
    assert len(known) > 15
    # The thread that collects is another one: this one is off the CPU for as long as the pause.
    for each in known:
        assert each.off_cpu_nanos is not None
        assert each.run_queue_nanos is not None
        assert each.pause_nanos is not None
        assert each.off_cpu_nanos + each.run_queue_nanos > 0.5 * each.pause_nanos


def test_flags_that_are_missing_are_named(targets: Path) -> None:
    with java(JDKS[-1], "-cp", targets, "Pausing") as target:
        target.wait_for_line("ready")
        done = run(JCOLLECT, "jvm", target.pid, "--events", "monitor", "--duration", "0.2")
        assert "probes of monitor events do not fire unless" in done.stderr
        assert "-XX:+DTraceMonitorProbes" in done.stderr
        assert done.returncode == 0


def test_a_kind_that_does_not_exist() -> None:
    done = run(JCOLLECT, "jvm", 1, "--events", "gc,colour")
    assert done.returncode == 2
    assert "'colour' is no kind of events of the JVM" in done.stderr
