"""Recordings as traces in the Common Trace Format 1.8, which babeltrace2 and Trace Compass read.

A trace is a directory: `metadata` describes the events in CTF's language, and `events` has packets of binary
events. Every probe is an event of its own name. https://diamon.org/ctf/v1.8.3/
"""

from __future__ import annotations

import errno
import os
import re
import struct
import uuid
from typing import BinaryIO

import numpy as np

from jcollect.convert.source import Source
from jcollect.errors import JcollectError, explain
from jcollect.hub.items import Schema
from jcollect.layout.record import STRING_WORD_LENGTH_MASK, STRING_WORD_LENGTH_SHIFT
from jcollect.probes.description import ProbeDescription
from jcollect.recordings.overview import description_of, meaning
from jcollect.rpc.lock_file import NO_LINK, open_directory
from jcollect.sources.columns import Batch
from jprobe.v1 import probe_pb2

_MAGIC = 0xC1FC1FC1
# Magic, UUID, stream; begin and end time, content and packet size in bits.
_PACKET = struct.Struct("<I16sIQQQQ")
# Event number, and time.
_EVENT = struct.Struct("<IQ")
_CONTEXT = struct.Struct("<IIQQQ")
_WORD = struct.Struct("<Q")
_STRING, _FLOAT, _DOUBLE = (
    probe_pb2.VALUE_TYPE_STRING, probe_pb2.VALUE_TYPE_FLOAT, probe_pb2.VALUE_TYPE_DOUBLE
)  # fmt: skip
_UNSIGNED = (probe_pb2.VALUE_TYPE_UNSIGNED, probe_pb2.VALUE_TYPE_REFERENCE, probe_pb2.VALUE_TYPE_CHAR,
             probe_pb2.VALUE_TYPE_BOOLEAN, probe_pb2.VALUE_TYPE_ABSENCE)  # fmt: skip
_HEAD = """/* CTF 1.8 */
typealias integer { size = 32; align = 8; signed = false; } := u32;
typealias integer { size = 64; align = 8; signed = false; } := u64;
typealias integer { size = 64; align = 8; signed = true; } := i64;
typealias integer { size = 64; align = 8; signed = false; base = 16; } := x64;
typealias floating_point { exp_dig = 11; mant_dig = 53; align = 8; } := f64;
trace {
  major = 1; minor = 8; uuid = "%s"; byte_order = le;
  packet.header := struct { u32 magic; integer { size = 8; align = 8; } uuid[16]; u32 stream_id; };
};
env { tracer_name = "jprobe"; hostname = "%s"; };
clock { name = realtime; freq = 1000000000; offset = 0; absolute = true; };
typealias integer { size = 64; align = 8; signed = false; map = clock.realtime.value; } := time64;
stream {
  id = 0;
  packet.context := struct {
    time64 timestamp_begin; time64 timestamp_end; u64 content_size; u64 packet_size;
  };
  event.header := struct { u32 id; time64 timestamp; };
  event.context := struct { u32 pid; u32 tid; u64 thread; u64 seq; u64 duration_ns; };
};
"""


