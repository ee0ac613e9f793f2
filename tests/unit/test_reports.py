"""The output of tree, slow, exceptions and diff for a recording, as commands."""

from __future__ import annotations

import fcntl
import json
import os
import struct
import termios
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from java_target import JCOLLECT, run
from jcollect.cli.exception_groups import MOST_GROUPS, ExceptionGroups
from jcollect.cli.recorded_interval import recorded_interval
from jcollect.cli.replay_output import as_item
from jcollect.cli.selector_additions import with_capture, with_clause, with_stack
from jcollect.cli.slow_report import SlowOptions, SlowReport
from jcollect.cli.tree_report import TreeOptions, TreeReport
from jcollect.console import Stdout
from jcollect.errors import InvalidCommandError
from jcollect.hub.items import Events, Loss, Schema
from jcollect.layout.record import STRING_WORD_LENGTH_SHIFT, STRING_WORD_PRESENT
from jcollect.recordings.reader import Recording
from jcollect.rpc.public.event import Event
from jcollect.rpc.public.probe import Probe, ProbeValue
from jcollect.sources.columns import Columns
from jcollect.view.call import Call
from jcollect.view.call_tree import CallTrees
from jcollect.view.comparison import Calls, compare, exact_sum
from jcollect.view.tree_lines import Shown, tree_lines
from jprobe.v1 import probe_pb2
from recorded import BEGIN, columns, probe, record, value

LONG, STRING = probe_pb2.VALUE_TYPE_LONG, probe_pb2.VALUE_TYPE_STRING
MESSAGE = value("why", STRING, path="exception.message")
PROBES = [
    probe(1, 2, value("id", LONG, path="arg0"), method="outer"),
    probe(2, 2, method="inner"),
    probe(3, 3, value("exception", STRING), MESSAGE, method="inner"),
    probe(4, 3, value("exception", STRING), MESSAGE, method="middle"),
    probe(5, 1, method="outer"),
    probe(6, 1, method="inner"),
    probe(7, 1, method="middle"),
]


def texts(*found: str) -> tuple[list[int], bytes]:
    """Returns the words and the content of strings."""
    content = [text.encode() for text in found]
    words = [STRING_WORD_PRESENT | len(each) << STRING_WORD_LENGTH_SHIFT for each in content]
    return words, b"".join(content)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """outer calls inner, then middle, which fails as its inner fails; then inner alone, whose event is
    lost."""
    path = tmp_path / "calls.jprec"
    words, content = texts("java.io.IOException", "no 12\x1b", "java.io.IOException", "no 12\x1b")
    events = [
        (0, 5, 7, 0), (100, 6, 7, 0), (300_000, 2, 7, 299_900), (300_100, 7, 7, 0), (300_200, 6, 7, 0),
        (400_000, 3, 7, 99_800), (400_100, 4, 7, 100_000), (500_000, 6, 7, 0), (900_000, 1, 7, 900_000),
    ]  # fmt: skip
    record(path, [Schema(PROBES), columns(events, [*words, 42], content), Loss(1, 1, {2: 1})])
    return path


def output(*arguments: str | Path) -> str:
    done = run(JCOLLECT, *arguments)
    assert done.returncode == 0, done.stderr
    return str(done.stdout)


def test_a_tree_has_gaps_and_the_slowest_path(file: Path) -> None:
    lines = output("tree", file).splitlines()
    assert lines == [
        "    TIME     SELF   CALL",
        "",
        "10:00:00.000000 thread 7",
        "   900us    500us * com.acme.Orders#outer",
        "   300us    300us     com.acme.Orders#inner",
        "   100us    200ns     com.acme.Orders#middle  threw java.io.IOException: no 12\\x1b",
        "  99.8us   99.8us       com.acme.Orders#inner  threw java.io.IOException: no 12\\x1b",
        "                      … 1 event lost: the end of com.acme.Orders#inner",
    ]


