"""The gates and the shared memory of an agent in the direct lane, read while the program is at rest."""

from __future__ import annotations

import os
import struct
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from jcollect.layout.direct import (
    CHUNK_STATE_FREE,
    DIRECT_CHUNK_BYTES,
    DIRECT_CHUNK_SIZE,
    DIRECT_LARGE_CHUNK_BYTES,
    DIRECT_POOL_SIZE,
    HISTOGRAM_FILE_SIZE,
    HISTOGRAM_SIZE,
    DirectChunk,
    DirectPool,
    Histogram,
    HistogramFile,
)
from jcollect.layout.gate import (
    GATE_ENTRY,
    GATE_PROBE_SIZE,
    GATE_SIZE,
    OVERHEAD_HISTOGRAMS,
    OVERHEAD_RINGS,
    GateProbe,
)
from jcollect.layout.record import RECORD_PROBE, RING_HEADER_SIZE
from jcollect.probes.stub_library import StubLibrary, read_stub_libraries, read_stub_mappings
from jcollect.procfs.process import Process
from jprobe.v1 import probe_pb2

# Class of the descriptor's number in the block `overhead`.
RINGS = OVERHEAD_RINGS
HISTOGRAMS = OVERHEAD_HISTOGRAMS

# Method with its descriptor, and kind.
ProbeKey = tuple[str, int]


def libraries(process: Process) -> list[StubLibrary]:
    """Returns the process's stub libraries by generation."""
    found = [library for _, library in read_stub_libraries(process, read_stub_mappings(process))]
    sound = [library for library in found if isinstance(library, StubLibrary)]
    assert len(sound) == len(found)
    return sorted(sound, key=lambda library: library.image.manifest.generation)


def _read(process: Process, address: int, size: int) -> bytes:
    memory = os.open(f"/proc/{process.pid}/mem", os.O_RDONLY)
    try:
        return os.pread(memory, size, address)
    finally:
        os.close(memory)


def gate_probes(process: Process) -> Iterator[tuple[int, ProbeKey, GateProbe]]:
    """Yields each probe's number by the manifests, its method, and its words in the gate."""
    for library in libraries(process)[1:]:
        manifest = library.image.manifest
        for slot, probe in enumerate(manifest.probes):
            method = manifest.methods[probe.method]
            index = probe.kind - probe_pb2.PROBE_KIND_ENTRY
            offset = GATE_SIZE * probe.method + GATE_ENTRY + GATE_PROBE_SIZE * index
            address = library.bias + library.image.gates.address + offset
            words = GateProbe.from_buffer_copy(_read(process, address, GATE_PROBE_SIZE))
            yield manifest.first_probe + slot, (method.method + method.method_descriptor, probe.kind), words


def descriptor(process: Process, word: int) -> Path | None:
    """Returns the path of the descriptor that the agent has published; None if there is none."""
    first = libraries(process)[0]
    address = first.bias + first.image.gates.address + word
    (number,) = struct.unpack("<I", _read(process, address, 4))
    return Path(f"/proc/{process.pid}/fd/{number - 1}") if number else None


def count_records(process: Process) -> Counter[int]:
    """Returns the number of records in the rings by the probe's number."""
    path = descriptor(process, RINGS)
    assert path is not None
    content = path.read_bytes()
    pool = DirectPool.from_buffer_copy(content[:DIRECT_POOL_SIZE])
    assert pool.lost == 0
    records: Counter[int] = Counter()
    at = pool.data
    for number in range(pool.small_chunks + pool.large_chunks):
        header = DirectChunk.from_buffer_copy(content, pool.headers + DIRECT_CHUNK_SIZE * number)
        if header.state != CHUNK_STATE_FREE:
            records.update(_probes_of(content[at : at + header.committed]))
        at += DIRECT_CHUNK_BYTES if number < pool.small_chunks else DIRECT_LARGE_CHUNK_BYTES
    return records


def _probes_of(chunk: bytes) -> Iterator[int]:
    at = 0
    while at < len(chunk):
        (length,) = struct.unpack_from("<I", chunk, at)
        (probe,) = struct.unpack_from("<I", chunk, at + RING_HEADER_SIZE + RECORD_PROBE)
        yield probe
        at += RING_HEADER_SIZE + (length + 7) // 8 * 8


def count_durations(process: Process) -> Counter[int]:
    """Returns the number of durations by the histogram's number plus 1."""
    path = descriptor(process, HISTOGRAMS)
    assert path is not None
    durations: Counter[int] = Counter()
    with path.open("rb") as file:
        header = HistogramFile.from_buffer_copy(file.read(HISTOGRAM_FILE_SIZE))
        used = max(words.histogram for _, _, words in gate_probes(process))
        for stripe in range(header.stripes):
            for number in range(used):
                file.seek(header.data + HISTOGRAM_SIZE * (stripe * header.capacity + number))
                histogram = Histogram.from_buffer_copy(file.read(HISTOGRAM_SIZE))
                durations[1 + number] += histogram.zero + sum(histogram.buckets)
    return durations
