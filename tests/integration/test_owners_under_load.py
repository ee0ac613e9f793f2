"""Several owners trace one busy method differently: each gets exact counts, and nothing is left of them."""

from __future__ import annotations

import json
import re
import signal
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from conditions import require_bpf, wait_until
from java_target import (
    JCOLLECT,
    Process,
    attach,
    finish,
    java,
    jcollect,
    newest_jdk,
    probes_of,
    run,
    states_of,
)
from prime_calls import leftovers
from second_agent import Digests, agent_jar
from torrent import Reports

THREADS = 8
PLAIN = "Torrent#drop"
WITH_VALUES = "Torrent#drop(seed=arg0, name=thread.name)"
BOTH = ("drop__return", "drop__set2__return")

STEADY = "Crowd#step"
VISITORS = (
    "Crowd#step(by=arg0, call=arg1, name=thread.name)",
    "Crowd#step(by=arg0, call=arg1, sum=return) when return >= 0",
)


@pytest.fixture(autouse=True)
def bpf() -> None:
    require_bpf()


def states(pid: int) -> dict[str, str]:
    return {each["name"]: each["state"] for each in probes_of(pid) if each["state"] != "retired"}


def are(target: Process, state: str) -> None:
    """Waits until the return probes of both sets have the state."""
    wait_until(lambda: {states(target.pid).get(name) for name in BOTH} == {state}, f"both {state}", 60)


# ---- the guard ----


@pytest.mark.takes_long
def test_two_sets_of_a_torrent_are_throttled_and_come_back_and_each_is_counted_exactly(
    targets: Path, tmp_path: Path
) -> None:
    files = (tmp_path / "first.json", tmp_path / "second.json")
    with java(newest_jdk, "-cp", targets, "Torrent", "1", guarded=True) as target:
        target.wait_for_line("ready")
        target.send("100")
        first = throttling_owner(target, PLAIN, files[0], tmp_path / "first.sock")
        second = throttling_owner(target, WITH_VALUES, files[1], tmp_path / "second.sock")
        target.send("100000000")
        are(target, "throttled")
        target.send("100")
        are(target, "armed")
        silence(target)
        before, drops = (hits(target, BOTH), Reports(target).rows[-1][2])
        target.send("1000")
        wait_until(lambda: Reports(target).rows[-1][2] - drops > 1000, "some calls")
        silence(target)
        calls = Reports(target).rows[-1][2] - drops
        after = hits(target, BOTH)
        assert {name: after[name] - before[name] for name in BOTH} == dict.fromkeys(BOTH, calls)
        target.send("100")
        finish(first)
        assert states(target.pid).get(BOTH[1]) == "armed"
        finish(second)
        wait_until(lambda: leftovers(target.pid) == [], "the agent to leave")
        target.send("")
        assert target.wait() == 0
    for file in files:
        for probe in json.loads(file.read_text())["probes"]:
            counts = probe["counts"]
            parts = ("delivered", "throttled", "filtered", "lost_in_kernel_ring", "lost_in_collector")
            assert counts["hits"] == sum(counts[part] for part in parts), probe
            assert counts["throttled_nanos"] > 5e9, probe


def throttling_owner(target: Process, selector: str, counts: Path, socket: Path) -> Process:
    options = ("--max-overhead", 5, "--counts", str(counts), "--listen", f"unix://{socket}")
    return attach(target.pid, "--select", selector, "--probe", "*return", *options)


def silence(target: Process) -> None:
    """Lets the program make no more calls, and waits until it makes none."""
    target.send("0")
    seen: list[int] = []

    def is_silent() -> bool:
        seen.append(Reports(target).rows[-1][2])
        rows = Reports(target).rows[-6:]
        return len({row[2] for row in rows}) == 1

    wait_until(is_silent, "no more calls")


def hits(target: Process, names: Sequence[str]) -> dict[str, int]:
    """Returns the hits of these probes, by name, as the collectors of the program count them."""
    said = run(JCOLLECT, "status", target.pid, "--json")
    assert said.returncode == 0, said
    return {
        each["probe"]["name"]: each["counts"]["hits"]
        for collector in json.loads(said.stdout)["collectors"]
        for each in collector["probes"]
        if each["probe"]["name"] in names and each["probe"]["state"] != "retired"
    }