class CtfWriter:
    """Writes one stream. Events of a packet are in the order of their times, as CTF requires."""

    def __init__(self, stream: BinaryIO, trace: uuid.UUID) -> None:
        self._stream = stream
        self._trace = trace
        self._probes: dict[int, ProbeDescription] = {}
        # Numbers of events in the trace, by probe ID.
        self._numbers: dict[int, int] = {}
        self.declared: list[str] = []
        self.events = 0
        self._latest = 0

    def describe(self, schema: Schema) -> None:
        for probe in map(description_of, schema.probes):
            known = self._probes.get(probe.id)
            if known is None or meaning(known) != meaning(probe):
                self._probes[probe.id] = probe
                self._numbers[probe.id] = len(self.declared)
                self.declared.append(_declaration(len(self.declared), probe))

    def add(self, batch: Batch) -> None:
        """Writes a packet."""
        if not len(batch):
            return
        c = batch.columns
        # A stream's times do not fall. The few events that came late have the time of those before.
        times = np.maximum(np.maximum.accumulate(c.time_unix_nanos), np.uint64(self._latest))
        self._latest = int(times[-1])
        values, text = c.values.tolist(), c.text
        parts: list[bytes] = []
        value_at = text_at = 0
        for probe_id, time, tid, thread, seq, duration in zip(
            c.probe.tolist(), times.tolist(), c.tid.tolist(), c.thread.tolist(), c.seq.tolist(),
            c.duration_nanos.tolist(), strict=True,
        ):  # fmt: skip
            probe = self._probes[probe_id]
            parts.append(_EVENT.pack(self._numbers[probe_id], time))
            parts.append(_CONTEXT.pack(probe.pid, tid, thread, seq, duration))
            for value in probe.values:
                word = values[value_at]
                value_at += 1
                if value.type == _STRING:
                    size = word >> STRING_WORD_LENGTH_SHIFT & STRING_WORD_LENGTH_MASK
                    # A zero byte ends a string.
                    parts.append(text[text_at : text_at + size].replace(b"\0", b" ") + b"\0")
                    text_at += size
                elif value.type == _FLOAT:
                    parts.append(
                        struct.pack("<d", struct.unpack("<f", struct.pack("<I", word & 0xFFFFFFFF))[0])
                    )
                else:
                    parts.append(_WORD.pack(word))
        content = b"".join(parts)
        bits = 8 * (_PACKET.size + len(content))
        head = _PACKET.pack(_MAGIC, self._trace.bytes, 0, int(times[0]), self._latest, bits, bits)
        self._stream.write(head + content)
        self.events += len(batch)


def _declaration(number: int, probe: ProbeDescription) -> str:
    """Returns the declaration of an event."""
    fields, taken = [], set()
    for index, value in enumerate(probe.values):
        # Names of CTF begin with an underscore, which readers leave out, so that none is a keyword.
        name = "_" + (re.sub(r"[^A-Za-z0-9_]", "_", value.name, flags=re.ASCII) or f"value{index}")
        while name in taken:
            name += "_"
        taken.add(name)
        if value.type == _STRING:
            fields.append(f"string {name};")
        elif value.type in (_FLOAT, _DOUBLE):
            fields.append(f"f64 {name};")
        elif value.type in _UNSIGNED:
            fields.append(f"{'x64' if value.type == probe_pb2.VALUE_TYPE_ABSENCE else 'u64'} {name};")
        else:
            fields.append(f"i64 {name};")
    name = _quoted(f"{probe.provider}:{probe.name}")
    declared = f'name = "{name}"; id = {number}; stream_id = 0;'
    return f"event {{ {declared} fields := struct {{ {' '.join(fields)} }}; }};\n"


def _quoted(text: str) -> str:
    """Returns a text as the content of a string literal."""
    return re.sub(r"[^A-Za-z0-9_.:$<>#-]", "_", text, flags=re.ASCII)


def write_ctf(source: Source, path: str) -> int:
    """Writes a trace into a new directory, and returns the number of events. Raises JcollectError."""
    folder, name = os.path.split(os.path.abspath(path))
    try:
        parent = open_directory(folder, make=False)
        try:
            os.mkdir(name, 0o700, dir_fd=parent)
            directory = os.open(name, os.O_RDONLY | os.O_DIRECTORY | NO_LINK, dir_fd=parent)
        finally:
            os.close(parent)
        try:
            return _write(source, directory)
        finally:
            os.close(directory)
    except OSError as error:
        if error.errno == errno.EEXIST:
            raise JcollectError(f"cannot write {path}: it exists; give the path of a new directory") from None
        raise explain(error, f"write {path}") from None


def _write(source: Source, directory: int) -> int:
    trace = uuid.uuid4()
    with _new(directory, "events") as stream:
        writer = CtfWriter(stream, trace)
        for item in source.items():
            if isinstance(item, Schema):
                writer.describe(item)
            elif isinstance(item, Batch):
                writer.add(item)
    with _new(directory, "metadata") as metadata:
        metadata.write((_HEAD % (trace, _quoted(os.uname().nodename))).encode())
        metadata.writelines(line.encode() for line in writer.declared)
    return writer.events


def _new(directory: int, name: str) -> BinaryIO:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | NO_LINK
    return open(os.open(name, flags, 0o600, dir_fd=directory), "wb", buffering=1 << 20)
