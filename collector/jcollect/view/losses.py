"""Counts the events that a stream reports as lost, and finds what has been lost since."""

from __future__ import annotations

from jcollect.hub.items import Loss


class Losses:
    """The losses of one stream, by stage."""

    def __init__(self) -> None:
        self._by_stage: dict[int, int] = {}
        self._by_probe: dict[tuple[int, int], int] = {}

    @property
    def total(self) -> int:
        return sum(self._by_stage.values())

    @property
    def by_stage(self) -> dict[int, int]:
        return self._by_stage

    def take(self, loss: Loss) -> tuple[int, list[int]]:
        """Returns how many more events were lost, and the probes that lost them, as far as they are
        known."""
        more = loss.events - self._by_stage.get(loss.stage, 0)
        self._by_stage[loss.stage] = loss.events
        changed = []
        for probe, events in loss.by_probe.items():
            if self._by_probe.get((loss.stage, probe)) != events:
                self._by_probe[loss.stage, probe] = events
                changed.append(probe)
        return max(more, 0), changed
