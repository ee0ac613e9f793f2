"""Subscribes to events, and exports the selected calls as spans."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable

from opentelemetry.proto.trace.v1.trace_pb2 import Span

from jcollect.hub.items import EncodedEvents, Events, Item, Schema
from jcollect.hub.subscription import DiscardedError
from jcollect.otlp.delivery import Delivery
from jcollect.otlp.settings import SpanSelection
from jcollect.otlp.slow_calls import SlowCalls
from jcollect.otlp.span_messages import span_of, span_request
from jcollect.session.session import Session
from jcollect.sinks.base import consume
from jcollect.workers import Worker

# Spans in one request, and in the queue of those that wait. A span has about 500 bytes.
_MOST_IN_REQUEST = 512
MOST_QUEUED = 16_384
# Processes whose names are kept: their last events may come after their exit.
_MOST_NAMES = 4096


class SpanExporter:
    """A subscriber, in a thread of its own."""

    def __init__(
        self, session: Session, selection: SpanSelection, delivery: Delivery, name_of: Callable[[int], str]
    ) -> None:
        """Raises JcollectError if no thread can be started."""
        self._calls = SlowCalls(selection)
        self._delivery = delivery
        self._name_of = name_of
        self._names: dict[int, str] = {}
        self._lock = threading.Lock()
        self._spans: list[tuple[int, Span]] = []
        self._subscription = session.subscribe((), (), "OTLP")
        self._worker = Worker("export spans", self._run, session.failures).start()

    def take(self, item: Item) -> None:
        """Makes spans of a batch. Those for which there is no room are counted as dropped, and not
        decoded."""
        if isinstance(item, Schema):
            self._calls.add(item.probes)
            for pid in {probe.pid for probe in item.probes}:
                self._keep_name(pid)
        elif isinstance(item, (Events, EncodedEvents)):
            columns = item.columns
            selected = self._calls.count(columns)
            if not selected:
                return
            if selected > self._delivery.room:
                self._delivery.drop(selected)
                return
            for call in self._calls.calls(columns):
                with self._lock:
                    self._spans.append((call.probe.pid, span_of(call)))
                    is_full = len(self._spans) >= _MOST_IN_REQUEST
                if is_full:
                    self.flush()

    def _keep_name(self, pid: int) -> None:
        name = self._name_of(pid)
        if name or pid not in self._names:
            with self._lock:
                self._names[pid] = name
                while len(self._names) > _MOST_NAMES:
                    del self._names[next(iter(self._names))]

    def flush(self) -> None:
        """Queues the spans that wait for a full request. For any thread."""
        with self._lock:
            spans, self._spans = self._spans, []
            if spans:
                self._delivery.put([span_request(spans, self._names)], len(spans))

    def finish(self, seconds: float) -> None:
        """Waits until the events that were published are spans. The session must have ended its
        subscriptions."""
        if not self._worker.join(seconds):
            self._subscription.discard_unread()
        self.flush()

    def _run(self) -> None:
        try:
            # The end of the session discards unread items.
            with contextlib.suppress(DiscardedError):
                for _ in consume(self._subscription, self):
                    pass
        except BaseException:
            self._subscription.discard_unread()
            raise
