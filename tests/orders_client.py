"""Tallies the events that PrimeCalls causes; a subscriber that does so with those that it receives.

The subscriber is generated from the .proto and imports nothing of jcollect, like any user's client.
"""

from __future__ import annotations

import threading
from collections import Counter
from typing import Any

import grpc

from jcollect.layout.record import STRING_WORD_LENGTH_MASK, STRING_WORD_LENGTH_SHIFT, STRING_WORD_PRESENT
from jprobe.v1 import collector_pb2, collector_pb2_grpc, probe_pb2

PLACE = "(I)J"
PLACE_WITH_ITEM = "(JLjava/lang/String;)Z"


class Tallies:
    """Events by (method, descriptor, kind), sums of values, texts in bytes."""

    def __init__(self) -> None:
        self.events: Counter[tuple[str, str, int]] = Counter()
        self.sums: Counter[tuple[str, str, int, int]] = Counter()
        self.texts: Counter[tuple[str, str, int]] = Counter()
        self.nulls: Counter[tuple[str, str, int]] = Counter()
        self.exceptions: Counter[str] = Counter()
        self.threads: set[int] = set()
        self.lost = 0

    def add(self, schema: dict[int, Any], batch: Any) -> None:
        """Adds a batch. The schema has the probes by their IDs."""
        values = iter(batch.values)
        text_end = 0
        for probe_id, thread in zip(batch.probe, batch.thread, strict=True):
            probe = schema[probe_id]
            key = (probe.method, probe.method_descriptor, probe.kind)
            self.events[key] += 1
            self.threads.add(thread)
            for index, value in enumerate(probe.values):
                word = next(values)
                if value.type != probe_pb2.VALUE_TYPE_STRING:
                    signed = word - (1 << 64) if word >= 1 << 63 else word
                    self.sums[(*key, index)] += signed
                elif not word & STRING_WORD_PRESENT:
                    self.nulls[key] += 1
                else:
                    size = word >> STRING_WORD_LENGTH_SHIFT & STRING_WORD_LENGTH_MASK
                    text = batch.text[text_end : text_end + size]
                    text_end += len(text)
                    self.texts[key] += len(text)
                    if probe.kind == probe_pb2.PROBE_KIND_THROW:
                        self.exceptions[text.decode()] += 1
        assert text_end == len(batch.text)
        assert next(values, None) is None


class Client(Tallies):
    """Tallies a stream."""

    def __init__(self, address: str, ends_in_order: bool = True) -> None:
        super().__init__()
        self._ends_in_order = ends_in_order
        self.subscribed = threading.Event()
        self._address = address
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        assert self.subscribed.wait(30), "no schema came"

    def _run(self) -> None:
        with grpc.insecure_channel(self._address) as channel:
            service = collector_pb2_grpc.CollectorServiceStub(channel)
            stream = service.Subscribe(collector_pb2.SubscribeRequest())
            schema = {probe.id: probe for probe in next(stream).schema.probes}
            self.subscribed.set()
            try:
                for response in stream:
                    if response.WhichOneof("body") == "batch":
                        self.add(schema, response.batch)
                    elif response.WhichOneof("body") == "loss":
                        self.lost += response.loss.events
            except grpc.RpcError:
                if self._ends_in_order:
                    raise

    def join(self) -> None:
        self._thread.join(30)
        assert not self._thread.is_alive(), "the stream did not end with the collector"


ENTRY = probe_pb2.PROBE_KIND_ENTRY
RETURN = probe_pb2.PROBE_KIND_RETURN
THROW = probe_pb2.PROBE_KIND_THROW


def events_of(did: dict[str, int]) -> dict[tuple[str, str, int], int]:
    """Returns the events of each probe that the program's own counts stand for."""
    return {
        ("<init>", "()V", ENTRY): 4,
        ("<init>", "()V", RETURN): 4,
        ("place", PLACE, ENTRY): did["place.entry"],
        ("place", PLACE, RETURN): did["place.return"],
        ("place", PLACE, THROW): did["place.throw"],
        ("place", PLACE_WITH_ITEM, ENTRY): did["place2.entry"],
        ("place", PLACE_WITH_ITEM, RETURN): did["place2.return"],
        ("place", PLACE_WITH_ITEM, THROW): did["place2.throw"],
        ("depth", "(S)I", ENTRY): did["depth.entry"],
        ("depth", "(S)I", RETURN): did["depth.entry"],
        ("label", "(ZBC)Ljava/lang/String;", ENTRY): did["label.entry"],
        ("label", "(ZBC)Ljava/lang/String;", RETURN): did["label.entry"],
        ("touch", "()V", ENTRY): did["touch.entry"],
        ("touch", "()V", RETURN): did["touch.entry"],
    }


def assert_exact(client: Tallies, did: dict[str, int]) -> None:
    assert client.lost == 0
    assert did["place.entry"] == 104_729
    assert client.events == events_of(did)
    sums = client.sums
    assert sums["place", PLACE, ENTRY, 0] == did["place.entry.sum"]
    assert sums["place", PLACE, RETURN, 0] == did["place.return.sum"]
    assert sums["place", PLACE_WITH_ITEM, ENTRY, 0] == did["place2.entry.sum"]
    assert sums["place", PLACE_WITH_ITEM, RETURN, 0] == did["place2.true"]
    assert client.texts["place", PLACE_WITH_ITEM, ENTRY] == did["place2.text.bytes"]
    assert client.nulls["place", PLACE_WITH_ITEM, ENTRY] == did["place2.throw"]
    assert sums["depth", "(S)I", RETURN, 0] == did["depth.return.sum"]
    label = ("label", "(ZBC)Ljava/lang/String;", ENTRY)
    assert sums[(*label, 0)] == did["label.express"]
    assert sums[(*label, 1)] == did["label.zone.sum"]
    assert sums[(*label, 2)] == did["label.mark.sum"]
    assert client.nulls["label", "(ZBC)Ljava/lang/String;", RETURN] == did["label.null"]
    assert client.exceptions == {
        "java.lang.IllegalArgumentException": did["place.throw"],
        "java.lang.IllegalStateException": did["place2.throw"],
    }
    assert len(client.threads) == 4
