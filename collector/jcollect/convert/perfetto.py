"""Recordings as traces for ui.perfetto.dev: threads as tracks, calls as slices, values as arguments.

The messages are those of the package perfetto, an extra (`jprobe[perfetto]`). Packets may be in any order:
the reader sorts them by time.
"""

from __future__ import annotations

import json
from typing import Any, BinaryIO

from jcollect.convert.backwards import Backwards, Lost
from jcollect.convert.calls import Call, Nesting
from jcollect.errors import JcollectError
from jcollect.hub.items import Loss
from jcollect.probes.description import ProbeDescription
from jcollect.probes.probe import ENTRY, KIND_NAMES, THROW, TIMED_KINDS
from jcollect.probes.protobuf_fields import encoded_varint
from jcollect.sinks.terminal import stage_name
from jcollect.sources.columns import Batch
from jcollect.view.formats import location_text
from jcollect.view.line_formats import line_format
from jcollect.view.lines import LineFormatter

_SEQUENCE = 1
# builtin_clock.proto: BUILTIN_CLOCK_REALTIME, in ns since 1970.
_REALTIME = 1
_PROCESS_UUIDS, _LOSS_UUID = 1 << 40, 1
# The parts of an event's JSON line that are the call's, and not its track's.
_VALUES = ("args", "value", "exception", "captures")
_MOST_TRACKS = 1 << 18


def import_perfetto() -> Any:
    """Returns the module of the messages. Raises JcollectError if it is not installed."""
    try:
        from perfetto.protos.perfetto.trace import perfetto_trace_pb2
    except ImportError as error:
        raise JcollectError(
            f"cannot write Perfetto traces: the package perfetto cannot be imported ({error}); "
            "run pip install 'jprobe[perfetto]'"
        ) from None
    return perfetto_trace_pb2


