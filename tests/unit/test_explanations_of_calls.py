"""Calls are explained by what their threads did, and texts say what is known, and nothing else."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import click
import numpy as np
import pytest

import jcollect.sources.threads.explainer as explainer_module
import jcollect.sources.threads.programs as programs_module
from conditions import wait_until
from event_batches import Event, batch, probe
from jcollect.cli.argument_types import ExplainedParts
from jcollect.errors import JcollectError
from jcollect.layout.threads import (
    THREAD_KIND_BLOCKED,
    THREAD_KIND_ENTERED,
    THREAD_KIND_FAULT,
    THREAD_KIND_RUNNING,
    THREAD_KIND_SYSCALL,
    THREAD_KIND_WOKEN,
    THREAD_RECORD_SIZE,
    ThreadRecord,
)
from jcollect.session.options import PARTS
from jcollect.sources.bpf.ring import Ring
from jcollect.sources.columns import Batch
from jcollect.sources.explanation import CPU, FAULTS, SYSCALLS, Explanation, ExplanationCounts
from jcollect.sources.threads.explainer import CallExplainer
from jcollect.sources.threads.programs import ThreadPrograms
from jcollect.view.explanation_texts import explanation_values, json_member, short_text
from jcollect.view.line_formats import line_format
from jcollect.view.lines import LineFormatter
from jcollect.workers import Failures
from jprobe.v1 import collector_pb2, probe_pb2
from ring_image import BUSY, RingImage, header

CAPACITY = 8
PID, TID = 4711, 100
# CLOCK_REALTIME less CLOCK_MONOTONIC.
UTC_OFFSET = 1_700_000_000_000_000_000
BEGIN = 5_000_000_000_000
MS, US = 1_000_000, 1_000
FUTEX, READ = 202, 0
RETURN = probe(0, pid=PID)
ENTRY = probe(1, pid=PID)._replace(kind=probe_pb2.PROBE_KIND_ENTRY)
STRANGE = probe(2, pid=PID + 1)


class Clock:
    """A clock that goes on by `step` when it is read."""

    def __init__(self) -> None:
        self.now, self.step = BEGIN, 0

    def __call__(self) -> int:
        self.now += self.step
        return self.now


class NoPrograms:
    """Stands for the BPF programs: the test writes their records."""

    ring_fd = -1

    def __init__(self, parts: Sequence[str], _: object = None) -> None:
        self.parts = parts
        self.watched: set[int] = set()
        self.losses = 0
        self.is_closed = False

    def watch(self, pid: int) -> None:
        self.watched.add(pid)

    def unwatch(self, pid: int) -> None:
        self.watched.discard(pid)

    def lost(self) -> int:
        return self.losses

    def close(self) -> None:
        self.is_closed = True


class Explained:
    """An explainer with a clock, a ring buffer and programs of the test's own."""

    def __init__(self, image: RingImage, clock: Clock, explainer: CallExplainer) -> None:
        self.image, self.clock, self.explainer = image, clock, explainer
        self.programs: Any = explainer._programs

    def put(self, *happened: tuple[int, int] | tuple[int, int, int], tid: int = TID) -> None:
        """Writes records, each given by its time in us since BEGIN, its kind, and its number."""
        for time, kind, *number in happened:
            record = ThreadRecord(time=BEGIN + time * US, tid=tid, kind=kind, number=sum(number))
            self.image.write(header(THREAD_RECORD_SIZE) + bytes(record))

    def apply(self, *events: Event) -> Batch:
        return self.explainer.apply(batch(events))

    def values(self, *events: Event) -> list[dict[str, int | str]]:
        explanation = self.apply(*events).columns.explanation
        assert explanation is not None
        return [explanation_values(explanation, at) for at in range(len(events))]


def call(start: int, duration: int, tid: int = TID, of: Any = RETURN) -> Event:
    """Returns the event of a call, whose times are in us; the start since BEGIN."""
    begun = UTC_OFFSET + BEGIN + start * US
    return Event(of, duration=duration * US, time=begun + duration * US, start=begun, tid=tid)