def test_a_tree_is_cut_by_time_and_depth(file: Path) -> None:
    cut = output("tree", file, "--min", "301us").splitlines()
    assert len(cut) == 6
    assert cut[-1].strip() == "… 2 calls not shown"
    done = run(JCOLLECT, "tree", file, "--depth", "1", "--values", "--fail-on-loss")
    assert done.returncode == 3
    shown = done.stdout
    assert "outer  id=42" in shown
    assert "… 2 calls not shown" in shown
    assert output("tree", file, "--thread", "8") == ""


def test_a_tree_as_json_has_the_same_calls(file: Path) -> None:
    (line,) = output("tree", file, "--json", "--slowest", "3").splitlines()
    root: dict[str, Any] = json.loads(line)
    assert (root["thread"], root["duration_ns"], root["self_ns"]) == (7, 900_000, 500_100)
    inner, middle, lost = root["calls"]
    assert lost == {"method": "com.acme.Orders#inner", "start_unix_nanos": BEGIN + 500_000, "end_lost": True}
    assert [each["method"] for each in middle["calls"]] == ["com.acme.Orders#inner"]
    assert middle["threw"] == "java.io.IOException: no 12\\x1b"
    assert (root["is_slowest"], inner["is_slowest"]) == (True, False)


def test_on_a_terminal_the_slowest_path_has_a_color_and_names_fit(file: Path) -> None:
    terminal, ours = os.openpty()
    fcntl.ioctl(ours, termios.TIOCSWINSZ, struct.pack("4H", 24, 44, 0, 0))
    report = TreeReport(Stdout(ours), TreeOptions(0, 9, None, False, None, False, False), is_live=False)
    for item in Recording([str(file)]).items():
        report.take(as_item(item))
    report.finish()
    shown = os.read(terminal, 9999).decode().replace("\r\n", "\n").splitlines()
    os.close(terminal)
    os.close(ours)
    assert shown[3] == "\x1b[1;31m   900us    500us   com.acme.Orders#outer\x1b[0m"
    assert shown[4] == "   300us    300us     com.acme.Orders#inner"


def test_names_of_deep_calls_are_shortened() -> None:
    long = probe(1, 2, method="reserveAllOfThem", class_name="com.acme.warehouse.OrderServiceImpl")
    roots: list[Call] = []
    trees = CallTrees(roots.append, None)
    trees.describe([long])
    trees.take(columns([(100, 1, 7, 50), (200, 1, 7, 190)]))
    trees.finish()
    lines = [line.text for line in tree_lines(roots[0], trees.names, Shown(), True, 60)]
    assert all(len(line) <= 60 for line in lines)
    assert [line[20:] for line in lines] == [
        "c.a.w.OrderServiceImpl#reserveAllOfThem",
        "  c.a.w.OrderSe…iceImpl#reserveAllOfThem",
    ]


def test_merged_trees_sum_up_paths(file: Path) -> None:
    paths = [json.loads(line) for line in output("tree", file, "--merge", "--json").splitlines()]
    assert [(each["path"][-1][16:], each["calls"], each["errors"], each["total_ns"]) for each in paths] == [
        ("outer", 1, 0, 900_000),
        ("inner", 1, 0, 299_900),
        ("middle", 1, 1, 100_000),
        ("inner", 1, 1, 99_800),
    ]


def test_the_slowest_calls_come_with_their_values(file: Path) -> None:
    shown = output("slow", file, "-n", "2")
    assert shown.splitlines() == [
        "the 2 slowest calls of 4:",
        "",
        "1. 900us  com.acme.Orders#outer  10:00:00.000000 thread 7",
        "    id = 42",
        "",
        "2. 300us  com.acme.Orders#inner  10:00:00.000000 thread 7",
        "",
    ]
    lines = [json.loads(line) for line in output("slow", file, "--over", "90us", "--json").splitlines()]
    assert [each["rank"] for each in lines] == [1, 2, 3, 4]
    assert lines[0]["values"] == {"id": 42}
    assert (lines[2]["exception"], lines[2]["message"]) == ("java.io.IOException", "no 12\x1b")


