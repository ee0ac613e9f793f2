"""`jcollect find` on a program with hostile names, and with more classes than anybody wants to read."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from java_target import JCOLLECT, Process, java, newest_jdk, run

MANY = 40_000
# The search itself ends after 1.5 s.
MOST_SECONDS = 3


@pytest.fixture(scope="module")
def target(targets: Path) -> Iterator[Process]:
    with java(newest_jdk, "-cp", targets, "HostileNames", str(MANY), options="control=on") as started:
        started.wait_for_line("ready")
        yield started


@pytest.mark.parametrize(
    ("pattern", "line"),
    [
        ("escapes.*", r"class escapes.A\x1bB\x9bC\u202eD\nE\tF"),
        ("quotes.*", "class quotes.It's\"so\\"),
        ("long.*", f"class long.L{'x' * 1000}"),
        ("*json", "class --json"),
    ],
)
def test_names_are_printed_without_harm(target: Process, pattern: str, line: str) -> None:
    found = run(JCOLLECT, "find", target.pid, pattern)
    assert found.returncode == 0, found.stderr
    first, *methods = found.stdout.splitlines()
    assert first.startswith(line[:200])
    assert len(first) < 1000
    assert "  public applyAsInt(int): int" in methods
    assert found.stderr.startswith("2 methods in 1 class")
    as_json = json.loads(run(JCOLLECT, "find", target.pid, pattern, "--json").stdout)
    assert {each["class_name"][:3] for each in as_json["found"]} == {line.removeprefix("class ")[:3]}


@pytest.mark.parametrize("pattern", ["--json", "-h", "--no-such-option"])
def test_a_pattern_that_looks_like_an_option_follows_two_hyphens(target: Process, pattern: str) -> None:
    found = run(JCOLLECT, "find", target.pid, "--", pattern)
    assert (found.returncode, "Traceback" in found.stderr) == (0 if pattern == "--json" else 1, False)
    assert len(found.stderr) < 1000


@pytest.mark.parametrize("pattern", ["many.*", "many.*#*", "+java.util.function.IntUnaryOperator#*"])
@pytest.mark.parametrize("most", [100, 10_000])
def test_many_matches_are_bounded(target: Process, pattern: str, most: int) -> None:
    begun = time.monotonic()
    found = run(JCOLLECT, "find", target.pid, pattern, "--limit", most)
    assert time.monotonic() - begun < MOST_SECONDS + 2
    assert found.returncode == 0, found.stderr
    assert len(found.stdout.splitlines()) <= 2 * most
    assert "there may be more, the pattern matches 40,0" in found.stderr


@pytest.mark.parametrize(
    "pattern", ["mnay.C1#x", "many.C1#aplyAsInt", "many.*#no", "x" * 60_000, f"{'*a' * 500}y"]
)
def test_nothing_is_explained_in_time(target: Process, pattern: str) -> None:
    begun = time.monotonic()
    found = run(JCOLLECT, "find", target.pid, pattern)
    assert time.monotonic() - begun < MOST_SECONDS
    assert found.returncode == 1
    assert found.stderr.startswith("jcollect: ")
    assert len(found.stderr) < 2000
    assert len(found.stderr.splitlines()) == 1


def test_other_commands_do_not_wait_for_long(target: Process) -> None:
    searching = [
        Process([str(JCOLLECT), "find", str(target.pid), "many.*#*", "--limit", "10000"]) for _ in range(2)
    ]
    begun = time.monotonic()
    status = run(JCOLLECT, "status", target.pid)
    assert status.returncode == 0, status.stderr
    assert time.monotonic() - begun < 2 * MOST_SECONDS
    for each in searching:
        assert each.wait() == 0