# ---- owners that come and go ----


class Calls:
    """The numbers of the calls that an owner has received until it left, by kind of event and by the calling
    thread.
    """

    def __init__(self, collector: Process) -> None:
        assert collector.wait() == 0, collector.err
        collector.end()
        self.summary = collector.err[-1]
        self.events = len(collector.out)
        self.numbers: defaultdict[tuple[str, int], list[int]] = defaultdict(list)
        for event in map(json.loads, collector.out):
            values = event.get("captures") or dict(zip(("by", "call"), event["args"], strict=True))
            self.numbers[event["kind"], values["by"]].append(values["call"])

    def check(self) -> None:
        """Fails if a call between the first and the last one is missing, or came twice."""
        assert {thread for _, thread in self.numbers} == set(range(THREADS))
        for of, numbers in self.numbers.items():
            assert sorted(numbers) == list(range(min(numbers), max(numbers) + 1)), of
        assert f" {self.events:,} hits = {self.events:,} delivered " in self.summary
        assert " + 0 lost" in self.summary

    def check_is_part_of(self, steady: Calls) -> None:
        for (_, thread), numbers in self.numbers.items():
            assert set(numbers) <= steady.of(thread)

    def of(self, thread: int) -> set[int]:
        return set(self.numbers["entry", thread])


@pytest.mark.parametrize("stays", [20, pytest.param(200, marks=pytest.mark.takes_long)])
def test_owners_that_come_and_go_receive_every_call_of_their_stay_and_leave_nothing(
    stays: int, targets: Path, tmp_path: Path
) -> None:
    log = tmp_path / "digests"
    agent = f"-javaagent:{agent_jar('DigestAgent', targets, tmp_path)}={log},Crowd"
    digests = Digests(log, "Crowd")
    with java(
        newest_jdk, "-cp", targets, "Crowd", jvm=[agent], options=f"control=on,dir={tmp_path}"
    ) as target:
        target.wait_for_line("ready")
        original = digests.of_a_retransformation()
        steady = attach(target.pid, "--select", STEADY, "--probe", "*__entry", "-o", "json")
        visits = [visit for _ in range(stays // len(VISITORS)) for visit in visit_together(target)]
        steady.signal(signal.SIGINT)
        reference = Calls(steady)
        wait_until(lambda: set(states_of(target.pid)) <= {"retired"}, "all probes to be retired")
        assert digests.all()[-1] == original
        assert raised(target.pid) == []
        files = {file.name for file in tmp_path.glob("jprobe-*/*.so")}
        # One with the limits, one for each of the three sets, and one that states what is in force.
        assert len(files) <= 5
        assert files == set(mapped(target.pid))
        assert run(JCOLLECT, "reset", target.pid).returncode == 0
        assert leftovers(target.pid) == []
        assert not list(tmp_path.glob("jprobe-*"))
        assert target.err == []
    assert len(visits) == stays
    reference.check()
    for visit in visits:
        visit.check()
        visit.check_is_part_of(reference)


def visit_together(target: Process) -> Iterator[Calls]:
    """Lets all visitors come at once, stay for a while, and leave at once."""
    visitors = [
        jcollect("attach", target.pid, "--select", each, "-o", "json", "--max-overhead", 0)
        for each in VISITORS
    ]
    for visitor in visitors:
        visitor.wait_for_line("armed ")
    for visitor in visitors:
        wait_until(lambda visitor=visitor: len(visitor.out) > 200, "events of the stay")
    for visitor in visitors:
        visitor.signal(signal.SIGINT)
    return map(Calls, visitors)


def raised(pid: int) -> list[str]:
    """Returns the probes whose semaphores are above 0."""
    return [each["name"] for each in probes_of(pid) if each["semaphore_count"]]


def mapped(pid: int) -> list[str]:
    """Returns the names of the mapped stub libraries."""
    maps = Path(f"/proc/{pid}/maps").read_text()
    return sorted(set(re.findall(r"/jprobe-\d+-[0-9a-f]+/(\d+\.so)$", maps, re.MULTILINE)))