def test_an_exception_that_passes_through_methods_counts_once(file: Path) -> None:
    shown = output("exceptions", file, "--fold-digits")
    assert "        1" in shown
    assert "java.io.IOException: no N\\x1b\n           in com.acme.Orders#inner\n" in shown
    assert "passed through com.acme.Orders#middle" in shown
    (line,) = map(json.loads, output("exceptions", file, "--json").splitlines())
    assert (line["count"], line["message"], line["methods"]) == (1, "no 12\x1b", ["com.acme.Orders#inner"])
    assert line["sample"]["thread"] == 7


def thrown(message: str, number: int) -> Event:
    values = (ProbeValue("exception", "", ""), ProbeValue("why", "", "exception.message"))
    origin = Probe(1, 4711, "p", "x__throw", "throw", "A", "x", "()V", values, "armed")
    return Event(number, BEGIN + number, origin, 7, 7, 0, {"exception": "E", "why": message}, BEGIN + number)


def test_messages_of_any_number_are_counted_in_bounded_memory() -> None:
    groups = ExceptionGroups(folds_digits=False)
    for number in range(MOST_GROUPS + 1000):
        groups.add(thrown(f"no order {number}", number))
    assert len(groups.in_order()) == MOST_GROUPS
    assert (groups.count, groups.others) == (MOST_GROUPS + 1000, 1000)
    assert list(groups.json(1.0))[-1] == {"exception": None, "others": 1000}


def calls(path: Path, scale: float, count: int, seed: int, errors: int) -> Path:
    """Records calls in 10 s, of which the last ones fail, and a method whose calls are the same in all."""
    random = np.random.default_rng(seed)
    took = (scale * random.lognormal(13, 0.5, count)).astype(np.int64)
    at = np.linspace(0, 10_000_000_000, count).astype(np.int64)
    events = [
        (int(when), 3 if number >= count - errors else 1, 7, int(each))
        for number, (when, each) in enumerate(zip(at, took, strict=True))
    ]
    same = np.random.default_rng(1).lognormal(12, 0.5, 800).astype(np.int64)
    events += [(int(10_000_000_000 / 800 * i), 2, 7, int(each)) for i, each in enumerate(same)]
    kinds = [probe(1, method="changed"), probe(2, method="same"), probe(3, 3, method="changed")]
    record(path, [Schema(kinds), columns(sorted(events))])
    return path


def test_sums_of_durations_have_more_than_64_bits() -> None:
    most = np.full(1000, (1 << 64) - 1, np.uint64)
    assert exact_sum(most) == 1000 * ((1 << 64) - 1)


def test_differences_are_told_from_chance(tmp_path: Path) -> None:
    a = calls(tmp_path / "a", 1.0, 2000, 2, 0)
    b = calls(tmp_path / "b", 1.5, 2000, 3, 100)
    changed, same = [json.loads(line) for line in output("diff", a, b, "--json").splitlines()]
    assert (changed["method"], same["method"]) == ("com.acme.Orders#changed", "com.acme.Orders#same")
    for name in ("mean", "median", "p99"):
        assert changed[name]["low"] < changed[name]["change"] < changed[name]["high"]
        assert 1.3 < changed[name]["change"] < 1.8, name
        assert changed[name]["is_different"]
        assert not same[name]["is_different"]
    assert not changed["rate"]["is_different"]
    assert changed["error_rate"]["change"] == pytest.approx(0.05)
    assert changed["error_rate"]["is_different"]
    assert "error_rate" not in same
    text = output("diff", a, b, "--rows", "1", "--confidence", "99")
    assert "99% INTERVAL" in text
    assert "and 1 method more" in text
    assert "no difference" in text


