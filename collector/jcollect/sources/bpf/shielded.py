"""Makes and closes links so that killing jcollect does not interrupt the kernel; see c/shielded.c."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Sequence

from jcollect.sources.records.library import load_library


def create_link(attributes: ctypes.Structure) -> int:
    """Calls bpf(BPF_LINK_CREATE, attributes). Returns the descriptor of the link. Raises OSError."""
    result = load_library().create_link(attributes)
    if result < 0:
        raise OSError(-result, os.strerror(-result))
    return result


def close_links(descriptors: Sequence[int]) -> None:
    """Closes links, and waits until the kernel has removed their uprobes. It does so even if jcollect is
    killed meanwhile."""
    links = (ctypes.c_int * len(descriptors))(*sorted(descriptors))
    load_library().close_links(links)
