"""Picks the events that a subscriber's request asks for, out of those of its probes: condition, sampling,
rate, and columns."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from jcollect.hub.items import EncodedEvents, Skipped
from jcollect.hub.stream_options import MASKABLE, StreamOptions
from jcollect.hub.where import Where
from jcollect.hub.wire import encode
from jcollect.probes.description import Described
from jcollect.sources.columns import Batch, Columns, Flags

_NO_TEXT = b""


@dataclass(frozen=True)
class Selected:
    """The events that are left, None if none are, and how many were left out."""

    events: EncodedEvents | None
    skipped: Skipped


class Selection:
    """The choice of one request. For one thread at a time, except `describe`."""

    def __init__(self, options: StreamOptions, clock: Callable[[], float] = time.monotonic) -> None:
        """Raises ConditionError."""
        self._where = Where(options.where) if options.where else None
        self._every = max(1, options.sample_every)
        self._rate = options.max_rate
        self._masked = MASKABLE - options.columns
        self._clock = clock
        # Events of each probe that have passed the condition, modulo the sampling.
        self._seen = np.zeros(0, np.int64)
        # Events that may pass now: one second of them at most.
        self._allowance = float(self._rate)
        self._checked = clock()

    @property
    def is_everything(self) -> bool:
        """True if nothing is ever left out."""
        return self._where is None and self._every == 1 and not self._rate and not self._masked

    def describe(self, probes: Sequence[Described]) -> None:
        """Takes note of probes, before their first events."""
        if self._where is not None:
            self._where.describe(probes)

    def check(self) -> None:
        """Raises ConditionError if the condition fits no probe."""
        if self._where is not None:
            self._where.check()

    def matching(self, batch: Batch) -> int:
        """Returns for how many events the condition holds."""
        if self._where is None or not len(batch):
            return len(batch)
        return int(self._where.matches(batch).sum())

    def apply(self, events: EncodedEvents) -> Selected:
        """Returns the events of a batch to send."""
        if not len(events):
            return Selected(None, Skipped())
        batch = events.batch
        whole = len(batch)
        if self._where is not None:
            batch = batch.pick(self._where.matches(batch))
        matching = len(batch)
        if self._every > 1 and matching:
            batch = batch.pick(self._sampled(batch))
        sampled = len(batch)
        if self._rate and sampled:
            batch = self._limited(batch)
        skipped = Skipped(whole - matching, matching - sampled, sampled - len(batch))
        if not len(batch):
            return Selected(None, skipped)
        if not self._masked and len(batch) == whole:
            return Selected(events, skipped)
        message = encode(self._mask(batch.columns), events.cursor)
        return Selected(EncodedEvents(message, batch.value_counts, batch.text_sizes, events.cursor), skipped)

    def _sampled(self, batch: Batch) -> Flags:
        """Returns the events to send: the first of each probe, and then one in `every`."""
        probes = batch.columns.probe
        highest = int(probes.max())
        if highest >= len(self._seen):
            self._seen = np.pad(self._seen, (0, highest + 1))
        wanted = np.zeros(len(batch), np.bool_)
        for probe in np.unique(probes).tolist():
            events = np.flatnonzero(probes == probe)
            numbers = int(self._seen[probe]) + np.arange(len(events))
            wanted[events] = numbers % self._every == 0
            self._seen[probe] = (int(self._seen[probe]) + len(events)) % self._every
        return wanted

    def _limited(self, batch: Batch) -> Batch:
        """Returns the first events, as many as the rate allows now."""
        now = self._clock()
        earned = self._rate * (now - self._checked)
        self._allowance, self._checked = min(self._rate, self._allowance + earned), now
        allowed = min(len(batch), int(self._allowance))
        self._allowance -= allowed
        return batch.pick(np.arange(len(batch)) < allowed) if allowed < len(batch) else batch

    def _mask(self, columns: Columns) -> Columns:
        """Returns the columns without those that are not asked for."""
        empty: dict[str, Any] = {
            name: None if name == "explanation" else getattr(columns, name)[:0] for name in self._masked
        }
        if "values" in self._masked:
            empty["text"] = _NO_TEXT
        return replace(columns, **empty)
