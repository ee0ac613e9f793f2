"""The attach cookie (layout/record.toml): describes a probe to the BPF program."""

from __future__ import annotations

from jcollect.layout.record import pack_cookie
from jcollect.probes.site import Site


def cookie_of(number: int, site: Site) -> int:
    """Returns the 64 bits for the probe with the ID `number`."""
    return pack_cookie(probe=number, words=site.words, strings=site.string_mask, timed=site.is_timed)