@pytest.fixture
def parts() -> tuple[str, ...]:
    return ("cpu", "faults", "syscalls")


@pytest.fixture
def explained(monkeypatch: pytest.MonkeyPatch, parts: tuple[str, ...]) -> Iterator[Explained]:
    """The processes of RETURN and ENTRY are watched since BEGIN; everything until 1 s later can be read."""
    clock = Clock()
    with RingImage() as image:
        monkeypatch.setattr(explainer_module, "ThreadPrograms", NoPrograms)
        monkeypatch.setattr(explainer_module, "Ring", lambda *_: Ring(image._file, image._bytes))
        explainer = CallExplainer(parts, CAPACITY, UTC_OFFSET, clock=clock)
        explainer.watch(PID)
        explainer.describe([RETURN, ENTRY, STRANGE])
        clock.now += 1_000 * MS
        made = Explained(image, clock, explainer)
        yield made
        if not made.programs.is_closed:
            explainer.close()


# Blocks for 3 ms in futex, after a fault and a read of 100 us, and waits 50 us for a CPU.
ACTIVITY = (
    (1_050, THREAD_KIND_FAULT),
    (1_100, THREAD_KIND_ENTERED, READ),
    (1_200, THREAD_KIND_SYSCALL),
    (1_890, THREAD_KIND_ENTERED, FUTEX),
    (1_900, THREAD_KIND_BLOCKED),
    (4_900, THREAD_KIND_WOKEN),
    (4_950, THREAD_KIND_RUNNING),
    (4_990, THREAD_KIND_SYSCALL),
)
WHOLE = {
    "on_cpu_ns": 1_950 * US, "run_queue_ns": 50 * US, "off_cpu_ns": 3_000 * US,
    "voluntary_switches": 1, "involuntary_switches": 0, "faults": 1,
    "syscalls": 2, "syscall_ns": 3_200 * US, "top_syscall": "futex", "top_syscall_ns": 3_100 * US,
}  # fmt: skip


def test_a_call_is_explained_by_what_its_thread_did(explained: Explained) -> None:
    explained.put(*ACTIVITY)
    explained.put((2_000, THREAD_KIND_FAULT), tid=TID + 1)
    assert explained.values(call(1_000, 5_000)) == [WHOLE]
    assert explained.explainer.counts() == ExplanationCounts(1, 0, len(ACTIVITY) + 1, 0)


def test_nested_and_recursive_calls_are_parts_of_their_caller(explained: Explained) -> None:
    explained.put(*ACTIVITY)
    inner, middle, outer = explained.values(call(1_500, 3_600), call(1_500, 4_000), call(1_000, 5_000))
    assert outer == WHOLE
    assert (inner["off_cpu_ns"], inner["on_cpu_ns"]) == (3_000 * US, 550 * US)
    assert int(middle["on_cpu_ns"]) - int(inner["on_cpu_ns"]) == 400 * US
    assert inner["syscalls"] == middle["syscalls"] == 1


@pytest.mark.parametrize(
    "event",
    [
        call(-1, 500),
        call(1_000, 500, of=STRANGE),
        replace(call(1_000, 500), start=0),
        call(1_000, 1_000_000),
        replace(call(1_000, 500), duration=(1 << 64) - 1),
        replace(call(1_000, 500), start=1),
        replace(call(1_000, 500), start=(1 << 64) - 1),
        call(1_000, 500, tid=0),
        call(1_000, 500, tid=(1 << 32) - 1),
    ],
    ids=["before it is watched", "of another process", "start unknown", "end in the future", "too long",
         "1970", "far future", "no thread", "no such thread"],
)  # fmt: skip
def test_nothing_is_said_of_a_call_that_cannot_be_explained(explained: Explained, event: Event) -> None:
    explained.put(*ACTIVITY)
    assert explained.values(event, call(1_000, 5_000)) == [{}, WHOLE]
    counts = explained.explainer.counts()
    assert (counts.explained, counts.unknown) == (1, 1)


