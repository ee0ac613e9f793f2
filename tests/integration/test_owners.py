"""Several people trace one method at a time: each gets what they selected, and nobody notices the others."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from conditions import require_bpf, wait_until
from java_target import (
    JCOLLECT,
    Jdk,
    Process,
    attach,
    end_bpftrace,
    finish,
    java,
    newest_jdk,
    on_newest_jdk,
    probes_of,
    run,
)
from prime_calls import prime_calls, run_calls

# Static with exceptions, a constructor, and synchronized.
FEW = [f"PrimeCalls$Orders#{method}" for method in ("place(long,..)", "new", "touch")]
COUNTER = "com.acme.parcels.Counter#applyAsInt"


@pytest.fixture(autouse=True)
def bpf() -> None:
    require_bpf()


def hits(tallies: dict[str, int]) -> int:
    return 2 * (4 + tallies["place2.entry"] + tallies["touch.entry"])


def accounts(summary: str) -> dict[str, int]:
    """Returns the hit counts of attach's last line."""
    found = re.findall(r"([\d,]+) (hits|delivered|filtered|lost)\b", summary.split(";")[0])
    return {word: int(number.replace(",", "")) for number, word in found}


def set_of(pid: int, name: str) -> dict[str, Any]:
    """Returns the one probe of this name that is not retired."""
    (found,) = (each for each in probes_of(pid) if each["name"] == name and each["state"] != "retired")
    return found


@on_newest_jdk
def test_what_one_person_receives_does_not_depend_on_others(jdk: Jdk, targets: Path, tmp_path: Path) -> None:
    with prime_calls(jdk, targets) as target:
        first = attach(target.pid, *(f"--select={selector}" for selector in FEW))
        expected = hits(run_calls(target))
        paths = "(t=thread.name) when thread != null every 7"
        second = attach(
            target.pid, *(f"--select={each}{paths}" for each in FEW), "--listen", f"unix://{tmp_path}/2.sock"
        )
        # The same selection as that of the first: they share the probes.
        third = attach(
            target.pid, *(f"--select={each}" for each in FEW), "--listen", f"unix://{tmp_path}/3.sock"
        )
        assert second.err[-1].startswith("armed 9 probes of 3 methods"), second.err
        entry, entry2 = "place__2__entry", "place__2__set2__entry"
        own, other = set_of(target.pid, entry), set_of(target.pid, entry2)
        assert (own["selector"], other["selector"]) == (FEW[0], FEW[0] + paths)
        found = run(JCOLLECT, "find", target.pid, FEW[0]).stdout
        assert f"traced by '{FEW[0]}' and '{FEW[0]}{paths}'\n" in found
        script = "".join(
            f"usdt:{each['file']}:{each['provider']}:{each['name']} {{ @{count} = count(); }} "
            for each, count in ((own, "own"), (other, "other"))
        )
        tracing = ["bpftrace", "-p", str(target.pid), "-e", script + 'interval:ms:50 { printf("tick\\n"); }']
        with Process(tracing) as tracer:
            tracer.wait_for_line("tick")
            tallies = run_calls(target)
            end_bpftrace(tracer)
        calls = tallies["place2.entry"]
        assert f"@own: {calls}" in tracer.out
        assert f"@other: {(calls + 6) // 7}" in tracer.out
        books = accounts(finish(second))
        assert books["hits"] == hits(tallies) == books["delivered"] + books["filtered"], books
        assert books["delivered"] < books["hits"] / 6, books
        assert accounts(finish(third))["delivered"] == hits(tallies)
        wait_until(lambda: len(states(target)) == 9, "the second set to be retired")
        expected += hits(tallies) + hits(run_calls(target))
        books = accounts(finish(first))
        assert books == {"hits": expected, "delivered": expected, "lost": 0}, books


def states(target: Process) -> list[str]:
    return [each["state"] for each in probes_of(target.pid) if each["state"] != "retired"]


@on_newest_jdk
def test_in_classes_that_are_loaded_later_each_gets_the_probes_of_their_own_selection(
    jdk: Jdk, targets: Path, tmp_path: Path
) -> None:
    with java(jdk, "-cp", targets, "Loaders") as target:
        target.wait_for_line("ready")
        selections = (COUNTER, f"{COUNTER} every 2", COUNTER)
        people = []
        for number, selector in enumerate(selections):
            socket = f"unix://{tmp_path}/{number}.sock"
            person = Process([JCOLLECT, "attach", str(target.pid), "--select", selector, "--listen", socket])
            person.wait_for_line("waiting for probes")
            people.append(person)
        target.send("load application")
        for person in people:
            person.wait_for_line("armed ")
        target.send("call application 101")
        target.wait_for_line("did call application")
        third = accounts(finish(people.pop()))
        second, first = accounts(finish(people.pop())), accounts(finish(people.pop()))
        assert first == third == {"hits": 202, "delivered": 202, "lost": 0}
        assert second == {"hits": 202, "delivered": 102, "filtered": 100, "lost": 0}


def test_a_selector_that_another_one_overrules_is_reported(targets: Path) -> None:
    selectors = ["PrimeCalls$Orders#touch", "PrimeCalls$Orders#touch(t=thread.name)", "PrimeCalls$Orders#to*"]
    with java(newest_jdk, "-cp", targets, "PrimeCalls") as target:
        target.wait_for_line("ready")
        done = run(JCOLLECT, "select", target.pid, *selectors)
        assert done.returncode == 0, done
        assert f"warning: '{selectors[1]}' has no effect: a selector before it decides" in done.stderr, done
        assert "matches no method" not in done.stderr, done
        person = attach(target.pid, *(f"--select={selector}" for selector in selectors[:2]))
        assert any(f"'{selectors[1]}' has no effect" in line for line in person.err), person.err
        finish(person)
