"""Decodes untrusted manifests (manifest.proto).

It first counts the elements in a walk over the fields, which stops once there are too many.
"""

from __future__ import annotations

from contextlib import suppress
from typing import NamedTuple

from google.protobuf.message import DecodeError

from jcollect.layout.stub_library import STUB_LIBRARY_VERSION
from jcollect.limits import (
    MAX_MANIFEST_BYTES,
    MAX_METHODS,
    MAX_PROBES,
    MAX_SELECTORS,
    MAX_UNTRACEABLE,
    MAX_VALUES,
)
from jcollect.probes.malformed import MalformedLibraryError
from jcollect.probes.protobuf_fields import LENGTH_DELIMITED, FieldsError, skip_field, varint
from jprobe.v1 import manifest_pb2

_SELECTORS = manifest_pb2.Manifest.SELECTORS_FIELD_NUMBER << 3 | LENGTH_DELIMITED
_METHODS = manifest_pb2.Manifest.METHODS_FIELD_NUMBER << 3 | LENGTH_DELIMITED
_PROBES = manifest_pb2.Manifest.PROBES_FIELD_NUMBER << 3 | LENGTH_DELIMITED
_UNTRACEABLE = manifest_pb2.Manifest.UNTRACEABLE_FIELD_NUMBER << 3 | LENGTH_DELIMITED
_VALUES = manifest_pb2.Slot.VALUES_FIELD_NUMBER << 3 | LENGTH_DELIMITED
# Today there are 4 per slot. The limit bounds the time of the walk.
_MAX_OTHER_FIELDS = 1 << 12
_MAX_SLOT_FIELDS = MAX_VALUES + 4 * MAX_PROBES
_LIMITS = {
    _SELECTORS: ("selectors", MAX_SELECTORS),
    _METHODS: ("methods", MAX_METHODS),
    _PROBES: ("probes", MAX_PROBES),
    _UNTRACEABLE: ("untraceable methods", MAX_UNTRACEABLE),
}


class Elements(NamedTuple):
    """The sizes in bytes of a manifest's methods and probes, and an upper bound of the number of elements of
    all kinds, including values."""

    methods: list[int]
    probes: list[int]
    total: int
    # Indices of elements that cannot be decoded and were replaced by empty ones.
    undecoded_methods: frozenset[int] = frozenset()
    undecoded_probes: frozenset[int] = frozenset()


def decode_manifest(content: bytes) -> tuple[manifest_pb2.Manifest, Elements]:
    """Decodes a manifest. An element that cannot be decoded does not affect the others. Raises
    MalformedLibraryError, also if the manifest is too large or has another version."""
    if len(content) > MAX_MANIFEST_BYTES:
        raise MalformedLibraryError(
            f"its manifest has {len(content):,} bytes, more than {MAX_MANIFEST_BYTES:,}"
        )
    try:
        elements = count_elements(content)
        try:
            manifest = manifest_pb2.Manifest.FromString(content)
        except DecodeError:
            manifest, elements = _decode_each(content, elements)
    except (DecodeError, FieldsError, IndexError):
        raise MalformedLibraryError("its manifest cannot be decoded") from None
    if manifest.version != STUB_LIBRARY_VERSION:
        raise MalformedLibraryError(
            f"its layout has version {manifest.version}, and this jcollect reads {STUB_LIBRARY_VERSION}"
        )
    if (len(manifest.methods), len(manifest.probes)) != (len(elements.methods), len(elements.probes)):
        raise MalformedLibraryError("its manifest cannot be decoded")
    return manifest, elements


def count_elements(content: bytes) -> Elements:
    """Counts the elements of a manifest in a walk over its fields. Raises MalformedLibraryError if there are
    too many of a kind, FieldsError if a field is not valid protobuf, IndexError if one is truncated."""
    sizes: dict[int, list[int]] = {tag: [] for tag in _LIMITS}
    at, end, others = 0, len(content), 0
    while at < end:
        tag = content[at]
        if tag not in sizes:
            at = skip_field(content, at)
            others += 1
            if others > _MAX_OTHER_FIELDS:
                raise MalformedLibraryError("its manifest repeats what cannot be repeated")
            continue
        size = content[at + 1]
        at += 2
        if size >= 0x80:
            size, at = varint(content, at - 1)
        at += size
        of_kind = sizes[tag]
        of_kind.append(size)
        if len(of_kind) > _LIMITS[tag][1]:
            kind, most = _LIMITS[tag]
            raise MalformedLibraryError(f"it has more than {most:,} {kind}")
    # A value has at least two bytes, so usually no count is needed.
    values = sum(sizes[_PROBES]) // 2
    if values > MAX_VALUES:
        values = _count_values(content)
    return Elements(sizes[_METHODS], sizes[_PROBES], values + sum(map(len, sizes.values())))


def _decode_each(content: bytes, elements: Elements) -> tuple[manifest_pb2.Manifest, Elements]:
    """Decodes one element after another. Raises DecodeError if the other fields cannot be decoded."""
    found: dict[int, list[bytes]] = {tag: [] for tag in _LIMITS}
    others = bytearray()
    at = 0
    while at < len(content):
        begun, tag = at, content[at]
        at = skip_field(content, at)
        if tag in found:
            _, begins = varint(content, begun + 1)
            found[tag].append(content[begins:at])
        else:
            others += content[begun:at]
    manifest = manifest_pb2.Manifest.FromString(bytes(others))
    bad_methods: set[int] = set()
    bad_probes: set[int] = set()
    for number, element in enumerate(found[_METHODS]):
        try:
            manifest.methods.append(manifest_pb2.TracedMethod.FromString(element))
        except DecodeError:
            manifest.methods.add()
            bad_methods.add(number)
    for number, element in enumerate(found[_PROBES]):
        try:
            manifest.probes.append(manifest_pb2.Slot.FromString(element))
        except DecodeError:
            manifest.probes.add()
            bad_probes.add(number)
    for element in found[_UNTRACEABLE]:
        with suppress(DecodeError):
            manifest.untraceable.append(manifest_pb2.Untraceable.FromString(element))
    # Methods refer to selectors by number.
    manifest.selectors.extend(element.decode(errors="replace") for element in found[_SELECTORS])
    return manifest, elements._replace(
        undecoded_methods=frozenset(bad_methods), undecoded_probes=frozenset(bad_probes)
    )


def _count_values(content: bytes) -> int:
    values, fields, at = 0, 0, 0
    while at < len(content):
        if content[at] != _PROBES:
            at = skip_field(content, at)
            continue
        size, at = varint(content, at + 1)
        end = at + size
        while at < end:
            values += content[at] == _VALUES
            fields += 1
            at = skip_field(content, at)
            if values > MAX_VALUES:
                raise MalformedLibraryError(f"its probes have more than {MAX_VALUES:,} values")
            if fields > _MAX_SLOT_FIELDS:
                raise MalformedLibraryError("its manifest repeats what cannot be repeated")
        # A field of the element may claim to reach beyond it; the next element begins here anyway.
        at = end
    return values
