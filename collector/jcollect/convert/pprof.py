"""The wire format of pprof, as far as it is needed:
https://github.com/google/pprof/blob/main/proto/profile.proto

Written by hand, because a profile has millions of small messages and only six kinds of them.
"""

from __future__ import annotations

from collections.abc import Sequence

from jcollect.probes.protobuf_fields import encoded_varint

# Numbers of the fields in profile.proto.
_SAMPLE_TYPE, _SAMPLE, _LOCATION, _FUNCTION, _STRINGS = 1, 2, 4, 5, 6
_TIME_NANOS, _DURATION_NANOS, _DEFAULT_SAMPLE_TYPE = 9, 10, 14
_TYPE, _UNIT = 1, 2
_LOCATION_IDS, _VALUES = 1, 2
_ID, _LINE = 1, 4
_LINE_FUNCTION = 1
_NAME, _SYSTEM_NAME = 2, 3


class Profile:
    """A profile, while samples are added."""

    def __init__(self, types: Sequence[tuple[str, str]], time_nanos: int, duration_nanos: int) -> None:
        """`types` are the name and the unit of each value of a sample."""
        self._strings: dict[str, int] = {"": 0}
        self._functions: dict[str, int] = {}
        self._parts: list[bytes] = [
            _message(_SAMPLE_TYPE, _number(_TYPE, self._string(name)) + _number(_UNIT, self._string(unit)))
            for name, unit in types
        ]
        self._parts.append(_number(_TIME_NANOS, time_nanos) + _number(_DURATION_NANOS, duration_nanos))
        self._parts.append(_number(_DEFAULT_SAMPLE_TYPE, self._string(types[-1][0])))

    def add(self, stack: Sequence[str], values: Sequence[int]) -> None:
        """Adds a sample: the names of functions, the innermost first."""
        locations = b"".join(encoded_varint(self._function(name)) for name in stack)
        numbers = b"".join(map(encoded_varint, values))
        self._parts.append(_message(_SAMPLE, _message(_LOCATION_IDS, locations) + _message(_VALUES, numbers)))

    def encode(self) -> bytes:
        """Returns the profile, uncompressed."""
        functions = []
        for name, number in self._functions.items():
            text = self._string(name)
            line = _message(_LINE, _number(_LINE_FUNCTION, number))
            functions.append(_message(_LOCATION, _number(_ID, number) + line))
            names = _number(_NAME, text) + _number(_SYSTEM_NAME, text)
            functions.append(_message(_FUNCTION, _number(_ID, number) + names))
        strings = [_message(_STRINGS, text.encode(errors="replace")) for text in self._strings]
        return b"".join([*self._parts, *functions, *strings])

    def _string(self, text: str) -> int:
        return self._strings.setdefault(text, len(self._strings))

    def _function(self, name: str) -> int:
        """Returns the ID of a function, which is that of its only location."""
        return self._functions.setdefault(name, len(self._functions) + 1)


def _number(field: int, number: int) -> bytes:
    return encoded_varint(field << 3) + encoded_varint(number)


def _message(field: int, content: bytes) -> bytes:
    return encoded_varint(field << 3 | 2) + encoded_varint(len(content)) + content