def test_events_that_are_no_ends_of_calls_are_not_counted(explained: Explained) -> None:
    assert explained.values(Event(ENTRY, tid=TID, time=UTC_OFFSET + BEGIN + MS)) == [{}]
    assert explained.explainer.counts() == ExplanationCounts(0, 0, 0, 0)
    empty = batch([])
    assert explained.explainer.apply(empty) is empty


def test_everything_else_of_a_batch_stays_as_it_was(explained: Explained) -> None:
    events = [call(1_000, 500), Event(ENTRY, tid=TID), call(2_000, 500)]
    before, after = batch(events), explained.apply(*events)
    assert after.columns.explanation is not None
    assert after.columns.explanation.known.astype(bool).tolist() == [True, False, True]
    for name in ("seq", "time_unix_nanos", "probe", "tid", "duration_nanos", "start_unix_nanos"):
        assert np.array_equal(getattr(before.columns, name), getattr(after.columns, name))


def test_of_a_virtual_thread_nothing_is_known(explained: Explained) -> None:
    explained.put(*ACTIVITY)
    events = replace(batch([call(1_000, 5_000)] * 2), is_virtual=np.array([True, False]))
    explanation = explained.explainer.apply(events).columns.explanation
    assert explanation is not None
    assert [explanation_values(explanation, at) for at in range(2)] == [{}, WHOLE]


def test_calls_during_which_records_were_lost_are_not_known(explained: Explained) -> None:
    explained.clock.now = BEGIN + 2 * MS
    assert explained.values(call(1_000, 500))[0]["on_cpu_ns"] == 500 * US
    explained.programs.losses = 7
    explained.clock.now = BEGIN + 10 * MS
    before, across, within = explained.values(call(1_000, 500), call(1_500, 1_000), call(9_000, 500))
    assert before["on_cpu_ns"] == 500 * US
    assert across == within == {}
    explained.clock.now = BEGIN + 20 * MS
    assert explained.values(call(11_000, 500))[0]["on_cpu_ns"] == 500 * US
    assert explained.explainer.counts().lost == 7


def test_a_call_waits_for_a_record_that_is_being_written_and_not_for_ever(explained: Explained) -> None:
    at = explained.image.producer
    explained.put(*ACTIVITY)
    whole = bytes(header(THREAD_RECORD_SIZE))
    explained.image.put(at, bytes(header(THREAD_RECORD_SIZE, BUSY)))
    explained.clock.step = 500 * US
    assert explained.values(call(1_000, 5_000)) == [{}]
    assert explained.explainer.counts().records == 0
    explained.image.put(at, whole)
    assert explained.values(call(1_000, 5_000)) == [WHOLE]


@pytest.mark.parametrize(
    ("parts", "columns"),
    [
        (("cpu",), CPU),
        (("faults",), FAULTS),
        (("syscalls",), SYSCALLS),
        (("faults", "cpu"), {**CPU, **FAULTS}),
    ],
)
def test_only_what_is_asked_for_is_said(explained: Explained, columns: dict[str, Any]) -> None:
    explained.put((1_050, THREAD_KIND_FAULT))
    explanation = explained.apply(call(1_000, 5_000)).columns.explanation
    assert explanation is not None
    assert list(explanation.columns) == list(columns)
    assert explanation.known.astype(bool).all()


def test_each_system_call_is_named_once(explained: Explained) -> None:
    for begin in range(1_000, 9_000, 1_000):
        number = READ if begin % 2_000 else 9_999
        explained.put((begin + 100, THREAD_KIND_ENTERED, number), (begin + 200, THREAD_KIND_SYSCALL))
    explanation = explained.apply(*(call(begin, 900) for begin in range(0, 9_000, 1_000))).columns.explanation
    assert explanation is not None
    assert sorted(explanation.names) == ["read", "syscall 9999"]
    names = [explanation_values(explanation, at).get("top_syscall") for at in range(9)]
    assert "top_syscall_ns" not in explanation_values(explanation, 0)
    assert names == [None, *["read", "syscall 9999"] * 4]


