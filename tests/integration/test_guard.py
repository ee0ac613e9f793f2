"""The guard estimates and reports the overhead of probes, and limits it by throttling the most expensive."""

from __future__ import annotations

import json
import re
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from collector_fixtures import Bench

from conditions import require_bpf, wait_until
from java_target import (
    JCOLLECT,
    JDKS,
    Jdk,
    Process,
    attach,
    end_bpftrace,
    finish,
    java,
    jcollect,
    newest_jdk,
    on_every_jdk,
    probes_of,
    run,
    wait_for_probes,
)
from recording import Recording
from stub_image import LONG, mark, own_image
from torrent import SECOND_NS, WINDOW_SECONDS, Reports

require_bpf()

PROBES = 6
# In three of ten attempts, the guard unweaves the method before its allowance is used up.
ATTEMPTS = 10
# CPU time in ns that a thread loses while its method is woven, restored and recompiled. It belongs to no hit.
WEAVING_NS = 100_000_000


def torrent(jdk: Jdk, targets: Path, threads: int, options: str = "") -> Process:
    command = ("-cp", targets, "Torrent", str(threads))
    target = java(jdk, *command, probes="Torrent#drop;Torrent#trickle", options=options, guarded=True)
    target.wait_for_line("ready")
    wait_for_probes(target.pid, PROBES)
    return target


def states(pid: int) -> dict[str, str]:
    return {f"{each['method']} {each['kind']}": each["state"] for each in probes_of(pid)}


def throttled_ns(pid: int) -> int:
    return max(each["throttled_ns"] for each in probes_of(pid))


def status(pid: int) -> dict[str, Any]:
    said = run(JCOLLECT, "status", pid, "--json")
    assert said.returncode == 0, said
    answer: dict[str, Any] = json.loads(said.stdout)
    return answer


def limit_of(pid: int) -> int:
    percent: int = status(pid)["overhead"]["max_percent"]
    return percent


def test_a_torrent_of_calls_is_throttled_while_it_lasts_and_never_exceeds_the_overhead_limit(
    targets: Path, tmp_path: Path
) -> None:
    file = tmp_path / "counts.json"
    with torrent(newest_jdk, targets, 1, "max-overhead=5") as target:
        wait_until(lambda: len(Reports(target).rows) > 20, "the torrent to be compiled")
        began = Reports(target).rows[-1][0]
        with jcollect("attach", target.pid, "--probe", "*__return", "--counts", file) as collector:
            collector.wait_for_line("armed 2 probes")
            recording = Recording(target.pid, ("*",))
            line = collector.wait_for_line("jcollect: warning: throttled: ")
            assert line.endswith(": Torrent:drop__return")
            # The probe fires again once the call rate has fallen to one that the limit allows.
            target.send("100")
            target.wait_for_line(
                r"jprobe: throttled Torrent#drop: cost \d+% of a core in the last second, and the limit for "
                r"all probes is 5% \(max-overhead\); retry in 10 s",
            )
            (collector_status,) = status(target.pid)["collectors"]
            assert {each["probe"]["name"]: each["probe"]["state"] for each in collector_status["probes"]} == {
                "drop__return": "throttled",
                "trickle__return": "armed",
            }
            (process,) = collector_status["processes"]
            assert (process["armed"], process["throttled"]) == (1, 1)
            assert process["overhead"]["max_percent"] == 5
            collector.wait_for_line("no longer throttled: 1 probe")
            wait_until(lambda: states(target.pid)["drop return"] == "armed", "the probe to be back")
            heard = len(recording.so_far())
            wait_until(lambda: _calls_of(recording, "drop", heard) > 50, "events of the method again")
            summary = finish(collector)
            (began_id, *_), (ended_id, *_) = (
                [number for each in recording.throttlings for number in numbers(each)]
                for numbers in (lambda each: each.began, lambda each: each.ended)
            )
            assert began_id == ended_id
            assert recording.probes[began_id].name == "drop__return"
            recording.end()
        target.send("")
        assert target.wait() == 0
    assert re.search(r"the probes cost 0\.\d\d s of CPU, \d\.\d% of a core$", summary)
    assert any("probes were unwoven for" in line for line in collector.err)
    kept = {each["probe"]["name"]: each for each in json.loads(file.read_text())["probes"]}
    assert kept["drop__return"]["counts"]["throttled_nanos"] > 5e9
    assert kept["trickle__return"]["counts"]["throttled_nanos"] == 0
    for each in kept.values():
        counts = each["counts"]
        assert counts["hits"] == counts["delivered"] + counts["throttled"]
    lost = Reports(target).most_lost_ns(began)
    assert lost < 0.05 * WINDOW_SECONDS * SECOND_NS + WEAVING_NS


