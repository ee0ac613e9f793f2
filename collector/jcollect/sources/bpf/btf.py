"""Finds members of the kernel's structures, in the description of its types that it offers (BTF,
https://docs.kernel.org/bpf/btf.html)."""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path

from jcollect.errors import JcollectError, explain

_FILE = Path("/sys/kernel/btf/vmlinux")
# Ten times that of Debian's kernels.
_MOST_BYTES = 64 << 20
_MAGIC = 0xEB9F
_HEADER = struct.Struct("<HBBIIIII")
_TYPE = struct.Struct("<III")
_MEMBER = struct.Struct("<III")
_STRUCT, _UNION = 4, 5
# Bytes after a type by its kind: a constant, and for each of its elements.
_SIZES = {
    1: (4, 0), 2: (0, 0), 3: (12, 0), _STRUCT: (0, 12), _UNION: (0, 12), 6: (0, 8), 7: (0, 0), 8: (0, 0),
    9: (0, 0), 10: (0, 0), 11: (0, 0), 12: (0, 0), 13: (0, 8), 14: (4, 0), 15: (0, 12), 16: (0, 0),
    17: (4, 0), 18: (0, 0), 19: (0, 12),
}  # fmt: skip
# Types that are only another name for one, or qualify it.
_TRANSPARENT = (8, 9, 10, 11, 18)
_MOST_STEPS = 32
# Structures without a name that are searched for one member: those of a kernel have a few.
_MOST_PARTS = 1000


class MalformedBtfError(JcollectError):
    """The description cannot be read."""


class Btf:
    """A description of types."""

    def __init__(self, content: bytes) -> None:
        """Raises MalformedBtfError."""
        with _checked():
            self._read(content)

    @classmethod
    def of_kernel(cls) -> Btf:
        """Reads that of the running kernel. Raises JcollectError."""
        try:
            with _FILE.open("rb") as file:
                return cls(file.read(_MOST_BYTES))
        except FileNotFoundError:
            raise JcollectError(
                f"cannot read the kernel's types: {_FILE} does not exist; run a kernel with "
                "CONFIG_DEBUG_INFO_BTF"
            ) from None
        except OSError as error:
            raise explain(error, f"read {_FILE}") from None

    def offset(self, structure: str, *members: str) -> int:
        """Returns the offset of a member in bytes, or of a member of a member. Raises JcollectError."""
        number = self._structures.get(structure.encode())
        at = 0
        for member in members:
            with _checked():
                found = None if number is None else self._member(number, member.encode())
            if found is None:
                name = ".".join((structure, *members))
                raise JcollectError(f"cannot read the kernel's types: this kernel has no {name}")
            offset, number = found
            at += offset
        return at

    def _read(self, content: bytes) -> None:
        self._content = content
        magic, _, _, header, types, type_bytes, strings, string_bytes = _HEADER.unpack_from(content)
        if magic != _MAGIC:
            raise KeyError("it has another format")
        self._strings = content[header + strings : header + strings + string_bytes]
        # By number, from 1: where each type is.
        self._types = [0]
        self._structures: dict[bytes, int] = {}
        at, end = header + types, header + types + type_bytes
        while at < end:
            name, info, _ = _TYPE.unpack_from(content, at)
            kind = info >> 24 & 0x1F
            if kind == _STRUCT and name:
                self._structures.setdefault(self._text(name), len(self._types))
            self._types.append(at)
            fixed, each = _SIZES[kind]
            at += _TYPE.size + fixed + each * (info & 0xFFFF)

    def _text(self, offset: int) -> bytes:
        end = self._strings.index(b"\0", offset) if offset < len(self._strings) else offset
        return self._strings[offset:end]

    def _member(self, number: int, wanted: bytes) -> tuple[int, int] | None:
        """Returns the offset and the type of a member, also of one in a part without a name."""
        parts = [(number, 0)]
        for searched, offset in parts:
            at = self._types[self._resolved(searched)]
            _, info, _ = _TYPE.unpack_from(self._content, at)
            if info >> 24 & 0x1F not in (_STRUCT, _UNION):
                continue
            for index in range(info & 0xFFFF):
                place = at + _TYPE.size + index * _MEMBER.size
                name, of_type, bits = _MEMBER.unpack_from(self._content, place)
                # With the flag, the high bits are the size of a bit field.
                member_at = offset + (bits & 0xFFFFFF if info >> 31 else bits) // 8
                if name and self._text(name) == wanted:
                    return member_at, of_type
                if not name and len(parts) < _MOST_PARTS:
                    parts.append((of_type, member_at))
        return None

    def _resolved(self, number: int) -> int:
        for _ in range(_MOST_STEPS):
            _, info, of_type = _TYPE.unpack_from(self._content, self._types[number])
            if info >> 24 & 0x1F not in _TRANSPARENT:
                break
            number = of_type
        return number


@contextlib.contextmanager
def _checked() -> Iterator[None]:
    """Raises MalformedBtfError for what is outside of the description, or no part of one."""
    try:
        yield
    except (struct.error, IndexError, KeyError, ValueError) as error:
        raise MalformedBtfError(f"cannot read the kernel's types: {error}; {_FILE} is malformed") from None


def offsets_of_kernel(structure: str, members: Sequence[Sequence[str]]) -> list[int]:
    """Returns the offsets of members, each given by a path, in the running kernel. Raises JcollectError."""
    btf = Btf.of_kernel()
    return [btf.offset(structure, *path) for path in members]
