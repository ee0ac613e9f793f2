"""A selector that traces nothing is explained, and what happens to a selection is said. One JVM."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from conditions import require_bpf, wait_until
from java_target import JCOLLECT, ORDERS, Process, attach, newest_jdk, run
from prime_calls import leftovers, prime_calls

PLACE = "PrimeCalls$Orders#place"


@pytest.fixture(scope="module")
def target(targets: Path) -> Iterator[Process]:
    with prime_calls(newest_jdk, targets) as started:
        yield started


def test_find_lists_what_could_be_traced(target: Process) -> None:
    found = json.loads(run(JCOLLECT, "find", target.pid, "PrimeCalls$Orders", "--json").stdout)
    methods = {each["method"]: each.get("reason", "") for each in found["found"] if "method" in each}
    assert methods == dict.fromkeys(["<init>", "place", "depth", "label", "touch"], "")
    found = run(JCOLLECT, "find", target.pid, "java.lang.Thread#*Priority*", "--limit", 1)
    assert (found.returncode, len(found.stdout.splitlines())) == (0, 2)
    assert "there may be more" in found.stderr
    native = run(JCOLLECT, "find", target.pid, "java.lang.Runtime#maxMemory").stdout
    assert "maxMemory(): long: cannot be traced: it is native" in native
    nothing = run(JCOLLECT, "find", target.pid, "PrimeCalls$Ordres#place")
    assert nothing.returncode == 1
    assert "matches no loaded class; did you mean PrimeCalls$Orders" in nothing.stderr
    wait_until(lambda: leftovers(target.pid) == [], "the agent to leave with the command")


def test_a_typo_is_explained_at_once_and_at_the_end(target: Process) -> None:
    require_bpf()
    open_ended = run(JCOLLECT, "attach", target.pid, "--select", "Ordres#place", "--duration", "0.5").stderr
    assert "did you mean PrimeCalls$Orders? It still applies to classes that are loaded later\n" in open_ended
    silent = run(JCOLLECT, "attach", target.pid, "--select", "PrimeCalls$Orders#plcae", "--duration", "0.5")
    problem = "'PrimeCalls$Orders#plcae' matches PrimeCalls$Orders, which has no method 'plcae'; did you mean place?"  # noqa: E501
    assert silent.returncode == 0
    assert f"jcollect: warning: {problem}\n" in silent.stderr
    assert f"jcollect: warning: no events: {problem}\n" in silent.stderr
    wrong = run(JCOLLECT, "attach", target.pid, "--select", f"{PLACE}(it=index.size)")
    assert wrong.returncode == 1
    assert f"'{PLACE}(it=index.size)' matches 2 methods, none of which can be traced" in wrong.stderr


def test_what_others_do_to_a_selection_is_said(target: Process) -> None:
    require_bpf()
    for verb in (["unselect", "--all"], ["reset"]):
        collector = attach(target.pid, "--select", ORDERS)
        run(JCOLLECT, verb[0], target.pid, *verb[1:])
        collector.wait_for_line(rf".* selection of this command in PID {target.pid} has ended: .*{verb[0]}")
        collector.signal(signal.SIGINT)
        assert collector.wait() == 0


def test_what_is_missing_is_reported_before_the_agent_is_loaded(target: Process, tmp_path: Path) -> None:
    require_bpf()
    checkout = Path(__file__).resolve().parents[2]
    (tmp_path / "collector").mkdir()
    for copied in ("collector/jcollect", "collector/jprobe", "bpf", "build/native"):
        shutil.copytree(checkout / copied, tmp_path / copied)
    shutil.rmtree(tmp_path / "bpf/include/jprobe")
    refused = run(
        JCOLLECT.parent / "python", "-P", "-m", "jcollect", "attach", target.pid, "--select", ORDERS,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "collector")},
    )  # fmt: skip
    assert refused.returncode == 1
    assert re.search(r"layout\.h does not exist; run make build\n", refused.stderr)
    assert leftovers(target.pid) == []


@pytest.mark.parametrize(
    ("verb", "glob", "near"),
    [
        ("attach", "place_entry", "place__entry"),
        ("observe", "*__retrun", "place__return"),
    ],
)
def test_a_glob_that_matches_no_selected_probe_is_said_at_once_and_at_the_end(
    target: Process, verb: str, glob: str, near: str
) -> None:
    require_bpf()
    silent = run(JCOLLECT, verb, target.pid, "--select", PLACE, "--probe", glob, "--duration", "0.5")
    assert silent.returncode == 0
    lines = re.findall(
        rf"^jcollect: warning: (.*)--probe '{re.escape(glob)}' matches none of the 6 selected probes; "
        rf"did you mean {near}",
        silent.stderr,
        re.MULTILINE,
    )
    assert lines == ["", "no events: "], silent.stderr
    assert "did not call" not in silent.stderr