def test_hist_says_that_throttled_calls_are_not_counted(targets: Path) -> None:
    with torrent(newest_jdk, targets, 1, "max-overhead=1") as target:
        with jcollect("attach", target.pid, "--probe", "Torrent:*") as collector:
            collector.wait_for_line("armed ")
            with jcollect("hist", target.pid, "--interval", 0.2) as hist:
                wait_until(lambda: hist.out, "the first table")
                least = throttled_ns(target.pid) + SECOND_NS
                wait_until(lambda: throttled_ns(target.pid) > least, "the method to be unwoven for long")
                hist.signal(signal.SIGINT)
                assert hist.wait() == 0
            finish(collector)
        target.send("")
        assert target.wait() == 0
    assert re.search(r" leave out throttled calls: those of 1 method during [\d.]+ s", hist.out[-1]), hist.out


def _calls_of(recording: Recording, method: str, since: int) -> int:
    return sum(event.probe.method == method for event in recording.so_far()[since:])


@on_every_jdk
def test_any_tracer_is_throttled_and_leaves_nothing_when_it_detaches(jdk: Jdk, targets: Path) -> None:
    with torrent(jdk, targets, 1, "max-overhead=5") as target:
        library = next(each["file"] for each in probes_of(target.pid) if each["name"] == "drop__return")
        program = f"usdt:{library}:Torrent:drop__return {{ @ = count(); }}"
        with Process(["bpftrace", "-p", str(target.pid), "-e", program]) as tracer:
            wait_until(lambda: states(target.pid)["drop return"] == "throttled", "the method to be unwoven")
            assert "THROTTLED: 1 method, because" in run(JCOLLECT, "status", target.pid).stdout
            end_bpftrace(tracer)
        wait_until(lambda: set(states(target.pid).values()) == {"dormant"}, "nothing to be throttled")
        target.send("")
        assert target.wait() == 0


@pytest.mark.takes_long
def test_calls_of_many_threads_are_throttled_at_once_and_counted(targets: Path) -> None:
    """Calls between two polls of the guard are throttled by the woven methods themselves."""
    with torrent(newest_jdk, targets, 8, "max-overhead=1") as target:
        for _ in range(ATTEMPTS):
            if _throttled_calls(target) > 0:
                break
            time.sleep(WINDOW_SECONDS)
        else:
            pytest.fail("each time, the guard has unwoven the method first")
        target.send("")
        assert target.wait() == 0


def _throttled_calls(target: Process) -> int:
    """Attaches until the guard has unwoven the method. Returns how many calls were throttled before."""
    with jcollect("attach", target.pid, "--probe", "*drop__*") as collector:
        collector.wait_for_line("armed 3 probes|jcollect: warning: throttled")
        wait_until(lambda: states(target.pid)["drop return"] == "throttled", "the method to be unwoven")
        said = run(JCOLLECT, "status", target.pid).stdout
        assert "THROTTLED: 3 probes of PID" in said
        assert "at most 1%" in said
        assert "not live: 3 probes throttled (unwoven for now: " in said
        summary = finish(collector)
    found = re.search(r" ([\d,]+) hits = ([\d,]+) delivered(?: \+ ([\d,]+) throttled)? \+ 0 lost ", summary)
    assert found, summary
    hits, delivered, throttled = (int(number.replace(",", "")) for number in found.groups("0"))
    assert hits == delivered + throttled
    return throttled


