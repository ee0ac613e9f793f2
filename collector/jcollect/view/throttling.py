"""Tracks which probes of a stream are throttled, and formats the notices about them."""

from __future__ import annotations

import heapq
from collections.abc import Iterable

from jcollect.hub.items import Throttling
from jcollect.limits import MAX_SHOWN_NAME
from jcollect.probes.description import Described
from jprobe.v1 import probe_pb2

# Maximum number of probes that one sentence names.
_NAMED = 20


class ThrottledProbes:
    """The probes of a stream that are throttled now, and the number of calls that were throttled so far."""

    def __init__(self) -> None:
        self._names: dict[int, str] = {}
        self._now: set[int] = set()
        self.throttled = 0

    def describe(self, probes: Iterable[Described]) -> None:
        """Adds the probes of a schema."""
        for probe in probes:
            self._names[probe.id] = f"{probe.provider}:{probe.name}"[:MAX_SHOWN_NAME]
            if probe.state == probe_pb2.PROBE_STATE_THROTTLED:
                self._now.add(probe.id)

    def take(self, notice: Throttling) -> list[str]:
        """Records a notice, and returns sentences about the changes."""
        self.throttled = notice.throttled
        lines = []
        if began := set(notice.began) - self._now:
            lines.append(f"throttled: too expensive, and will not fire for a while: {self._list(began)}")
        if ended := set(notice.ended) & self._now:
            lines.append(f"no longer throttled: {self._list(ended)}")
        self._now = self._now - set(notice.ended) | set(notice.began)
        return lines

    def _list(self, ids: set[int]) -> str:
        names = heapq.nsmallest(_NAMED, (self._names.get(number, str(number)) for number in ids))
        more = f", and {len(ids) - _NAMED:,} more" if len(ids) > _NAMED else ""
        return ", ".join(names) + more

    def text(self) -> str:
        """Returns a text such as "THROTTLED: 3 probes now, 1,234 calls throttled"; empty if nothing was."""
        if not self._now and not self.throttled:
            return ""
        return f"THROTTLED: {len(self._now):,} probes now, {self.throttled:,} calls throttled"