def test_parts_of_one_recording_are_compared(tmp_path: Path) -> None:
    path = calls(tmp_path / "a", 1.0, 2000, 2, 0)
    changed, _ = [
        json.loads(line)
        for line in output("diff", f"{path}@..+4s", f"{path}@10:00:04..", "--json").splitlines()
        if "changed" in line or "same" in line
    ]
    assert changed["calls_a"] + changed["calls_b"] == 2000
    assert changed["calls_a"] == pytest.approx(800, abs=1)
    assert changed["rate"]["b"] == pytest.approx(200, rel=0.01)
    failed = run(JCOLLECT, "diff", path, f"{path}@11:00..12:00")
    assert failed.returncode == 1
    assert "no call ended in it" in failed.stderr


@pytest.mark.parametrize(
    ("text", "begin", "end"),
    [
        ("f@10:00..10:05", 0, 300),
        ("f@10:00:01.5..", 1.5, None),
        ("f@+30s..+2min", 30, 120),
        ("f@2026-11-22T10:00..2026-11-22T10:00:09", 0, 9),
        ("f@23:59..00:01", 50_340, 50_460),
    ],
)
def test_intervals_are_parsed(text: str, begin: float, end: float | None) -> None:
    interval = recorded_interval(text)
    assert interval.path == "f"
    first, last = interval.within(BEGIN)
    assert first == BEGIN + begin * 1e9
    assert last == ((1 << 64) - 1 if end is None else BEGIN + end * 1e9)


@pytest.mark.parametrize("text", ["f@10:61..", "f@..+5x", "f@yesterday..today"])
def test_times_that_are_none_are_rejected(text: str) -> None:
    with pytest.raises(InvalidCommandError, match="is not a time such as"):
        recorded_interval(text)


