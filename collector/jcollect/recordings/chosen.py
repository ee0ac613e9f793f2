"""The part of a recording that belongs to some of its probes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from jcollect.errors import JcollectError
from jcollect.hub.hub import MATCH_STEPS, few_of
from jcollect.hub.items import Loss, Schema, Stacks, Throttling
from jcollect.probes.globs import Budget, TooCostlyError, matcher
from jcollect.recordings.reader import RecordedItem
from jcollect.sources.columns import Batch, with_room


class Chosen:
    """Chooses probes by globs; all without any. `matched` is true once a probe has matched."""

    def __init__(self, globs: Sequence[str]) -> None:
        self._globs = globs
        self.matches = self._matches = matcher(globs, Budget(MATCH_STEPS)) if globs else None
        self._wanted = np.zeros(0, np.bool_)
        self.matched = not globs

    def part(self, item: RecordedItem) -> RecordedItem | None:
        """Returns what belongs to the probes; None if nothing does. Raises JcollectError if
        matching them takes too long."""
        if self._matches is None:
            return item
        if isinstance(item, Schema):
            return self._schema(item)
        if isinstance(item, Batch):
            batch = item.pick(self._wanted[item.columns.probe])
            return batch if len(batch) else None
        if isinstance(item, Loss):
            own = {probe: events for probe, events in item.by_probe.items() if self._is_wanted(probe)}
            return Loss(item.stage, sum(own.values()), own) if own else None
        if isinstance(item, Stacks):
            return item
        began, ended = (list(filter(self._is_wanted, ids)) for ids in (item.began, item.ended))
        return Throttling(began, ended, item.throttled) if began or ended else None

    def _schema(self, schema: Schema) -> Schema | None:
        assert self._matches is not None
        size = max((probe.id + 1 for probe in schema.probes), default=0)
        self._wanted = with_room(self._wanted, size)
        try:
            found = [probe for probe in schema.probes if self._matches(probe)]
        except TooCostlyError:
            raise JcollectError("matching --probe takes too long; use fewer or simpler globs") from None
        self._wanted[[probe.id for probe in schema.probes]] = False
        self._wanted[[probe.id for probe in found]] = True
        self.matched = self.matched or bool(found)
        return Schema(found, schema.has_more) if found else None

    def _is_wanted(self, probe: int) -> bool:
        return probe < len(self._wanted) and bool(self._wanted[probe])

    def check_matched(self, source: str) -> None:
        """Raises JcollectError if no probe has matched in the whole recording."""
        if not self.matched:
            raise JcollectError(f"no probe of {source} matches {few_of(self._globs)}")
