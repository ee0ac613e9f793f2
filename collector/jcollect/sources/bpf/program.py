"""The compiled handlers as they are kept: instructions that lack their maps and a few numbers still.

Both stand in instructions that load 64 bits (BPF_LD | BPF_DW | BPF_IMM, two slots of 8 bytes), and the
source register says which of them (struct bpf_insn in linux/bpf.h, little-endian):
   1   BPF_PSEUDO_MAP_FD: the low half is a map's descriptor; here its number among MAPS
   15  no kernel's, ours alone: the low half is the number of a value among NUMBERS; bpf/events.c
So one compilation serves every machine of a kind, however many CPUs, probes and pages it has.
"""

from __future__ import annotations

import hashlib
import json
import struct
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

MAPS = ("events", "counters")
NUMBERS = ("probes", "row mask")
FUNCTIONS = ("probe_fired", "do_nothing")

# Counts up with every change of what is written here.
FORMAT = 1
_MAGIC = b"jprobe handlers %d\n" % FORMAT
_DIGEST_BYTES = hashlib.sha256().digest_size

_SLOT = 8
_LOAD_64 = 0x18
_MAP = 1
_NUMBER = 15


@dataclass(frozen=True)
class Program:
    """Instructions by function, and the license that they are loaded under."""

    license: str
    functions: Mapping[str, bytes]

    def linked(self, function: str, maps: Sequence[int], numbers: Sequence[int]) -> bytes:
        """A function for BPF_PROG_LOAD: descriptors in the order of MAPS, values in that of NUMBERS."""

        def found(source: int, index: int) -> tuple[int, int]:
            return (_MAP, maps[index]) if source == _MAP else (0, numbers[index])

        return _replaced(self.functions[function], found)

    def encoded(self) -> bytes:
        body = {"license": self.license, "functions": {k: v.hex() for k, v in self.functions.items()}}
        content = zlib.compress(json.dumps(body).encode())
        return _MAGIC + hashlib.sha256(content).digest() + content


def unlinked(code: bytes, maps: Sequence[int]) -> bytes:
    """What the compiler made, numbers in place of its descriptors, which are `maps`. Raises ValueError."""
    return _replaced(code, lambda source, low: (source, maps.index(low) if source == _MAP else low))


def decoded(content: bytes) -> Program:
    """Raises ValueError for whatever `encoded` has not made."""
    start = len(_MAGIC) + _DIGEST_BYTES
    digest = hashlib.sha256(content[start:]).digest()
    if content[:start] != _MAGIC + digest:
        raise ValueError("no handlers, or not of this format, or cut off")
    try:
        body = json.loads(zlib.decompress(content[start:]))
        functions = {name: bytes.fromhex(body["functions"][name]) for name in FUNCTIONS}
        program = Program(str(body["license"]), functions)
        for name in FUNCTIONS:
            program.linked(name, range(len(MAPS)), range(len(NUMBERS)))
    except (zlib.error, KeyError, TypeError, IndexError) as error:
        raise ValueError(f"no handlers: {error}") from None
    return program


def _replaced(code: bytes, found: Callable[[int, int], tuple[int, int]]) -> bytes:
    """The code with other source registers and low halves where either stands for something."""
    if not code or len(code) % _SLOT:
        raise ValueError(f"{len(code)} bytes are no instructions")
    changed = bytearray(code)
    at = 0
    while at < len(code):
        operation, registers, _, low = struct.unpack_from("<BBhi", code, at)
        if operation != _LOAD_64:
            at += _SLOT
            continue
        if at + 2 * _SLOT > len(code):
            raise ValueError("the last instruction is cut off")
        source, target = registers >> 4, registers & 0xF
        if source in (_MAP, _NUMBER):
            if low < 0:
                raise ValueError(f"a reference to {low}")
            source, low = found(source, low)
            struct.pack_into("<BBhi", changed, at, operation, source << 4 | target, 0, low)
        elif source:
            raise ValueError(f"a reference of the unknown kind {source}")
        at += 2 * _SLOT
    return bytes(changed)
