"""Class loaders that throw, block, or hold a lock: only their classes have no probes, and no call suffers."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from conditions import require_bpf, wait_until
from java_target import (
    JCOLLECT,
    Jdk,
    Process,
    attach,
    finish,
    java,
    jcollect,
    on_newest_jdk,
    probes_of,
    run,
    wait_for_probes,
)

CALLS = 5
# Classes whose loaders prevent weaving, whatever is captured.
REFUSED = {"Strict", "Closed", "Throwing", "Impostor", "Blocking"}
ANSWERING = {"Aside", "Locked", "FileThrows", "FileBlocks", "FileEndless"}
# Loaded but not linked. Linking needs an answer of the loader, and only the program may ask for that.
LINKING = "LinkBlocks"
PROBES = 3


@pytest.fixture(autouse=True)
def bpf() -> None:
    require_bpf()


@contextmanager
def unruly(jdk: Jdk, targets: Path, probes: str) -> Iterator[Process]:
    with java(jdk, "-cp", targets, "Unruly", probes=probes) as target:
        target.wait_for_line("ready")
        yield target


def misbehave(target: Process) -> None:
    target.send("misbehave")
    target.wait_for_line("misbehaved")


def call(target: Process) -> None:
    """Calls every class. All calls must go on as if no tracer were attached."""
    target.send(f"call {CALLS}")
    assert target.wait_for_line("called") == "called"


def kind_of(class_name: str) -> str:
    return class_name.removeprefix("Unruly$")


def states(target: Process) -> dict[str, set[str]]:
    """Returns the states of each class's probes."""
    by_kind: dict[str, set[str]] = {}
    for probe in probes_of(target.pid):
        by_kind.setdefault(kind_of(probe["class"]), set()).add(probe["state"])
    return by_kind


def all_states(target: Process) -> set[str]:
    return set().union(*states(target).values())


def returned(collector: Process) -> Counter[str]:
    events = [json.loads(line) for line in collector.out]
    return Counter(kind_of(event["class"]) for event in events if event["kind"] == "return")


def each(kinds: Sequence[str] | set[str]) -> Counter[str]:
    return Counter(dict.fromkeys(kinds, CALLS))


@on_newest_jdk
def test_a_loader_that_does_not_answer_affects_only_its_own_classes(jdk: Jdk, targets: Path) -> None:
    with unruly(jdk, targets, "Unruly$*#applyAsInt") as target:
        wait_for_probes(target.pid, PROBES * len(REFUSED | ANSWERING | {LINKING, "LinkLocked"}))
        misbehave(target)
        with attach(target.pid, "-o", "json") as collector:
            assert states(target) == {
                **{kind: {"armed"} for kind in ANSWERING},
                **{kind: {"failed"} for kind in REFUSED},
                **{kind: {"waiting"} for kind in (LINKING, "LinkLocked")},
            }
            call(target)
            finish(collector)
        assert returned(collector) == each(ANSWERING)
        reasons = [line for line in target.err if line.startswith("jprobe: cannot weave class Unruly$")]
        assert {kind_of(line.split()[4].rstrip(":")) for line in reasons} == REFUSED
        assert all("class loader" in reason for reason in reasons)
        wait_until(lambda: all_states(target) == {"dormant"}, "everything to be dormant")
        # A blocking loader has not returned and is not asked again, so the agent never waits for it twice.
        with attach(target.pid, "-o", "json") as collector:
            call(target)
            target.send("free")
            target.wait_for_line("freed")
            for kind in ("Blocking", LINKING):
                wait_until(lambda kind=kind: states(target)[kind] == {"armed"}, f"{kind} to answer after all")
            call(target)
            finish(collector)
        assert returned(collector) == each(ANSWERING) + each(ANSWERING | {"Blocking", LINKING})
        wait_until(lambda: all_states(target) == {"dormant"}, "everything to be dormant")