def test_an_interval_ends_after_its_begin() -> None:
    with pytest.raises(InvalidCommandError, match="its end is not after its begin"):
        recorded_interval("f@+5s..+4s").within(BEGIN)


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ("com.acme.Orders#place", "com.acme.Orders#place(x)"),
        ("com.acme.Orders#place(long,String)", "com.acme.Orders#place(long,String)(x)"),
        ("com.acme.Orders#place(id=arg0.id)", "com.acme.Orders#place(id=arg0.id)"),
        ("com.acme.Orders#place(Order)(order.id)", "com.acme.Orders#place(Order)(order.id)"),
        ("com.acme.Orders#find(arg0, found=return.id)", "com.acme.Orders#find(arg0, found=return.id)"),
        ("com.acme.**#*(*[])", "com.acme.**#*(*[])(x)"),
        ("com.acme.Orders#get():String[]", "com.acme.Orders#get():String[](x)"),
        ("A::place[id=arg0.id]~when~id~gt~5", "A::place[id=arg0.id]~when~id~gt~5"),
        ("com.acme.Orders#place when duration > 5ms", "com.acme.Orders#place(x) when duration > 5ms"),
        ("com.acme.Orders#*(long,..) every 100", "com.acme.Orders#*(long,..)(x) every 100"),
        ("@com.acme.Timed", "@com.acme.Timed(x)"),
        ("public static A#find at most 5/s", "public static A#find(x) at most 5/s"),
        ("A#a;!A#b; A#c when d == ';(x=1)'", "A#a(x);!A#b;A#c(x) when d == ';(x=1)'"),
    ],
)  # fmt: skip
def test_captures_are_added_where_there_are_none(selector: str, expected: str) -> None:
    assert with_capture(selector, "x") == expected


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ("A#a;A#b(int)", "A#a(stack);A#b(int)(stack)"),
        ("A#a(x=arg0) when x > 5", "A#a(x=arg0, stack) when x > 5"),
        ("A#a[arg0]~every~10", "A#a[arg0, stack]~every~10"),
        ("A#a(arguments, stack(16))", "A#a(arguments, stack(16))"),
        ("A#a(deep=stack)", "A#a(deep=stack)"),
        ("A#a(stack.size)", "A#a(stack.size, stack)"),
        ("!A#a", "!A#a"),
    ],
)
def test_the_stack_is_added_to_the_captures(selector: str, expected: str) -> None:
    assert with_stack(selector) == expected


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ("A#a", "A#a when duration >= 5ms"),
        ("A#a(x=arg0) every 10", "A#a(x=arg0) when duration >= 5ms and every 10"),
        ("A#a when arg0 > 5", "A#a when arg0 > 5"),
        ("A#a~every~10", "A#a when duration >= 5ms and ~every~10"),
        ("A#when;!A#b", "A#when when duration >= 5ms;!A#b"),
    ],
)
def test_conditions_are_added_where_there_are_none(selector: str, expected: str) -> None:
    assert with_clause(selector, "duration >= 5ms") == expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("tree", "nothing.jprec"), "cannot read nothing.jprec: no such file"),
        (("slow", "4711", "--lane", "direct"), "--lane needs --select"),
        (("tree", "4711", "--merge", "--slowest", "2"), "--merge sums up all trees"),
        (("diff", "nothing.jprec", "nothing.jprec"), "cannot read nothing.jprec"),
    ],
)
def test_mistakes_are_explained(arguments: tuple[str, ...], message: str) -> None:
    done = run(JCOLLECT, *arguments)
    assert done.returncode in (1, 2)
    assert message.lower() in done.stderr.lower()
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("seed", range(12))
def test_events_of_any_content_are_reported(tmp_path: Path, seed: int) -> None:
    """A file may be hostile: times that go back, durations that exceed them, ends without a begin."""
    random = np.random.default_rng(seed)
    most = np.uint64((1 << 64) - 1)
    extremes = np.array([0, 1, BEGIN, BEGIN + 1, 1 << 63, most, most - np.uint64(1)], np.uint64)

    def numbers(count: int) -> np.ndarray[Any, np.dtype[np.uint64]]:
        chosen = random.choice(extremes, count)
        near = np.uint64(BEGIN) + random.integers(0, 5000, count).astype(np.uint64)
        return np.where(random.random(count) < 0.2, chosen, near)

    kinds = [probe(kind, kind, method=f"m{kind % 2}") for kind in (1, 2, 3, 4)]
    items: list[Any] = [Schema(kinds)]
    for _ in range(5):
        count = int(random.integers(1, 300))
        ids = random.integers(1, 5, count).astype(np.uint32)
        threads = random.integers(0, 4, count).astype(np.uint64)
        few = random.integers(0, 3000, count).astype(np.uint64)
        took = np.where(random.random(count) < 0.8, few, numbers(count))
        items.append(
            Columns(
                np.arange(count, dtype=np.uint64), numbers(count), ids, threads.astype(np.uint32), threads,
                took, np.zeros(0, np.uint64), b"", numbers(count),
            )
        )  # fmt: skip
        items.append(Loss(1, int(random.integers(0, 50)), {int(ids[0]): 1}))
    recorded = [Events(each) if isinstance(each, Columns) else each for each in items]
    terminal = os.open(os.devnull, os.O_WRONLY)
    for options in (
        TreeOptions(0, 9, None, False, None, True, False),
        TreeOptions(0, 9, 5, False, 1, False, True),
        TreeOptions(0, 9, None, True, None, False, False),
    ):
        for is_live in (True, False):
            tree = TreeReport(Stdout(terminal), options, is_live)
            slow = SlowReport(Stdout(terminal), SlowOptions(3, None, True, False))
            for item in recorded:
                tree.take(item)
                slow.take(item)
            tree.finish()
            slow.finish()
    os.close(terminal)
    calls = [Calls(), Calls()]
    for each in calls:
        each.describe(kinds)
        for item in items:
            if isinstance(item, Columns):
                each.add(item, 0, (1 << 64) - 1)
        each.lasted(BEGIN, BEGIN + 4000)
    assert compare(calls[0], calls[1], 0.95)
