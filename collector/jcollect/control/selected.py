"""Keeps of a reply what is needed for as long as its selection lasts.

An agent may name anything, at any length. So names are kept as their hashes, eight bytes each: two names
with the same hash are at worst two names of the same process.
"""

from __future__ import annotations

import contextlib
from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator

from jcollect.control.shares import Shares
from jcollect.errors import JcollectError
from jcollect.probes.probe import Probe
from jcollect.procfs.owner import owner_of
from jprobe.v1 import control_pb2

# Maximum number of names that are kept for all processes together: 32 MiB of hashes.
MAX_KEPT = 1 << 22
_kept = Shares(MAX_KEPT)


class Selected:
    """A selection that an agent has made. Immutable."""

    def __init__(self, reply: control_pb2.ControlReply) -> None:
        self.methods = len(reply.methods)
        self.added = reply.added
        self.failed = len(reply.failed)
        self.took_nanos = reply.took_nanos
        self.refusal = reply.refusal
        self.loaded_later = reply.loaded_later
        self._methods = _hashes(
            (each.class_name, each.class_loader_id, each.method, each.descriptor) for each in reply.methods
        )
        self._given = _hashes(reply.given)
        given = set(self._given)
        times = Counter(key for each in reply.selections if (key := hash(each.selector)) in given)
        self._own = array("q", (key for key in self._given if times[key] < 2))

    @property
    def size(self) -> int:
        """Number of names that are kept."""
        return len(self._methods) + len(self._given) + len(self._own)

    def has(self, probe: Probe) -> bool:
        """Returns true if a probe is there because of the selection: now, or when its class is loaded
        later."""
        return _is_in(self._given, probe.selector) or _is_in(self._methods, probe.method_key)

    def ends(self, probe: Probe) -> bool:
        """Returns true if the probe goes with the selection. What others have selected in the same words
        stays."""
        return _is_in(self._own, probe.selector)


@contextlib.contextmanager
def kept(pid: int, selected: Selected) -> Iterator[Selected]:
    """Charges a selection to the user of the process while the block runs. Raises JcollectError if it is too
    large beside the others."""
    owner, size = owner_of(pid), selected.size
    if not _kept.take(owner, size):
        del selected  # The error may be kept, and this frame with it.
        raise JcollectError(
            f"cannot keep what is selected in PID {pid}: it names {size:,} methods and selectors, and all "
            f"processes of one user have room for {MAX_KEPT // 2:,}, those of all users for twice as many; "
            "select fewer methods, or attach to fewer processes at a time"
        )
    try:
        yield selected
    finally:
        _kept.give_back(owner, size)


def _hashes(names: Iterable[Hashable]) -> array[int]:
    return array("q", sorted(set(map(hash, names))))


def _is_in(hashes: array[int], name: Hashable) -> bool:
    key = hash(name)
    at = bisect_left(hashes, key)
    return at < len(hashes) and hashes[at] == key


def took(reply: control_pb2.ControlReply | Selected) -> str:
    return f"{reply.took_nanos / 1e6:,.0f} ms"
