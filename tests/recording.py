"""Records everything that a collector streams, with a client generated from the .proto, without jcollect.

Formats events as tests/targets/Expected.java states them.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass

import grpc

from jcollect.layout.record import (
    STRING_WORD_CUT,
    STRING_WORD_LENGTH_MASK,
    STRING_WORD_LENGTH_SHIFT,
    STRING_WORD_PRESENT,
)
from jprobe.v1 import collector_pb2, collector_pb2_grpc, probe_pb2

KIND_NAMES = {
    probe_pb2.PROBE_KIND_ENTRY: "entry",
    probe_pb2.PROBE_KIND_RETURN: "return",
    probe_pb2.PROBE_KIND_THROW: "throw",
    probe_pb2.PROBE_KIND_MARK: "mark",
}
LOW_32_BITS = 0xFFFFFFFF


@dataclass(frozen=True)
class Event:
    """One event. `time` and `duration` in ns; `values` are words, or str or None for strings."""

    probe: collector_pb2.Probe
    seq: int
    time: int
    tid: int
    thread: int
    duration: int
    values: tuple[int | str | None, ...]
    cut: frozenset[int]

    @property
    def method(self) -> str:
        return f"{self.probe.class_name}#{self.probe.method}{self.probe.method_descriptor}"

    @property
    def kind(self) -> str:
        return KIND_NAMES[self.probe.kind]

    @property
    def line(self) -> str:
        """Formats the event as Expected.java does; the values that a selector requested, and those after
        them, have names.
        """
        named = any(value.path or value.name == "absent" for value in self.probe.values)
        parts = [self.method, self.kind]
        for i, value in enumerate(self.probe.values):
            text = f"{value.java_type}={self._text(i, value.type)}"
            parts.append(f"{value.name}:{text}" if named else text)
        return " ".join(parts)

    def _text(self, index: int, value_type: int) -> str:
        value = self.values[index]
        if value is None:
            return "null"
        if isinstance(value, str):
            return f'"{"".join(map(_plain, value))}"' + ("..." if index in self.cut else "")
        if value_type == probe_pb2.VALUE_TYPE_FLOAT:
            value &= LOW_32_BITS
        return f"{value:x}"


def _plain(character: str) -> str:
    if " " <= character <= "~" and character != "\\":
        return character
    units = character.encode("utf-16-be").hex()
    return "".join(f"\\u{units[i : i + 4]}" for i in range(0, len(units), 4))


class Recording:
    """The stream of one process's collector, from now until that collector exits.

    `probes` grows as the collector describes more of them.
    """

    def __init__(self, pid: int, globs: tuple[str, ...] = ()) -> None:
        self._globs = globs
        self._strays: set[int] = set()
        self.probes: dict[int, collector_pb2.Probe] = {}
        self.lost = 0
        self.throttlings: list[collector_pb2.Throttling] = []
        self._batches: list[collector_pb2.EventBatch] = []
        self._problem: grpc.RpcError | None = None
        self._subscribed = threading.Event()
        self._address = f"unix:///run/jprobe/{pid}.sock"
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        assert self._subscribed.wait(30), f"no schema came: {self._problem}"

    def _run(self) -> None:
        # A batch may exceed gRPC's default limit.
        options = [("grpc.max_receive_message_length", -1)]
        try:
            with grpc.insecure_channel(self._address, options) as channel:
                service = collector_pb2_grpc.CollectorServiceStub(channel)
                stream = service.Subscribe(collector_pb2.SubscribeRequest(globs=self._globs))
                self.probes = {probe.id: probe for probe in next(stream).schema.probes}
                self._subscribed.set()
                for response in stream:
                    if response.HasField("schema"):
                        new = {probe.id: probe for probe in response.schema.probes}
                        self._strays |= new.keys() & self.probes.keys()
                        self.probes = {**self.probes, **new}
                    elif response.HasField("batch"):
                        self._strays |= set(response.batch.probe) - self.probes.keys()
                        self._batches.append(response.batch)
                    elif response.HasField("throttling"):
                        self.throttlings.append(response.throttling)
                    elif response.HasField("loss"):
                        self.lost += response.loss.events
        except grpc.RpcError as problem:
            self._problem = problem

    def filtered(self) -> dict[str, int]:
        """Returns the filtered calls so far, by method and kind; omits those without any."""
        with grpc.insecure_channel(self._address) as channel:
            service = collector_pb2_grpc.CollectorServiceStub(channel)
            probes = service.ListProbes(collector_pb2.ListProbesRequest()).probes
        return {
            f"{probe.class_name}#{probe.method}{probe.method_descriptor} {KIND_NAMES[probe.kind]}": (
                probe.filtered
            )
            for probe in probes
            if probe.filtered
        }

    def so_far(self) -> list[Event]:
        """Returns the events that have arrived so far."""
        return [event for batch in list(self._batches) for event in self._events(batch)]

    def end(self) -> list[Event]:
        """Returns all events once the collector has exited. Fails the test if it lost any, if any arrived
        before its probe was described, or if a probe was described twice.
        """
        self._thread.join(30)
        assert not self._thread.is_alive(), "the stream did not end with the collector"
        assert self._problem is None, self._problem
        assert self.lost == 0
        assert not self._strays
        events = self.so_far()
        seqs = [event.seq for event in events]
        assert seqs == (sorted(set(seqs)) if self._globs else list(range(len(events))))
        return events

    def _events(self, batch: collector_pb2.EventBatch) -> Iterator[Event]:
        values = iter(batch.values)
        text_end = 0
        for seq, time, probe_id, tid, thread, duration in zip(
            batch.seq,
            batch.time_unix_nanos,
            batch.probe,
            batch.tid,
            batch.thread,
            batch.duration_nanos,
            strict=True,
        ):
            probe = self.probes[probe_id]
            decoded: list[int | str | None] = []
            cut = set()
            for i, value in enumerate(probe.values):
                word = next(values)
                if value.type != probe_pb2.VALUE_TYPE_STRING:
                    decoded.append(word)
                    continue
                size = word >> STRING_WORD_LENGTH_SHIFT & STRING_WORD_LENGTH_MASK
                text = batch.text[text_end : text_end + size].decode()
                text_end += size
                state = word ^ size << STRING_WORD_LENGTH_SHIFT
                assert state & ~STRING_WORD_CUT in (0, STRING_WORD_PRESENT), f"unreadable: {word:x}"
                decoded.append(text if word & STRING_WORD_PRESENT else None)
                if word & STRING_WORD_CUT:
                    cut.add(i)
            yield Event(probe, seq, time, tid, thread, duration, tuple(decoded), frozenset(cut))
        assert text_end == len(batch.text)
        assert next(values, None) is None
