"""Prints lines and JSON to stdout."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import click
from google.protobuf.descriptor import EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message

from jcollect.printable import json_text, printable

# Clients join the pages of an answer before they print it.
# A field of that name would not compile in Java.
_KEYS = {"method_descriptor": "descriptor"}
_OF_PAGES = "next_page_token"
_NUMBERS_OF_64_BITS = frozenset(
    getattr(FieldDescriptor, f"TYPE_{name}") for name in ("INT64", "UINT64", "SINT64", "FIXED64", "SFIXED64")
)
# Numbers that are unset if they are 0: the settings of a gate, and the CPU time that a process can get.
_UNSET_IF_0 = frozenset(("least_duration_nanos", "every", "per_second", "available_nanos"))


def echo(line: str) -> None:
    """Prints a line, escaped, because it may contain text from a target."""
    click.echo(printable(line))


def json_bytes(value: object) -> bytes:
    return json_text(value, indent=2).encode()


def set_fields(values: Mapping[str, object]) -> dict[str, object]:
    """Returns the fields that are set: neither None nor an empty text."""
    return {name: value for name, value in values.items() if value is not None and value != ""}


@dataclass(frozen=True)
class Json:
    """How a verb prints JSON. With `quotes_64_bits`, 64-bit numbers are strings."""

    quotes_64_bits: bool = False

    def echo(self, value: object) -> None:
        """Prints a value."""
        click.echo(json_bytes(value))

    def number(self, number: int) -> int | str:
        """Returns a number of 64 bits as a JSON value."""
        return str(number) if self.quotes_64_bits else number

    def message(self, message: Message) -> dict[str, Any]:
        """Returns the fields of a message that are set, named as in the .proto.

        An enum is its name in lower case, without what all names of the enum begin with. Messages and texts
        that are not set are missing. So are numbers that the .proto declares invalid.
        """
        return {
            _KEYS.get(field.name, field.name): self._values(field, getattr(message, field.name))
            for field in message.DESCRIPTOR.fields
            if field.name != _OF_PAGES and _is_set(message, field)
        }

    def _values(self, field: Any, value: Any) -> Any:
        return [self._one(field, each) for each in value] if _is_repeated(value) else self._one(field, value)

    def _one(self, field: Any, value: Any) -> Any:
        if field.message_type is not None:
            return self.message(value)
        if field.enum_type is not None:
            return _enum_name(field.enum_type, value)
        if isinstance(value, float) and not math.isfinite(value):
            return None  # JSON has no infinity and no NaN.
        return self.number(value) if field.type in _NUMBERS_OF_64_BITS else value


def _is_set(message: Message, field: Any) -> bool:
    value = getattr(message, field.name)
    if _is_repeated(value):
        return True
    if field.has_presence:
        return bool(message.HasField(field.name))
    if field.enum_type is not None or field.name in _UNSET_IF_0:
        return bool(value)
    if field.name == "attach_point":
        return bool(getattr(message, "is_linked", True))
    return bool(value != "")


def _is_repeated(value: Any) -> bool:
    return not isinstance(value, (Message, str, bytes, int, float))


def _enum_name(enum: EnumDescriptor, number: int) -> str:
    """Returns the name of an enum's value, as in "armed" for PROBE_STATE_ARMED."""
    value = enum.values_by_number.get(number)
    if value is None:
        return "unknown"  # A later collector has more.
    common = enum.values_by_number[0].name.removesuffix("UNSPECIFIED")
    return value.name.removeprefix(common).lower()
