"""A stream describes each stack before the first event that has it: live, late, recorded, and as text."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from jcollect.errors import MalformedStreamError
from jcollect.hub.accounts import Accounts
from jcollect.hub.condition import ConditionError
from jcollect.hub.cursor import Last
from jcollect.hub.hub import Hub
from jcollect.hub.items import EncodedEvents, Item, Schema, Stacks
from jcollect.hub.stream_options import MASKABLE, StreamOptions
from jcollect.hub.subscription import Subscription
from jcollect.probes.description import ProbeDescription
from jcollect.recordings.reader import Recording
from jcollect.recordings.recorder import Recorder, Rotation, part_path
from jcollect.rpc.incoming import Incoming
from jcollect.rpc.messages import stream_messages
from jcollect.rpc.public.event import Missing
from jcollect.rpc.public.event_decoder import events_of
from jcollect.rpc.public.received import Received
from jcollect.sources.columns import Batch, Columns
from jcollect.sources.stacks import MOST_FRAMES, MOST_STACKS, StackTable, StackTrace
from jcollect.view.line_formats import line_format
from jcollect.view.lines import LineFormatter
from jprobe.v1 import collector_pb2, probe_pb2
from list_source import StillCounters
from served import described

PID = 4711
NUMBER = probe_pb2.Value(name="id", java_type="int", type=probe_pb2.VALUE_TYPE_INT, path="arg0")
STACK = probe_pb2.Value(name="stack", java_type="stack", type=probe_pb2.VALUE_TYPE_STACK, path="stack")
PLACE = StackTrace(PID, 1, ("com.acme.Orders.place(Orders.java:42)", "com.acme.Shop.run(Shop.java:7)"))
CANCEL = StackTrace(PID, 2, ("com.acme.Orders.cancel(Orders.java:50)",), True)


def probes() -> list[ProbeDescription]:
    """Returns a probe with a number and a stack, and one without a stack."""
    first, second = described(2)
    return [
        first._replace(values=(NUMBER, STACK), kind=probe_pb2.PROBE_KIND_RETURN),
        second._replace(values=(NUMBER,), kind=probe_pb2.PROBE_KIND_RETURN),
    ]


def batch(stacks: Sequence[int], first: int = 0) -> Batch:
    """Returns events with these stacks, after each one of the probe without."""
    count = 2 * len(stacks)
    numbers = np.arange(first, first + count).astype(np.uint64)
    ids = np.array([0, 1] * len(stacks), np.uint32)
    values = [word for stack in stacks for word in (5, stack, 6)]
    columns = Columns(
        numbers, numbers + 10**18, ids, ids, numbers, numbers * 10, np.array(values, np.uint64), b"", numbers
    )
    return Batch(columns, np.array([2, 1] * len(stacks), np.uint32), np.zeros(count, np.uint32))


def hub_with(*stacks: StackTrace) -> Hub:
    hub = Hub(probes(), Accounts(8, [StillCounters(8)]))
    hub.stacks.add(stacks)
    return hub


def shown(subscription: Subscription) -> list[object]:
    """Returns what is sent: stacks as their IDs, batches as "events"."""
    found: list[object] = []
    for item in subscription.items():
        if isinstance(item, Stacks):
            found.append([stack.id for stack in item.stacks])
        elif isinstance(item, EncodedEvents):
            found.append("events")
    return found


def test_each_stack_is_described_before_its_first_event() -> None:
    hub = hub_with(PLACE, CANCEL)
    subscription = hub.subscribe([])
    hub.publish(batch([1, 1, 0]))
    hub.publish(batch([1, 2], 6))
    # One that nobody has described.
    hub.publish(batch([9], 10))
    hub.end()
    assert shown(subscription) == [[1], "events", [2], "events", "events"]


def test_a_stack_with_a_known_number_is_described_again() -> None:
    hub = hub_with(PLACE)
    subscription = hub.subscribe([])
    hub.publish(batch([1]))
    items = subscription.items()
    assert [type(next(items)) for _ in range(3)] == [Schema, Stacks, EncodedEvents]
    hub.stacks.add([CANCEL._replace(id=1)])
    hub.publish(batch([1], 2))
    again = next(item for item in items if isinstance(item, Stacks))
    assert again.stacks[0].frames == CANCEL.frames


def test_a_position_after_a_stack_is_before_its_events() -> None:
    """A stream that goes on from there has the events."""
    hub = hub_with(PLACE)
    subscription = hub.subscribe([])
    hub.publish(batch([1]))
    hub.end()
    positions = [
        (type(item).__name__, subscription.cursor.events)
        for item in subscription.items()
        if isinstance(item, Stacks | EncodedEvents)
    ]
    assert positions == [("Stacks", 0), ("EncodedEvents", 2)]


def test_late_subscribers_get_the_stacks_of_the_history() -> None:
    hub = hub_with(PLACE, CANCEL)
    hub.publish(batch([1]))
    hub.publish(batch([2], 2))
    late = hub.subscribe([], options=StreamOptions(begin=Last(1000), only_history=True))
    assert shown(late) == [[1, 2], "events"]


@pytest.mark.parametrize(
    ("globs", "options"),
    [
        ([], StreamOptions(columns=MASKABLE - {"values"})),
        (["*Order1*"], StreamOptions()),
        ([], StreamOptions(where="id == 6")),
    ],
)
def test_nothing_is_described_to_those_who_get_no_stacks(globs: list[str], options: StreamOptions) -> None:
    hub = hub_with(PLACE)
    subscription = hub.subscribe(globs, options=options)
    hub.publish(batch([1]))
    hub.end()
    assert shown(subscription) == ["events"]


def test_a_condition_on_a_stack_is_refused() -> None:
    for condition in ("stack == null", "stack", "'x' == stack"):
        with pytest.raises(ConditionError, match="'stack' is a stack, which cannot be compared"):
            hub_with().subscribe(["*Order0*"], options=StreamOptions(where=condition))


def messages(items: Iterable[Item]) -> list[bytes]:
    return [message for item in items for message in stream_messages(item)]


def test_clients_get_the_frames_of_a_stack() -> None:
    hub = hub_with(PLACE)
    subscription = hub.subscribe([])
    hub.publish(batch([1, 0, 9]))
    hub.end()
    received = Received()
    found = []
    for message in messages(subscription.items()):
        columns = received.take(message)
        if columns is not None:
            found += events_of(columns, received.probes())
    stacks = [event.values["stack"] for event in found if "stack" in event.values]
    assert stacks == [PLACE.frames, Missing.ABSENT, Missing.UNKNOWN]


def test_large_descriptions_take_several_messages() -> None:
    many = [
        StackTrace(PID, number, tuple(f"{number} {'x' * 900}" for _ in range(8))) for number in range(400)
    ]
    found = messages([Stacks(many)])
    assert len(found) > 2
    assert max(map(len, found)) <= 1 << 20
    incoming = Incoming()
    read = [incoming.decode(message) for message in found]
    assert [stack for item in read if isinstance(item, Stacks) for stack in item.stacks] == many


@pytest.mark.parametrize(
    ("frames", "problem"),
    [(["x"] * (MOST_FRAMES + 1), "a stack has 1,025 frames"), (["x" * 5000], "a frame of a stack has 5,000")],
)
def test_a_description_beyond_all_limits_is_refused(frames: list[str], problem: str) -> None:
    sent = collector_pb2.SubscribeResponse()
    sent.stacks.stacks.add(pid=1, id=1, frames=frames)
    with pytest.raises(MalformedStreamError, match=problem):
        Incoming().decode(sent.SerializeToString())


def test_a_table_is_bounded() -> None:
    table = StackTable(most_bytes=1 << 20)
    for number in range(20_000):
        table.add([StackTrace(PID, number, (f"com.acme.Orders.place(Orders.java:{number})", "same"))])
    assert 100 < len(table) < 8_000
    assert table.get(PID, 0) is None
    newest = table.get(PID, 19_999)
    assert newest is not None
    older = table.get(PID, 19_998)
    assert older is not None
    assert newest.frames[1] is older.frames[1]
    many = StackTable()
    many.add(StackTrace(PID, number, ()) for number in range(MOST_STACKS + 10))
    assert len(many) == MOST_STACKS


def lines(output: str, events: Batch) -> list[str]:
    formatter = LineFormatter(line_format(output))
    formatter.add(probes())
    formatter.add_stacks([PLACE, CANCEL])
    return [line for part in formatter.lines(events.columns) for line in part]


def test_lines_have_the_frames() -> None:
    found = [json.loads(line)["captures"] for line in lines("json", batch([1, 2, 0, 9]))[::2]]
    assert [each["stack"] for each in found] == [
        list(PLACE.frames),
        list(CANCEL.frames),
        {"absent": "not kept"},
        {"unknown": True},
    ]
    compact = [line.partition("stack=")[2] for line in lines("compact", batch([1, 2, 0, 9]))[::2]]
    assert compact == ["Orders.place:42 < Shop.run:7", "Orders.cancel:50…", "<absent: not kept>", "<unknown>"]


def test_names_of_frames_are_escaped() -> None:
    formatter = LineFormatter(line_format("compact"))
    formatter.add(probes())
    formatter.add_stacks([StackTrace(PID, 1, ("a.\x1b[2J\u202e.b(\n)",))])
    (line,) = [line for part in formatter.lines(batch([1]).columns) for line in part][:1]
    assert line.isprintable()


def test_tables_have_a_line_for_each_frame() -> None:
    pytest.importorskip("pyarrow")
    from jcollect.view.arrow import EventTable

    table = EventTable(probes())
    table.add_stacks([PLACE])
    rows = table.record_batch(batch([1, 9]).columns)
    assert rows.column("stack").to_pylist() == ["\n".join(PLACE.frames), None, None, None]


def test_each_file_of_a_recording_has_its_stacks(tmp_path: Path) -> None:
    path = str(tmp_path / "t.jprec")
    recorder = Recorder(path, "test", Rotation(size=1))
    recorder.take(Schema(probes()))
    recorder.take(Stacks([PLACE]))
    for first in (0, 2):
        hub = hub_with(PLACE)
        subscription = hub.subscribe([])
        hub.publish(replace(batch([1], first)))
        hub.end()
        for item in subscription.items():
            if isinstance(item, EncodedEvents):
                recorder.take(item)
        recorder.take(Stacks([CANCEL]))
    recorder.complete()
    for part in range(1, recorder.files):
        items = list(Recording([part_path(path, part)]).items())
        described_here = {stack for item in items if isinstance(item, Stacks) for stack in item.stacks}
        assert PLACE in described_here
