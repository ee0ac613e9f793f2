"""The options of a subscription, besides the probes, as plain values."""

from __future__ import annotations

from dataclasses import dataclass

from jcollect.hub.cursor import Begin, OnOverflow

# Columns of events that a subscriber may leave out.
MASKABLE = frozenset(
    {"time_unix_nanos", "tid", "thread", "duration_nanos", "values", "start_unix_nanos", "explanation"}
)


@dataclass(frozen=True)
class StreamOptions:
    """See SubscribeRequest in collector.proto.

    `columns` are those to send of MASKABLE. `begin` is None for now. `max_rate` is in events per second, 0
    for no limit."""

    deny: tuple[str, ...] = ()
    where: str = ""
    columns: frozenset[str] = MASKABLE
    sample_every: int = 1
    max_rate: int = 0
    begin: Begin | None = None
    only_history: bool = False
    on_overflow: OnOverflow = OnOverflow.DROP_NEWEST

    @property
    def has_history(self) -> bool:
        """True if the stream may begin with events of the past."""
        return self.begin is not None or self.only_history


EVERYTHING = StreamOptions()
