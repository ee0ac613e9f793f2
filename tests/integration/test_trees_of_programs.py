"""Trees of the calls of a real program, in both lanes: recursion, exceptions and virtual threads."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from conditions import require_bpf, wait_until
from java_target import JCOLLECT, JDKS, Jdk, Process, attach, finish, java, jcollect, newest_jdk, run
from jcollect import Client

SHOP = "Nested$Shop"
RUNS, THREADS = 50, 200
Tree = dict[str, Any]
# The calls of order and of deliver, as in tests/targets/Nested.java: name, if it throws, inner calls.
RESERVED_0 = ("reserve", False, [])
RESERVED_1 = ("reserve", False, [("check", False, []), RESERVED_0])
RESERVED_2 = ("reserve", False, [("check", False, []), RESERVED_1])
RESERVED_3 = ("reserve", False, [("check", False, []), RESERVED_2])
ORDER = (
    "order",
    False,
    [("check", False, []), RESERVED_3, ("pay", True, [("charge", True, [])]), RESERVED_1],
)
DELIVER = ("deliver", False, [("check", False, []), ("step", False, [("check", False, [])]), RESERVED_2])


def shape(tree: Tree) -> tuple[str, bool, list[Any]]:
    name = tree["method"].removeprefix(f"{SHOP}#")
    return (name, bool(tree.get("threw")), [shape(each) for each in tree["calls"]])


def walk(tree: Tree) -> Iterator[Tree]:
    yield tree
    for each in tree.get("calls", ()):
        yield from walk(each)


def trees_of(target: Process, lane: str, *commands: str) -> list[Tree]:
    """Returns the trees that `jcollect tree` prints while the program executes commands."""
    options = ("--select", f"{SHOP}#*", "--lane", lane, "--max-overhead", 0, "--fail-on-loss")
    with jcollect("tree", target.pid, *options, "--json") as tree:
        tree.wait_for_line("armed ")
        for command in commands:
            target.send(command)
            target.wait_for_line("done")
        tree.signal(2)
        assert tree.wait() == 0, tree.err
        return [json.loads(line) for line in tree.out]


@pytest.mark.parametrize("lane", [pytest.param("kernel", marks=pytest.mark.takes_long), "direct"])
@pytest.mark.parametrize("jdk", JDKS[:-1], ids=str)
def test_trees_of_older_releases(targets: Path, jdk: Jdk, lane: str) -> None:
    check_trees(targets, jdk, lane)


@pytest.mark.parametrize("lane", ["kernel", "direct"])
def test_trees_are_those_of_the_program(targets: Path, lane: str) -> None:
    check_trees(targets, newest_jdk, lane)


def check_trees(targets: Path, jdk: Jdk, lane: str) -> None:
    require_bpf()
    is_virtual = jdk.version >= 21
    with java(jdk, "-cp", targets, "Nested") as target:
        target.wait_for_line("ready")
        found = trees_of(target, lane, "run", *([f"virtual {THREADS}"] if is_virtual else []))
    orders = [each for each in found if each["method"].endswith("order")]
    assert [shape(each) for each in orders] == [ORDER] * RUNS
    delivered = [each for each in found if each["method"].endswith("deliver")]
    assert [shape(each) for each in delivered] == [DELIVER] * (THREADS if is_virtual else 0)
    assert len({each["thread"] for each in delivered}) == len(delivered)
    assert len(found) == len(orders) + len(delivered)
    for root in found:
        assert not root["lost"]
        for each in walk(root):
            inner = sum(one["duration_ns"] for one in each["calls"])
            assert each["self_ns"] == each["duration_ns"] - inner >= 0
            ends = [one["start_unix_nanos"] + one["duration_ns"] for one in each["calls"]]
            starts = [one["start_unix_nanos"] for one in each["calls"]]
            begins = [each["start_unix_nanos"], *ends[:-1]] if starts else []
            assert all(start >= end for end, start in zip(begins, starts, strict=True))
    assert {each["threw"] for root in orders for each in walk(root) if each.get("threw")} == {
        "java.lang.IllegalStateException"
    }


def test_reports_of_a_running_collector(targets: Path, tmp_path: Path) -> None:
    """They are those of a recording of the same events."""
    require_bpf()
    with java(newest_jdk, "-cp", targets, "Nested") as target:
        target.wait_for_line("ready")
        with attach(target.pid, "--select", f"{SHOP}#*") as collector:
            address = re.search(r"unix:\S+", "\n".join(collector.err))
            assert address is not None
            file = tmp_path / "calls.jprec"
            with (
                jcollect("record", target.pid, "-w", file) as recorder,
                jcollect("tree", address[0], "--json") as tree,
                jcollect("slow", target.pid, "-n", 1, "--json") as slow,
            ):
                wait_until(lambda: len(subscribers(target.pid)) == 3, "the clients")
                target.send("run")
                target.wait_for_line("done")
                finish(collector)
                for client in (recorder, tree, slow):
                    assert client.wait() == 0, client.err
    trees = [json.loads(line) for line in tree.out]
    assert [shape(each) for each in trees] == [ORDER] * RUNS
    assert run(JCOLLECT, "tree", file, "--json").stdout.splitlines() == tree.out
    longest = max(each["duration_ns"] for each in trees)
    assert json.loads(slow.out[-1])["duration_ns"] == longest


def test_lost_events_of_a_program_move_no_call(targets: Path) -> None:
    """The ring buffer has room for one page: most events are lost."""
    require_bpf()
    with java(newest_jdk, "-cp", targets, "Nested") as target:
        target.wait_for_line("ready")
        options = ("--select", f"{SHOP}#*", "--lane", "kernel", "--ring-pages", 1)
        with (
            attach(target.pid, *options) as collector,
            jcollect("tree", target.pid, "--json") as tree,
        ):
            wait_until(lambda: subscribers(target.pid), "the client")
            for _ in range(20):
                target.send("run")
                target.wait_for_line("done")
            summary = finish(collector)
            assert tree.wait() == 0, tree.err
    lost = re.search(r"\(kernel ring ([\d,]+)", summary)
    assert lost is not None
    assert int(lost[1].replace(",", "")) > 1000
    trees = [json.loads(line) for line in tree.out]
    assert len(trees) > 20
    gaps = sum(each.get("end_lost", False) for root in trees for each in walk(root))
    others = re.search(r"([\d,]+) calls? whose end was lost in no tree", "\n".join(tree.err))
    assert gaps + (int(others[1].replace(",", "")) if others else 0) > 10
    shapes = [known(each) for each in trees if not each.get("is_running")]
    wrong = [each for each in shapes if not fits((each,), (frozen(ORDER),))]
    assert not wrong, wrong[:3]


def known(tree: Tree) -> tuple[Any, ...]:
    """Returns the shape of the calls whose ends came."""
    inner = [each for each in tree["calls"] if not each.get("end_lost")]
    name = tree["method"].removeprefix(f"{SHOP}#")
    return (name, bool(tree.get("threw")), tuple(known(each) for each in inner))


def frozen(shape: Any) -> tuple[Any, ...]:
    return (shape[0], shape[1], tuple(map(frozen, shape[2])))


@cache
def fits(shown: tuple[Any, ...], full: tuple[Any, ...]) -> bool:
    """Returns true if calls are these without some, whose inner calls take their places."""
    if not shown or not full:
        return not shown
    (name, threw, inner), *others = full
    if fits(shown, (*inner, *others)):
        return True
    first, *rest = shown
    is_same = first[:2] == (name, threw) and fits(first[2], inner)
    return is_same and fits(tuple(rest), tuple(others))


def subscribers(pid: int) -> list[str]:
    """Returns the peers of the collector's subscribers."""
    with Client(str(pid)) as client:
        return [each.peer for each in client.status(summary_only=True).subscribers]