class PerfettoWriter:
    """Writes one trace."""

    def __init__(self, source: Backwards, out: BinaryIO) -> None:
        """Raises JcollectError without the package."""
        self._pb = import_perfetto()
        self._source = source
        self._out = out
        self._tracks: dict[tuple[int, int], int] = {}
        self._tids: set[tuple[int, int]] = set()
        self._pids: set[int] = set()
        self._names: dict[str, int] = {}
        self.events = 0

    def write(self) -> int:
        """Writes all events, and returns their number."""
        self._begin()
        losses: list[Lost] = []
        for item in Nesting(self._source).batches():
            if isinstance(item, Lost):
                losses.append(item)
                continue
            batch, calls = item
            if not len(batch):
                continue
            # A loss was noticed after the events before it.
            last = int(batch.columns.time_unix_nanos.max())
            for lost in losses:
                self._lost(lost, last)
            losses = []
            self._batch(batch, calls)
        return self.events

    def _begin(self) -> None:
        packet = self._packet(0)
        packet.sequence_flags = self._pb.TracePacket.SEQ_INCREMENTAL_STATE_CLEARED
        packet.trace_packet_defaults.timestamp_clock_id = _REALTIME
        packet.ClearField("timestamp")
        self._put(packet)

    def _batch(self, batch: Batch, calls: list[Call]) -> None:
        probes = self._source.probes
        lines = self._values(batch, probes)
        for call in calls:
            probe = probes[call.probe]
            track = self._track(call.pid, call.tid, call.thread)
            begin = self._event(call.start, track, self._pb.TrackEvent.TYPE_SLICE_BEGIN, location_text(probe))
            event = begin.track_event
            event.categories.append(KIND_NAMES[probe.kind])
            self._annotate(event, lines[call.event])
            if probe.kind == THROW:
                self._annotation(event, "threw", True)
            if call.end - call.start != call.duration:
                self._annotation(event, "duration_ns", call.duration)
            self._put(begin)
            self._put(self._event(call.end, track, self._pb.TrackEvent.TYPE_SLICE_END))
        self._instants(batch, probes, lines)
        self.events += len(batch)

    def _instants(
        self, batch: Batch, probes: dict[int, ProbeDescription], lines: list[dict[str, Any]]
    ) -> None:
        """Writes the events that are no ends of calls: entries and marks."""
        c = batch.columns
        rows = zip(
            c.probe.tolist(),
            c.tid.tolist(),
            c.thread.tolist(),
            c.time_unix_nanos.tolist(),
            lines,
            strict=True,
        )
        for number, tid, thread, time, line in rows:
            probe = probes[number]
            if probe.kind in TIMED_KINDS or probe.kind not in KIND_NAMES:
                continue
            name = f"entry {location_text(probe)}" if probe.kind == ENTRY else location_text(probe)
            track = self._track(probe.pid, tid, thread)
            packet = self._event(time, track, self._pb.TrackEvent.TYPE_INSTANT, name)
            packet.track_event.categories.append(KIND_NAMES[probe.kind])
            self._annotate(packet.track_event, line)
            self._put(packet)

    def _values(self, batch: Batch, probes: dict[int, ProbeDescription]) -> list[dict[str, Any]]:
        """Returns the values of each event, as docs/event-format.md has them; none for kinds of a later
        version."""
        c = batch.columns
        numbers = set(c.probe.tolist())
        known = {number for number in numbers if probes[number].kind in KIND_NAMES}
        if not any(probes[number].values for number in known):
            return [{}] * len(batch)
        formatter = LineFormatter(line_format("json"))
        formatter.use_stacks(self._source.stacks)
        formatter.add([probes[number] for number in numbers])
        lines = (json.loads(line) for part in formatter.lines(c) for line in part)
        return [next(lines) if number in known else {} for number in c.probe.tolist()]

    def _annotate(self, event: Any, line: dict[str, Any]) -> None:
        for name in _VALUES:
            found = line.get(name)
            if isinstance(found, dict):
                for each, value in found.items():
                    self._annotation(event, each, value)
            elif isinstance(found, list):
                for index, value in enumerate(found):
                    self._annotation(event, f"arg{index}", value)
            elif found is not None:
                self._annotation(event, name, found)

    def _annotation(self, event: Any, name: str, value: Any) -> None:
        annotation = event.debug_annotations.add(name=name)
        if isinstance(value, bool):
            annotation.bool_value = value
        elif isinstance(value, int) and -(1 << 63) <= value < 1 << 64:
            if value < 1 << 63:
                annotation.int_value = value
            else:
                annotation.uint_value = value
        elif isinstance(value, float):
            annotation.double_value = value
        elif value is None:
            annotation.string_value = "null"
        else:
            # A stack has a line for each frame.
            text = "\n".join(map(str, value)) if isinstance(value, list) else value
            text = text if isinstance(text, str) else json.dumps(text)
            annotation.string_value = text.encode("utf-8", "replace").decode()

    def _lost(self, lost: Lost, time: int) -> None:
        """Marks a gap, on a track of its own."""
        if self._LOST not in self._names:
            packet = self._packet(time)
            packet.track_descriptor.uuid = _LOSS_UUID
            packet.track_descriptor.name = self._LOST
            self._put(packet)
        name = f"{lost.events:,} lost: {stage_name(Loss(lost.stage, lost.events, {}))}"
        packet = self._event(time, _LOSS_UUID, self._pb.TrackEvent.TYPE_INSTANT, name)
        self._annotation(packet.track_event, "events", lost.events)
        self._put(packet)
        self._names.setdefault(self._LOST, 0)

    _LOST = "lost events"

    def _track(self, pid: int, tid: int, thread: int) -> int:
        """Returns the track of a thread, which it describes at first. One whose kernel ID another Java thread
        has used, as virtual threads do, has a name alone."""
        key = (pid, thread or -tid)
        uuid = self._tracks.get(key)
        if uuid is None:
            if len(self._tracks) >= _MOST_TRACKS:
                raise JcollectError(
                    f"cannot write a Perfetto trace of more than {_MOST_TRACKS:,} threads; choose fewer "
                    "probes with --probe"
                )
            uuid = self._tracks[key] = _PROCESS_UUIDS * 2 + len(self._tracks)
            packet = self._packet(0)
            packet.ClearField("timestamp")
            descriptor = packet.track_descriptor
            descriptor.uuid = uuid
            name = f"Java thread {thread}" if thread else f"thread {tid}"
            descriptor.parent_uuid = self._process(pid)
            if (pid, tid) in self._tids:
                descriptor.name = name
            else:
                self._tids.add((pid, tid))
                descriptor.thread.pid, descriptor.thread.tid = _i32(pid), _i32(tid)
                descriptor.thread.thread_name = name
            self._put(packet)
        return uuid

    def _process(self, pid: int) -> int:
        uuid = _PROCESS_UUIDS + pid
        if pid not in self._pids:
            self._pids.add(pid)
            packet = self._packet(0)
            packet.ClearField("timestamp")
            packet.track_descriptor.uuid = uuid
            packet.track_descriptor.process.pid = _i32(pid)
            packet.track_descriptor.process.process_name = self._source.process_names.get(pid, f"PID {pid}")
            self._put(packet)
        return uuid

    def _event(self, time: int, track: int, kind: int, name: str = "") -> Any:
        packet = self._packet(time)
        packet.track_event.type = kind
        packet.track_event.track_uuid = track
        if name:
            # A name is written once, and has a number from then on.
            number = self._names.get(name)
            if number is None:
                number = self._names[name] = len(self._names) + 1
                packet.interned_data.event_names.add(
                    iid=number, name=name.encode("utf-8", "replace").decode()
                )
            packet.track_event.name_iid = number
        return packet

    def _packet(self, time: int) -> Any:
        packet = self._pb.TracePacket(timestamp=time, trusted_packet_sequence_id=_SEQUENCE)
        packet.sequence_flags = self._pb.TracePacket.SEQ_NEEDS_INCREMENTAL_STATE
        return packet

    def _put(self, packet: Any) -> None:
        content = packet.SerializeToString()
        # Field 1 of Trace.
        self._out.write(b"\x0a" + encoded_varint(len(content)) + content)


def _i32(number: int) -> int:
    return min(number, (1 << 31) - 1)
