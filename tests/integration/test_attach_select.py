"""Probes that appear while `jcollect attach` runs: because of new classes, new selections, or --select."""

from __future__ import annotations

import json
import re
import signal
import time
from collections import Counter
from pathlib import Path

import pytest

from conditions import SOON_SECONDS, require_bpf, wait_until
from java_target import (
    JCOLLECT,
    JDKS,
    ORDERS,
    Jdk,
    Process,
    attach,
    finish,
    java,
    jcollect,
    newest_jdk,
    on_newest_jdk,
    probes_of,
    run,
    states_of,
    wait_for_probes,
)
from prime_calls import hits_of, leftovers, prime_calls, run_calls
from second_agent import digest_now

COUNTER = "com.acme.parcels.Counter#applyAsInt"
# Primes, and small enough that their multiples differ.
CALLS = {"application": 101, "child-first": 211, "generated": 307}


@pytest.fixture(autouse=True)
def bpf() -> None:
    require_bpf()


def ask(target: Process, command: str) -> None:
    target.send(command)
    # The JVM prints its own lines, such as its warning about the loaded agent.
    target.wait_for_line(f"did {command}")


def calls(collector: Process) -> Counter[str]:
    """Returns entry events by provider."""
    events = [json.loads(line) for line in collector.out if line.startswith("{")]
    return Counter(event["probe"].split(":")[0] for event in events if event["kind"] == "entry")


@on_newest_jdk
@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGKILL])
def test_a_program_without_agent_is_traced_exactly_and_restored(
    jdk: Jdk, targets: Path, digest_agent: Path, end: signal.Signals
) -> None:
    def digest() -> str:
        return digest_now(target.pid, digest_agent, "PrimeCalls$Orders")

    with prime_calls(jdk, targets) as target:
        original = digest()
        for _ in range(2):
            collector = attach(target.pid, "--select", ORDERS)
            assert any("selected 6 methods in " in line for line in collector.err[:2])
            tallies = run_calls(target)
            assert digest() != original
            collector.signal(end)
            code = collector.wait()
            if end == signal.SIGINT:
                assert code == 0
                total = hits_of(tallies)
                assert f" {total:,} hits = {total:,} delivered + 0 lost" in collector.err[-1]
                wait_until(lambda: leftovers(target.pid) == [], "nothing to be left")
            wait_until(lambda: leftovers(target.pid) == [], "the agent to end with its collector")
            assert digest() == original
        # The socket of a killed collector does not block a new one.
        finish(attach(target.pid, "--select", ORDERS))


def test_in_a_small_program_the_agent_prints_nothing(targets: Path) -> None:
    """Such a program has loaded few classes of the JDK. The agent is asked about each class that it loads."""
    with java(JDKS[0], "-cp", targets, "Waits") as target:
        target.wait_for_line("ready")
        finish(attach(target.pid, "--select", "Waits#*"))
        # JDK 21 and later warn of agents that are loaded later.
        warns = JDKS[0].version >= 21
        assert [line for line in target.err if not (warns and line.startswith("WARNING: "))] == []


@on_newest_jdk
def test_classes_that_are_loaded_later_are_traced_from_their_first_second(jdk: Jdk, targets: Path) -> None:
    with java(jdk, "-cp", targets, "Loaders") as target:
        target.wait_for_line("ready")
        collector = jcollect("attach", target.pid, "--select", COUNTER, "-o", "json")
        collector.wait_for_line(r"waiting for probes of PID \d+ \(Loaders\) that match --select 'com.acme")
        expected: Counter[str] = Counter()
        for number, (loader, times) in enumerate(CALLS.items()):
            ask(target, f"load {loader}")
            loaded = time.monotonic()
            collector.wait_for_line("armed ")
            assert time.monotonic() - loaded < SOON_SECONDS
            ask(target, f"call {loader} {times}")
            expected["com_acme_parcels_Counter" + (f"_{number + 1}" if number else "")] = times
        finish(collector)
        assert sum(calls(collector).values()) == sum(CALLS.values())
        assert sorted(calls(collector).values()) == sorted(CALLS.values())
        wait_until(lambda: leftovers(target.pid) == [], "nothing to be left")


def is_watched(target: Process, name: str) -> bool:
    """Returns true if a tracer is attached to a probe."""
    return any(probe["semaphore_count"] for probe in probes_of(target.pid) if probe["name"] == name)


