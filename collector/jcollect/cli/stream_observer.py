"""Prints the stream of a collector, for `jcollect observe`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence

from jcollect.cli.notices import Notices
from jcollect.console import plural
from jcollect.hub.items import History, Item, Loss, Schema, Throttling
from jcollect.hub.stream_options import StreamOptions
from jcollect.rpc.address import Address
from jcollect.rpc.find import CollectorAddress
from jcollect.rpc.subscriber import Subscriber
from jcollect.sinks.terminal import TerminalSink, stage_name
from jcollect.view.later import LaterParts


class StreamObserver:
    """Passes the items of a stream to a sink, and reports schemas, losses and throttling."""

    def __init__(self, client: Subscriber, sink: TerminalSink, collector: CollectorAddress) -> None:
        self._client = client
        self._sink = sink
        self._collector = collector
        self._notices = Notices()
        self._later = LaterParts()
        self._is_first = True
        self._described = 0

    def run(self, globs: Sequence[str], seconds: float | None, options: StreamOptions) -> None:
        """Reads the stream until it ends, the sink is done, or stdout is closed."""
        # The reader closes the pipe when it needs no more events.
        with contextlib.suppress(BrokenPipeError):
            for item in self._client.subscribe(globs, seconds, self._collector.pids, options):
                self._sink.take(item)
                self._report(item)
                if self._sink.done:
                    break

    def _report(self, item: Item) -> None:
        if isinstance(item, Schema):
            self._warn(self._later.in_probes(item.probes))
            self._described += len(item.probes)
            if not item.has_more:
                self._notices.show(_observing(self._described, self._collector.address, self._is_first))
                self._is_first, self._described = False, 0
        elif isinstance(item, Loss):
            self._warn(self._later.in_loss(item.stage))
            self._notices.show(f"lost so far ({stage_name(item)}): {plural(item.events, 'event')}")
        elif isinstance(item, Throttling):
            self._warn(self._sink.notices)
        elif isinstance(item, History) and item.missed:
            bound = "up to " if item.missed_is_bound else ""
            self._notices.show(f"the history no longer has {bound}{plural(item.missed, 'event')}")

    def _warn(self, lines: Iterable[str]) -> None:
        for line in lines:
            self._notices.show(f"jcollect: warning: {line}")


def _observing(probes: int, address: Address, is_first: bool) -> str:
    if is_first:
        return f"observing {plural(probes, 'probe')} at {address.text}"
    return f"observing {probes:,} more probe{'' if probes == 1 else 's'}"
