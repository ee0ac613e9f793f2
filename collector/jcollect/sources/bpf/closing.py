"""Closes links; see c/close_links.c."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Sequence

from jcollect.sources.bpf.drain import load_library


def close_links(descriptors: Sequence[int]) -> None:
    """Closes links and waits until the kernel has removed their uprobes, which it does even if jcollect is
    killed meanwhile."""
    if not descriptors:
        return
    links = (ctypes.c_int * len(descriptors))(*sorted(descriptors))
    if load_library().close_links(links, len(links)) != 0:
        # No process can be started.
        for descriptor in descriptors:
            os.close(descriptor)
