"""The descriptions of a probe for the BPF programs: the attach cookie (layout/record.toml), and the places of
the arguments of a mark (layout/usdt.toml)."""

from __future__ import annotations

import ctypes

from jcollect.layout.record import pack_cookie
from jcollect.layout.usdt import OPERAND_LIMITS_MOST, OPERAND_LIMITS_NONE, Operand, Operands
from jcollect.probes.site import Site, SiteOperands

OPERANDS_BYTES = ctypes.sizeof(Operands)


def cookie_of(number: int, site: Site) -> int:
    """Returns the 64 bits for the probe with the ID `number`."""
    return pack_cookie(probe=number, words=site.words, strings=site.string_mask, timed=site.is_timed)


def packed_operands(site: SiteOperands) -> bytes:
    """Returns the element for a mark in the map of arguments."""
    places = [
        Operand(
            value=operand.value,
            kind=operand.kind,
            bytes=operand.width,
            is_signed=operand.is_signed,
            base=operand.base,
            index=operand.other,
            scale=operand.scale,
            length=site.lengths.get(number, OPERAND_LIMITS_NONE),
        )
        for number, operand in enumerate(site.operands[:OPERAND_LIMITS_MOST])
    ]
    array = (Operand * OPERAND_LIMITS_MOST)(*places)
    return bytes(Operands(words=site.words, strings=site.strings, operand=array))
