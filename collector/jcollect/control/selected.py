"""Keeps the part of a reply that is needed while its selection lasts.

An agent may send any names of any length. So names are kept as their hashes, eight bytes each. At worst, two
names of the same process have the same hash.
"""

from __future__ import annotations

import contextlib
from array import array
from bisect import bisect_left
from collections.abc import Hashable, Iterable, Iterator, Sequence, Set
from itertools import islice

from jcollect.console import plural
from jcollect.control.remarks import remarks
from jcollect.control.shares import Shares
from jcollect.errors import JcollectError
from jcollect.limits import MAX_SHOWN_NAME, MAX_WARNINGS
from jcollect.probes.probe import Probe
from jcollect.procfs.process import Process
from jcollect.shortened import shortened
from jprobe.v1 import control_pb2

# Maximum number of names that are kept for all processes together: 32 MiB of hashes.
MAX_KEPT = 1 << 22
_kept = Shares(MAX_KEPT)
# Maximum number of selections in force that are examined.
_MAX_SELECTIONS = 1 << 12


class Selected:
    """A selection that an agent has made. Immutable."""

    def __init__(self, reply: control_pb2.ControlReply) -> None:
        self.methods = len(reply.methods)
        self.added = reply.added
        self.failed = len(reply.failed)
        self.took_nanos = reply.took_nanos
        self.refusal = reply.refusal
        self.loaded_later = reply.loaded_later
        self.remarks = remarks(reply)
        self.remarks_if_held = remarks(reply, held=True)
        self._given = _hashes(reply.given)
        self.without_effect = _without_effect(reply)
        self._owner = reply.owner
        self._sets = _hashes(each.id for each in reply.methods)
        self._own = _hashes(each.id for each in reply.methods if _is_only(reply.owner, each.owners))

    @property
    def size(self) -> int:
        """Number of names that are kept."""
        return len(self._sets) + len(self._own)

    def has(self, probe: Probe) -> bool:
        """Returns true if a probe exists because of the selection, even if its class is loaded later."""
        return self._owner in probe.owners or _is_in(self._sets, probe.set_id)

    def ends(self, probe: Probe) -> bool:
        """Returns true if the probe is retired with the selection. It stays if another client had selected
        it as well."""
        return _is_only(self._owner, probe.owners) or _is_in(self._own, probe.set_id)

    def is_in_force(self, selectors: Set[int]) -> bool:
        """Returns true if one of the given selectors is among those with these hashes, or may be: the agent
        has not told the given ones."""
        return not selectors.isdisjoint(self._given) if self._given else bool(selectors)

    def replaces(self, other: Selected, selectors: Set[int]) -> bool:
        """Returns true if all that the other one still selects was selected again with this one, by the same
        client. `selectors` has the hashes of those in force."""
        if self._owner != other._owner or not other._given:
            return False
        return selectors & set(other._given) <= set(self._given)

    def is_among(self, selectors: Iterable[str]) -> bool:
        """Returns true if all given selectors are among these."""
        return set(self._given) <= set(map(hash, selectors))


@contextlib.contextmanager
def charged_to(process: Process, selected: Selected) -> Iterator[Selected]:
    """Charges a selection to the user of the process while the block runs. Raises JcollectError if the total
    becomes too large."""
    owner, size = process.owner, selected.size
    if not _kept.take(owner, size):
        del selected  # The error may be kept, and this frame with it.
        raise JcollectError(
            f"cannot select that many methods in PID {process.pid}: the selection keeps {size:,} names of "
            f"methods, and the limit is {MAX_KEPT // 2:,} for all processes of one user, twice that for "
            "all users; select fewer methods, or attach to fewer processes at a time"
        )
    try:
        yield selected
    finally:
        _kept.give_back(owner, size)


def _without_effect(reply: control_pb2.ControlReply) -> list[str]:
    """Returns the given selectors that decide for no method, because others decide for all that they match.

    Other clients may have given the same selectors, in another order.
    """
    given = set(reply.given)
    leased = [
        each
        for each in islice(reply.selections, _MAX_SELECTIONS)
        if each.leased and each.overruled + each.methods and each.selector in given
    ]
    deciding = {each.selector for each in leased if each.methods}
    overruled = dict.fromkeys(each.selector for each in leased if each.selector not in deciding)
    return [shortened(each, MAX_SHOWN_NAME) for each in islice(overruled, MAX_WARNINGS)]


def _is_only(owner: int, owners: Sequence[int]) -> bool:
    return len(owners) == 1 and owners[0] == owner


def _hashes(names: Iterable[Hashable]) -> array[int]:
    return array("q", sorted(set(map(hash, names))))


def _is_in(hashes: array[int], name: Hashable) -> bool:
    key = hash(name)
    at = bisect_left(hashes, key)
    return at < len(hashes) and hashes[at] == key


def selected_text(selected: Selected, whose: str, held: bool) -> str:
    """Returns a line about a selection. With `held`, the program has not begun."""
    failed = f"; {selected.failed:,} that match cannot be traced" if selected.failed else ""
    if held and not selected.methods:
        return (
            f"selected no method{whose} yet: the program has not begun; methods are armed as their classes "
            f"are loaded{failed}"
        )
    later = "; more are armed as their classes are loaded" if held else ""
    return f"selected {plural(selected.methods, 'method')}{whose} in {took(selected)}{failed}{later}"


def took(reply: control_pb2.ControlReply | Selected) -> str:
    return f"{reply.took_nanos / 1e6:,.0f} ms"