def test_what_threads_do_is_read_without_calls_too(explained: Explained) -> None:
    failures = Failures()
    explained.explainer.start(failures)
    explained.put(*ACTIVITY)
    wait_until(lambda: explained.explainer.counts().records == len(ACTIVITY), "the records to be read")
    explained.explainer.unwatch(PID)
    assert explained.programs.watched == set()
    explained.explainer.close()
    assert explained.programs.is_closed
    failures.check()


def test_a_corrupted_ring_buffer_ends_the_command(explained: Explained) -> None:
    failures = Failures()
    explained.explainer.start(failures)
    explained.image.write(header(THREAD_RECORD_SIZE + 8) + bytes(THREAD_RECORD_SIZE + 8))
    wait_until(lambda: failures._first is not None, "the failure")
    with pytest.raises(JcollectError, match="cannot explain calls: the ring buffer is corrupted"):
        failures.check()


# ---- the kernel's refusals ----


def test_in_a_pid_namespace_of_its_own_jcollect_explains_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs_module, "own_pid_namespace", lambda: (4, 4026532000))
    with pytest.raises(JcollectError, match=r"a PID namespace of its own.* --pid=host"):
        ThreadPrograms(["cpu"], NoCompilation())  # type: ignore[arg-type]


class NoCompilation:
    """A compilation that only has to be closed."""

    def close(self) -> None:
        pass


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (errno.EPERM, "Operation not permitted; run with sudo"),
        (errno.EACCES, "Permission denied; run with sudo"),
        (errno.EINVAL, "it has other arguments; run Linux 5.18 or later"),
        (errno.ENOENT, r"this kernel for \w+ does not have it"),
        (errno.ENOMEM, "Cannot allocate memory"),
    ],
)
def test_a_tracepoint_that_cannot_be_used_is_named_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, number: int, reason: str
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(programs_module, "open_raw_tracepoint", refuse)
    with pytest.raises(JcollectError, match=f"the tracepoint page_fault_user: {reason}$"):
        programs_module._attach("page_fault_user", 3)


def test_too_many_processes_are_refused_with_their_number(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.E2BIG, "full")

    monkeypatch.setattr(programs_module, "update_hash", refuse)
    programs = ThreadPrograms.__new__(ThreadPrograms)
    programs._watched = -1
    with pytest.raises(JcollectError, match="calls of PID 4711: 4,096 processes are watched already"):
        programs.watch(PID)


# ---- words and texts ----


def words(text: str) -> frozenset[str]:
    return ExplainedParts().convert(text, None, None)


def test_words_are_parts_and_their_other_names() -> None:
    assert words("") == frozenset()
    assert words("cpu") == words("runq") == words("offcpu, cpu") == {"cpu"}
    assert words("syscalls,faults") == {"faults", "syscalls"}
    assert words("all") == set(PARTS)
    assert words("all,runq") == set(PARTS)


@pytest.mark.parametrize("text", ["walltime", "cpu,", ",", "cpu faults", "CPU", "cpu;faults"])
def test_other_words_are_rejected_with_the_known_ones(text: str) -> None:
    with pytest.raises(
        click.BadParameter, match="is not a part of a call; the parts are cpu, faults, syscalls"
    ):
        words(text)


def explanation(known: int, names: Sequence[str] = (), **columns: int) -> Explanation:
    """Returns the explanation of one call."""
    types = {**CPU, **FAULTS, **SYSCALLS, "pause_nanos": np.uint64, "top_pause": np.uint32}
    arrays = {name: np.array([number], types[name]) for name, number in columns.items()}
    return Explanation(np.array([known], np.uint32), arrays, tuple(names))