def test_exceptions_of_a_program_have_messages(targets: Path) -> None:
    require_bpf()
    with java(newest_jdk, "-cp", targets, "Nested") as target:
        target.wait_for_line("ready")
        options = ("--select", f"{SHOP}#*", "--max-overhead", 0, "--json")
        with jcollect("exceptions", target.pid, *options) as found:
            found.wait_for_line("armed ")
            target.send("run")
            target.wait_for_line("done")
            found.signal(2)
            assert found.wait() == 0, found.err
            kinds = [json.loads(line) for line in found.out]
    assert {(each["message"], each["count"]) for each in kinds} == {
        (f"no funds for {number}", 1) for number in range(RUNS)
    }
    assert {tuple(each["methods"]) for each in kinds} == {(f"{SHOP}#charge",)}
    assert {each["sample"]["values"]["stack"][0].partition("(")[0] for each in kinds} == {f"{SHOP}.charge"}
    assert {tuple(each["passed"]) for each in kinds} == {(f"{SHOP}#pay",)}


def test_only_slow_calls_cost_an_event(targets: Path) -> None:
    require_bpf()
    with java(newest_jdk, "-cp", targets, "Nested") as target:
        target.wait_for_line("ready")
        options = ("--select", f"{SHOP}#step;{SHOP}#check", "--over", "1ms", "--max-overhead", 0)
        with jcollect("slow", target.pid, *options, "-n", 2, "--json", "--explain", "cpu") as found:
            found.wait_for_line("armed ")
            target.send("virtual 20")
            target.wait_for_line("done")
            found.signal(2)
            assert found.wait() == 0, found.err
            calls = [json.loads(line) for line in found.out]
            (summary,) = [line for line in found.err if line.startswith("detached")]
    steps = [each for each in calls if each["method"] == "step" and "rank" not in each]
    assert sorted(each["values"]["index"] for each in steps) == list(range(20))
    assert {each["values"]["millis"] for each in steps} == {2}
    ranked = [each for each in calls if "rank" in each]
    assert [each["rank"] for each in ranked] == [1, 2]
    longest = sorted((each["duration_ns"] for each in calls if "rank" not in each), reverse=True)
    assert [each["duration_ns"] for each in ranked] == longest[:2]
    # Each delivery calls step once, and check four times.
    delivered = len(calls) - len(ranked)
    assert f"100 hits = {delivered} delivered + {100 - delivered} filtered + 0 lost" in summary


def test_a_slow_call_says_where_its_time_went(targets: Path) -> None:
    require_bpf()
    with java(newest_jdk, "-cp", targets, "Nested", jvm=["-XX:+UseG1GC"]) as target:
        target.wait_for_line("ready")
        options = ("--select", f"{SHOP}#clean", "--max-overhead", 0)
        with jcollect("slow", target.pid, *options) as found:
            found.wait_for_line("armed ")
            target.send("clean")
            target.wait_for_line("done")
            found.signal(2)
            assert found.wait() == 0, found.err
    last = "\n".join(found.out).rpartition("the 1 slowest call of 1:")[2]
    assert re.search(r"\n1\. [\d.]+ms  Nested\$Shop#clean  [\d:.]+ thread \d+\n    count = 3\n", last), last
    assert re.search(r"\n    returned 3\n    of [\d.]+ms, [\d.]+ms in pauses of the JVM \(G1", last), last
    assert re.search(r"\n    of [\d.]+ms, [\d.]+ms blocked or asleep", last), last
    assert re.search(
        r"\n      at Nested\$Shop\.clean\(.*\n      at Nested\.main\(Nested.java:\d+\)\n", last
    ), last
