"""The attach cookie (layout/record.toml): describes a probe to the BPF program."""

from __future__ import annotations

from jcollect.layout.record import pack_cookie
from jcollect.probes.probe import Probe


def cookie_of(probe: Probe) -> int:
    """Returns the 64 bits for one probe."""
    return pack_cookie(probe=probe.id, words=probe.words, strings=probe.string_mask)