ALL_PARTS = (1 << 16) - 1
SLOW = explanation(
    ALL_PARTS,
    ["futex", "G1 pause"],
    on_cpu_nanos=3_100_000, run_queue_nanos=12_000, off_cpu_nanos=40_000_000,
    voluntary_switches=2, involuntary_switches=1, faults=7,
    syscalls=3, syscall_nanos=39_000_000, top_syscall=1, top_syscall_nanos=38_000_000,
    pause_nanos=5_000_000, top_pause=2,
)  # fmt: skip


def test_the_member_of_a_json_line_has_what_is_known() -> None:
    values = explanation_values(SLOW, 0)
    member = json_member(values, False)
    assert json.loads("{" + member[1:] + "}")["explain"] == {
        "on_cpu_ns": 3_100_000, "run_queue_ns": 12_000, "off_cpu_ns": 40_000_000,
        "voluntary_switches": 2, "involuntary_switches": 1, "faults": 7,
        "syscalls": 3, "syscall_ns": 39_000_000, "top_syscall": "futex", "top_syscall_ns": 38_000_000,
        "pause_ns": 5_000_000, "pause": "G1 pause",
    }  # fmt: skip
    quoted = json.loads("{" + json_member(values, True)[1:] + "}")["explain"]
    assert (quoted["on_cpu_ns"], quoted["faults"]) == ("3100000", 7)
    assert json_member(explanation_values(explanation(0, on_cpu_nanos=1), 0), False) == ""


def test_the_end_of_a_line_says_the_same_in_words() -> None:
    assert short_text(explanation_values(SLOW, 0)) == (
        "on CPU 3.10ms, run queue 12.0us, off CPU 40.0ms, JVM paused 5.00ms (G1 pause), 7 faults, "
        "3 system calls 39.0ms (futex 38.0ms)"
    )
    assert short_text({}) == ""
    assert short_text({"faults": 0}) == ""
    assert short_text({"on_cpu_ns": 0, "run_queue_ns": 0}) == "on CPU 0ns"


HOSTILE = "\x1b[31m\n\u202ex"


@pytest.mark.parametrize(
    "sent",
    [
        explanation(ALL_PARTS, [HOSTILE], pause_nanos=0, top_pause=1),
        explanation(ALL_PARTS, [HOSTILE], pause_nanos=9, top_pause=1),
        explanation(ALL_PARTS, [HOSTILE], top_pause=1),
        explanation(ALL_PARTS, [HOSTILE], syscalls=1),
        explanation(ALL_PARTS, [HOSTILE], syscalls=1, top_syscall=1),
        explanation(ALL_PARTS, [HOSTILE], syscalls=1, syscall_nanos=1, top_syscall=1, top_syscall_nanos=1),
        explanation(ALL_PARTS, [HOSTILE], top_syscall=1, top_syscall_nanos=1),
        explanation((1 << 32) - 1, [], faults=(1 << 32) - 1, on_cpu_nanos=(1 << 64) - 1),
    ],
)
def test_hostile_servers_cannot_break_a_line(sent: Explanation) -> None:
    """A server, or a recording, sends any columns and names."""
    values = explanation_values(sent, 0)
    for text in (short_text(values), json_member(values, False), json_member(values, True)):
        assert text.isprintable()


@pytest.mark.parametrize(("faults", "end"), [(0, ""), (7, "; 7 faults")])
def test_a_line_without_anything_to_say_ends_as_others(faults: int, end: str) -> None:
    described = collector_pb2.Probe(
        id=0, pid=PID, provider="com_acme_Orders", name="place__return", kind=probe_pb2.PROBE_KIND_RETURN,
        class_name="com.acme.Orders", method="place", method_descriptor="()V",
    )  # fmt: skip
    events = batch([call(1_000, 500)])
    columns = replace(events.columns, explanation=explanation(ALL_PARTS, faults=faults))
    formatter = LineFormatter(line_format("compact"))
    formatter.add([described])
    ((line,),) = formatter.lines(columns)
    assert line.endswith(f"500us{end}")