@on_newest_jdk
def test_methods_selected_while_attached_are_traced_until_they_are_unselected(
    jdk: Jdk, targets: Path
) -> None:
    with java(jdk, "-cp", targets, "PrimeCalls", probes="PrimeCalls$Orders#touch") as target:
        target.wait_for_line("ready")
        wait_for_probes(target.pid, 3)
        # is_watched reads the semaphores of this lane.
        collector = attach(target.pid, "--probe", "*__entry", "--lane", "kernel")
        one = run_calls(target)["touch.entry"]
        changes = [
            (["select", "PrimeCalls$Orders#depth"], "armed 1 more probe "),
            (["unselect", "PrimeCalls$Orders#touch"], None),
            (["select", "PrimeCalls$Orders#touch"], "armed 1 more probe "),
        ]
        expected = one
        traced = {"touch"}
        for (verb, selector), line in changes:
            done = run(JCOLLECT, verb, target.pid, selector)
            assert done.returncode == 0, done
            method = selector.split("#")[1]
            traced = traced | {method} if verb == "select" else traced - {method}
            if line:
                collector.wait_for_line(line)
            else:
                # Probes that are selected again before the next scan stay attached.
                wait_until(lambda: not is_watched(target, "touch__entry"), "the collector to detach from it")
            tallies = run_calls(target)
            expected += sum(tallies[f"{name}.entry"] for name in traced)
        summary = finish(collector)
        assert f" {expected:,} hits = {expected:,} delivered + 0 lost" in summary, (summary, collector.err)


@on_newest_jdk
def test_only_what_is_selected_is_attached_to(jdk: Jdk, targets: Path) -> None:
    with java(jdk, "-cp", targets, "PrimeCalls", probes="PrimeCalls$Orders#*") as target:
        target.wait_for_line("ready")
        wait_for_probes(target.pid, 18)
        # The same selection: it keeps its probes.
        collector = attach(target.pid, "--select", "PrimeCalls$Orders#touch")
        assert "armed 3 probes of 1 method in " in collector.err[-1]
        expected = 2 * run_calls(target)["touch.entry"]
        assert f" {expected:,} hits = " in finish(collector)
        listing = run(JCOLLECT, "status", target.pid)
        assert re.search(r"^  PrimeCalls\$Orders#\*: 6 methods$", listing.stdout, re.MULTILINE), listing


def test_a_selector_with_a_mistake_is_reported_and_leaves_no_agent(targets: Path) -> None:
    with java(newest_jdk, "-cp", targets, "PrimeCalls") as target:
        target.wait_for_line("ready")
        result = run(JCOLLECT, "attach", target.pid, "--select", "PrimeCalls$Orders#place(a=arg0.b")
        assert result.returncode == 1
        assert "selector 'PrimeCalls$Orders#place(a=arg0.b', column " in result.stderr
        wait_until(lambda: leftovers(target.pid) == [], "the agent to end")


@on_newest_jdk
def test_calls_that_began_before_a_reset_end_normally(jdk: Jdk, targets: Path) -> None:
    with java(jdk, "-cp", targets, "Waits") as target:
        target.wait_for_line("ready")
        target.send("begin")
        target.wait_for_line("begun")
        # Begins before the method is woven, and ends afterwards.
        with attach(target.pid, "--select", "Waits#hold") as collector:
            target.send("end")
            target.wait_for_line("sum 10")
            target.send("begin")
            target.wait_for_line("begun")
            # The collector does not know of the reset: its links stay, but no call fires any more.
            reset = run(JCOLLECT, "reset", target.pid)
            assert reset.returncode == 0, reset
            wait_until(lambda: leftovers(target.pid) == [], "nothing to be left")
            target.send("end")
            target.wait_for_line("sum 10")
            assert ": 4 hits = 4 delivered + 0 lost" in finish(collector)
        target.send("begin")
        target.wait_for_line("begun")
        target.send("end")
        target.wait_for_line("sum 10")
        mapped = [
            line for line in Path(f"/proc/{target.pid}/maps").read_text().splitlines() if "/jprobe-" in line
        ]
        assert all(" ---p " in line for line in mapped), mapped


@on_newest_jdk
def test_annotations_of_both_retentions_select_loaded_methods(jdk: Jdk, targets: Path) -> None:
    """Also finds a class that its loader defines without a name, and keeps characters beyond U+FFFF."""
    # Arabic has digits of its own, which the agent must not print.
    with java(jdk, "-Duser.language=ar", "-Duser.country=EG", "-cp", targets, "Annotated") as target:
        target.wait_for_line("ready")
        letters = "Annotated$Whole#größe"
        selectors = ["@Annotated.OnClass", "@Annotated.OnRuntime", "Annotated$Nameless#applyAsInt"]
        options = [word for selector in selectors for word in ("--select", selector)]
        collector = attach(target.pid, *options, "-o", "json")
        ask(target, "once")
        wait_until(lambda: len(probes_of(target.pid)) == 18, "the probes of six methods")
        wait_until(lambda: set(states_of(target.pid)) == {"armed"}, "all to be armed")
        ask(target, "again")
        finish(collector)
        events = [json.loads(line) for line in collector.out if '"entry"' in line]
        seen = Counter(f"{event['class']}#{event['method']}" for event in events)
        assert seen == {
            **{f"Annotated$Methods#{name}": 10 for name in ("onClass", "onRuntime", "onBoth")},
            letters: 10,
            # Armed after the first round, which defines the class.
            "Annotated$Nameless#applyAsInt": 5,
        }
        texts = [event["args"][0] for event in events if event["method"] == letters.split("#")[1]]
        assert texts == 2 * [f"\U0001f600 \0 {number}" for number in range(5)]
