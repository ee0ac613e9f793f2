"""This process as one that counts calls in histograms, as a program with an agent does, for tests."""

from __future__ import annotations

import mmap
import os
import struct
from pathlib import Path

from histogram_image import HistogramImage
from jcollect.layout.gate import (
    GATE_PROBE_FILTERED,
    GATE_PROBE_HISTOGRAM,
    GATE_PROBE_SIZE,
    GATE_PROBE_THROTTLED,
    GATE_PROBES,
    GATE_SIZE,
    GATE_THROTTLED_NANOS,
    OVERHEAD_HISTOGRAMS,
)
from jcollect.probes.scan import Scan, scan
from jcollect.probes.stub_library import parse_stub_image
from jprobe.v1 import probe_pb2
from processes import ourselves
from stub_image import LIMIT, LONG, Method, StubImage, mark

METHODS = [
    Method("com.acme.Orders", "place", (LONG,), None, "(J)V"),
    Method("com.acme.Orders", "close", (), LONG, "()J"),
]


class CountingTarget:
    """A stub library with METHODS that is mapped in this process, and the agent's part of the work."""

    def __init__(self, folder: Path) -> None:
        directory = folder / f"jprobe-{os.getpid()}-abc"
        directory.mkdir()
        methods = [Method("io.jprobe", "overhead", kinds=(LIMIT,)), *METHODS, mark("com.acme", "tick", LONG)]
        content = StubImage(methods, state=probe_pb2.PROBE_STATE_ARMED).build()
        (directory / "1.so").write_bytes(content)
        self._gates = parse_stub_image(content).gates.address
        with (directory / "1.so").open("rb") as file:
            self._memory = mmap.mmap(
                file.fileno(), 0, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC
            )
        self.image: HistogramImage | None = None
        self._numbers: dict[tuple[int, int], int] = {}

    def scan(self) -> Scan:
        return scan(ourselves(), lambda _: None)

    def open_histograms(self) -> None:
        """Creates the histograms, in place of those before."""
        self.close_histograms()
        self.image = HistogramImage()
        self._write_u32(OVERHEAD_HISTOGRAMS, self.image.descriptor + 1)

    def close_histograms(self) -> None:
        if self.image is not None:
            self.image.close()
            self.image = None
            self._write_u32(OVERHEAD_HISTOGRAMS, 0)
        for method, kind in self._numbers:
            self._write_u32(self._probe(method, kind) + GATE_PROBE_HISTOGRAM, 0)
        self._numbers = {}

    def call(
        self, method: int, duration: int, calls: int = 1, kind: int = probe_pb2.PROBE_KIND_RETURN
    ) -> None:
        """Counts calls of one of METHODS, by index."""
        assert self.image is not None
        key = (method, kind)
        if key not in self._numbers:
            self._numbers[key] = len(self._numbers) + 3
            self._write_u32(self._probe(*key) + GATE_PROBE_HISTOGRAM, self._numbers[key] + 1)
        self.image.count(self._numbers[key], duration, calls, stripe=calls % 2)

    def number(self, method: int, kind: int = probe_pb2.PROBE_KIND_RETURN) -> int:
        return self._numbers[method, kind]

    def filter(self, method: int, calls: int, kind: int = probe_pb2.PROBE_KIND_RETURN) -> None:
        at = self._gates + self._probe(method, kind) + GATE_PROBE_FILTERED
        struct.pack_into("<Q", self._memory, at, calls)

    def throttle(self, method: int, calls: int, nanos: int) -> None:
        """Sets the throttled calls of a method, and the time in ns for which it was unwoven."""
        at = self._gates + self._probe(method, probe_pb2.PROBE_KIND_RETURN) + GATE_PROBE_THROTTLED
        struct.pack_into("<Q", self._memory, at, calls)
        at = self._gates + GATE_SIZE * (method + 1) + GATE_THROTTLED_NANOS
        struct.pack_into("<Q", self._memory, at, nanos)

    def close(self) -> None:
        self.close_histograms()
        self._memory.close()

    def _probe(self, method: int, kind: int) -> int:
        """Returns the offset of a probe among all gates; that of the limits is the first."""
        in_gate = GATE_PROBES + GATE_PROBE_SIZE * (kind - probe_pb2.PROBE_KIND_ENTRY)
        return GATE_SIZE * (method + 1) + in_gate

    def _write_u32(self, offset: int, value: int) -> None:
        struct.pack_into("<I", self._memory, self._gates + offset, value)