@on_newest_jdk
def test_a_lock_that_a_loader_needs_may_be_held(jdk: Jdk, targets: Path) -> None:
    with unruly(jdk, targets, "Unruly$Aside#applyAsInt;Unruly$Locked#applyAsInt") as target:
        wait_for_probes(target.pid, 2 * PROBES)
        target.send("lock")
        target.wait_for_line("locked")
        with attach(target.pid, "-o", "json") as collector:
            assert states(target) == {"Aside": {"armed"}, "Locked": {"failed"}}
            call(target)
            target.send("unlock")
            target.wait_for_line("unlocked")
            wait_until(lambda: states(target)["Locked"] == {"armed"}, "the class whose loader is free")
            collector.wait_for_line("armed 3 probes of 1 method after all")
            # Woven while the lock was free, called for the first time while it is held.
            target.send("lock")
            target.wait_for_line("locked")
            call(target)
            finish(collector)
        assert returned(collector) == Counter(Aside=2 * CALLS, Locked=CALLS)


@on_newest_jdk
def test_classes_of_a_loader_that_is_merely_late_are_armed_when_it_answers(jdk: Jdk, targets: Path) -> None:
    with unruly(jdk, targets, "Unruly$Late#applyAsInt") as target:
        target.send("late")
        target.wait_for_line("added")
        wait_for_probes(target.pid, PROBES)
        misbehave(target)
        with jcollect("attach", target.pid, "-o", "json") as collector:
            wait_until(lambda: states(target) == {"Late": {"arming"}}, "the loader to be asked")
            # Longer than the agent waits for any loader.
            time.sleep(2.5)
            assert states(target) == {"Late": {"arming"}}
            target.send("free")
            target.wait_for_line("freed")
            assert collector.wait_for_line("armed ").startswith("armed 3 probes of 1 method in ")
            call(target)
            finish(collector)
        assert returned(collector)["Late"] == CALLS
        assert target.err == []


@on_newest_jdk
def test_a_class_is_linked_only_by_the_program(jdk: Jdk, targets: Path) -> None:
    # Linking takes a lock of the class, and then the loader's: the opposite order of the program's.
    with unruly(jdk, targets, "Unruly$LinkLocked#applyAsInt") as target:
        target.send("lock")
        target.wait_for_line("locked")
        with jcollect("attach", target.pid, "-o", "json", "--wait", "--max-overhead", 0) as collector:
            collector.wait_for_line(
                "jcollect: warning: 3 probes not armed until the program uses their classes"
            )
            target.send("use")
            target.wait_for_line("used")
            target.send("unlock")
            target.wait_for_line("unlocked")
            wait_until(lambda: states(target) == {"LinkLocked": {"armed"}}, "the class to be armed")
            collector.wait_for_line(
                "armed 3 probes of 1 method that waited for the program to use their classes"
            )
            call(target)
            finish(collector)
        assert returned(collector) == each({"LinkLocked"})
        # A class that is not linked can be selected. It gets its probes when it is linked.
        assert run(JCOLLECT, "select", target.pid, "Unruly$LinkBlocks#applyAsInt").returncode == 0
        target.send("free")
        target.wait_for_line("freed")
        wait_until(lambda: states(target).get(LINKING) == {"dormant"}, "its probes")


@on_newest_jdk
def test_a_class_file_that_a_loader_does_not_return_affects_only_the_captures_of_its_class(
    jdk: Jdk, targets: Path
) -> None:
    with unruly(jdk, targets, "") as target:
        misbehave(target)
        reasons = {
            "FileThrows": "Unruly$Undescribed",
            "FileBlocks": "its class loader has not answered for",
            "FileEndless": "it has 16777216 bytes or more",
        }
        for kind, reason in reasons.items():
            selection = run(JCOLLECT, "select", target.pid, f"Unruly${kind}#applyAsInt(size=this.box.size)")
            assert selection.returncode == 1, selection.stderr
            assert "matches 1 method, which cannot be traced" in selection.stderr
            assert reason in selection.stderr
        # Commands are answered and other classes are traced, whether the loader blocks or not.
        assert run(JCOLLECT, "select", target.pid, "Unruly$Aside#applyAsInt").returncode == 0
        wait_for_probes(target.pid, PROBES)
        with attach(target.pid, "-o", "json") as collector:
            call(target)
            finish(collector)
        assert returned(collector) == each({"Aside"})
        assert run(JCOLLECT, "reset", target.pid).returncode == 0
        call(target)
