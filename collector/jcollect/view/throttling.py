"""What a subscriber is told of probes that do not fire because they cost too much."""

from __future__ import annotations

import heapq
from collections.abc import Iterable

from jcollect.hub.items import Throttling
from jcollect.limits import MAX_TOLD_NAME
from jcollect.probes.description import Described
from jprobe.v1 import probe_pb2

# Maximum number of probes that one sentence names.
_NAMED = 20


class Throttled:
    """Which probes of a stream are throttled now, and how many calls were held back for that."""

    def __init__(self) -> None:
        self._names: dict[int, str] = {}
        self._now: set[int] = set()
        self.throttled = 0

    def describe(self, probes: Iterable[Described]) -> None:
        """The probes of a schema."""
        for probe in probes:
            self._names[probe.id] = f"{probe.provider}:{probe.name}"[:MAX_TOLD_NAME]
            if probe.state == probe_pb2.PROBE_STATE_THROTTLED:
                self._now.add(probe.id)

    def take(self, notice: Throttling) -> list[str]:
        """Sentences about what has changed."""
        self.throttled = notice.throttled
        lines = []
        if began := set(notice.began) - self._now:
            lines.append(
                f"throttled, for they cost too much, and not to fire for a while: {self._list(began)}"
            )
        if ended := set(notice.ended) & self._now:
            lines.append(f"throttled no longer: {self._list(ended)}")
        self._now = self._now - set(notice.ended) | set(notice.began)
        return lines

    def _list(self, ids: set[int]) -> str:
        names = heapq.nsmallest(_NAMED, (self._names.get(number, str(number)) for number in ids))
        more = f", and {len(ids) - _NAMED:,} more" if len(ids) > _NAMED else ""
        return ", ".join(names) + more

    def text(self) -> str:
        """As in "THROTTLED: 3 probes now, 1,234 calls throttled"; empty where nothing was."""
        if not self._now and not self.throttled:
            return ""
        return f"THROTTLED: {len(self._now):,} probes now, {self.throttled:,} calls throttled"
