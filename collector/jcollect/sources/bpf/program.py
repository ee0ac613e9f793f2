"""Compiled BPF programs as the cache stores them: instructions in which maps and a few numbers are still
open.

An instruction that loads 64 bits (BPF_LD | BPF_DW | BPF_IMM, two slots of 8 bytes) refers to one of them. The
source register determines which one (struct bpf_insn in linux/bpf.h, little-endian):
   1   BPF_PSEUDO_MAP_FD: the low half is a map's descriptor, and in the cache its index in Source.maps
   15  no kernel uses it: the low half is the index of a value in Source.numbers (AT_LOAD in bpf/events.c)
So one compilation serves all machines with the same architecture, whatever their CPUs, probes and pages.
"""

from __future__ import annotations

import hashlib
import json
import struct
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple


class Source(NamedTuple):
    """A file of bpf/, and what its instructions refer to."""

    file: str
    maps: tuple[str, ...]
    numbers: tuple[str, ...]
    functions: tuple[str, ...]


EVENTS = Source(
    "events.c",
    ("events", "counters", "arguments"),
    ("probes", "row mask", "device of the PID namespace", "inode of the PID namespace"),
    ("probe_fired", "mark_fired", "do_nothing"),
)
THREADS = Source(
    "threads.c",
    ("records", "counts", "watched"),
    ("offset of pid", "offset of last_arrival", "first system call of traps", "last one"),
    ("switched", "woken", "faulted", "entered_call", "left_call", "moved", "do_nothing"),
)
SOURCES = {source.file: source for source in (EVENTS, THREADS)}

# Incremented with every change of the stored format.
FORMAT = 4
_MAGIC = b"jprobe programs %d\n" % FORMAT
_DIGEST_BYTES = hashlib.sha256().digest_size

_SLOT = 8
_LOAD_64 = 0x18
_MAP = 1
_NUMBER = 15


@dataclass(frozen=True)
class Program:
    """Instructions by function, and the license under which they are loaded."""

    license: str
    functions: Mapping[str, bytes]

    def linked(self, function: str, maps: Sequence[int], numbers: Sequence[int]) -> bytes:
        """Returns a function for BPF_PROG_LOAD. `maps` are descriptors and `numbers` values in the order of
        the source's."""

        def found(source: int, index: int) -> tuple[int, int]:
            return (_MAP, maps[index]) if source == _MAP else (0, numbers[index])

        return _replaced(self.functions[function], found)

    def encoded(self) -> bytes:
        body = {"license": self.license, "functions": {k: v.hex() for k, v in self.functions.items()}}
        content = zlib.compress(json.dumps(body).encode())
        return _MAGIC + hashlib.sha256(content).digest() + content


def unlinked(code: bytes, maps: Sequence[int]) -> bytes:
    """Replaces the descriptors `maps` in the compiler's output by their indices. Raises ValueError."""
    return _replaced(code, lambda source, low: (source, maps.index(low) if source == _MAP else low))


def decoded(content: bytes, source: Source = EVENTS) -> Program:
    """Returns the program of a source that `encoded` stored. Raises ValueError for anything else."""
    start = len(_MAGIC) + _DIGEST_BYTES
    digest = hashlib.sha256(content[start:]).digest()
    if content[:start] != _MAGIC + digest:
        raise ValueError("not a compiled BPF program of this format, or truncated")
    try:
        body = json.loads(zlib.decompress(content[start:]))
        functions = {name: bytes.fromhex(body["functions"][name]) for name in source.functions}
        program = Program(str(body["license"]), functions)
        for name in source.functions:
            program.linked(name, range(len(source.maps)), range(len(source.numbers)))
    except (zlib.error, KeyError, TypeError, IndexError) as error:
        raise ValueError(f"not a compiled BPF program: {error}") from None
    return program


def _replaced(code: bytes, found: Callable[[int, int], tuple[int, int]]) -> bytes:
    """Replaces source register and low half of each instruction that refers to a map or a number."""
    if not code or len(code) % _SLOT:
        raise ValueError(f"{len(code)} bytes are not a sequence of instructions")
    changed = bytearray(code)
    at = 0
    while at < len(code):
        operation, registers, _, low = struct.unpack_from("<BBhi", code, at)
        if operation != _LOAD_64:
            at += _SLOT
            continue
        if at + 2 * _SLOT > len(code):
            raise ValueError("the last instruction is truncated")
        source, target = registers >> 4, registers & 0xF
        if source in (_MAP, _NUMBER):
            if low < 0:
                raise ValueError(f"it refers to the map or number {low}")
            source, low = found(source, low)
            struct.pack_into("<BBhI", changed, at, operation, source << 4 | target, 0, low)
        elif source:
            raise ValueError(f"it has a reference of the unknown kind {source}")
        at += 2 * _SLOT
    return bytes(changed)