def test_the_cost_of_probes_is_a_warning_long_before_any_is_throttled(targets: Path) -> None:
    with torrent(newest_jdk, targets, 1) as target:
        # This is a third of a core on a slow CPU, and a sixth on a fast one.
        target.send("500000")
        with attach(
            target.pid, "--probe", "*drop__return", "--max-overhead", 100, "--lane", "kernel"
        ) as collector:
            line = collector.wait_for_line("jcollect: warning: the probes of PID")
            assert re.search(
                r"cost it \d\d% of a core, [\d,]+ ns per firing; .*; above 100% the most expensive", line
            )
            wait_until(lambda: float(_cost(target.pid)["recent_nanos"]) > 0, "the cost to be reported")
            summary = finish(collector)
        target.send("")
        assert target.wait() == 0
    cost = re.search(r"the probes cost ([\d.]+) s of CPU, ([\d.]+)% of a core$", summary)
    assert cost, summary
    hits = int(re.search(r"([\d,]+) hits", summary)[1].replace(",", ""))  # type: ignore[index]
    assert 100 < float(cost[1]) * 1e9 / hits < 10_000, "ns a hit"


def _cost(pid: int) -> dict[str, Any]:
    overhead: dict[str, Any] = status(pid)["collectors"][0]["processes"][0]["overhead"]
    return overhead


def test_the_lowest_requested_limit_applies_while_its_tracer_lives(targets: Path) -> None:
    with torrent(JDKS[0], targets, 0) as target:
        assert limit_of(target.pid) == 50
        with attach(
            target.pid, "--max-overhead", 7, "--listen", f"unix:///run/jprobe/{target.pid}-seven.sock"
        ) as seven:
            assert limit_of(target.pid) == 7
            with attach(target.pid, "--max-overhead", 23) as twenty:
                assert limit_of(target.pid) == 7
                seven.signal(signal.SIGKILL)
                seven.wait()
                for left in Path("/run/jprobe").glob(f"{target.pid}-seven.sock*"):
                    left.unlink()
                wait_until(lambda: limit_of(target.pid) == 20, "the next limit that there is below 23")
                finish(twenty)
        with attach(target.pid, "--max-overhead", 0) as unlimited:
            assert "no limit (max-overhead is 0)" in run(JCOLLECT, "status", target.pid).stdout
            finish(unlimited)
        assert limit_of(target.pid) == 50
        target.send("")
        assert target.wait() == 0


def test_no_tracer_can_raise_the_limit_that_a_jvm_was_started_with(targets: Path) -> None:
    with torrent(JDKS[0], targets, 0, "max-overhead=10") as target:
        for wanted, holds in ((0, 10), (400, 10), (5, 5)):
            with attach(target.pid, "--max-overhead", wanted) as collector:
                assert limit_of(target.pid) == holds
                finish(collector)
        target.send("")
        assert target.wait() == 0


def test_any_tracer_can_request_a_limit(targets: Path) -> None:
    with torrent(JDKS[0], targets, 0) as target:
        (first, *_) = status(target.pid)["libraries"]
        with Process(
            ["bpftrace", "-p", str(target.pid), "-e", f"usdt:{first}:jprobe:max_overhead__3 {{}}"]
        ) as tracer:
            wait_until(lambda: limit_of(target.pid) == 3, "the limit to hold")
            end_bpftrace(tracer)
        wait_until(lambda: limit_of(target.pid) == 50, "the usual limit to be back")
        target.send("")
        assert target.wait() == 0


@pytest.mark.parametrize("percent", ["-1", "5%", "much", "100001"])
def test_an_invalid_limit_causes_one_line(targets: Path, percent: str) -> None:
    options = f"max-overhead={percent}"
    with java(newest_jdk, "-cp", targets, "Torrent", "0", options=options, guarded=True) as target:
        target.wait_for_line("ready")
        target.send("")
        assert target.wait() == 0
    assert target.err == [
        f"jprobe: max-overhead is '{percent}'; expected a percentage of one core from 0 to 100000; "
        "the program runs untraced"
    ]


def test_the_collector_reports_that_a_program_without_an_agent_has_no_limit(bench: Bench) -> None:
    target = bench.bare_target()
    target.load(own_image(mark("com_acme", "placed", LONG)))
    collector = bench.start("attach", target.pid, "--max-overhead", "5")
    assert collector.status(1).startswith("armed ")
    told = "has no jprobe agent: the cost of its probes is unknown and not limited"
    assert any(told in line for line in collector.errors)
    assert "of CPU" not in collector.end()
