"""Prints the events of `jcollect attach -o` and `jcollect run -o`."""

from __future__ import annotations

import contextlib
import threading

from jcollect.cli.waiting import wait_until_drained
from jcollect.console import Stdout
from jcollect.hub.hub import Hub
from jcollect.hub.stream_options import StreamOptions
from jcollect.hub.subscription import DiscardedError
from jcollect.sinks.base import consume
from jcollect.sinks.terminal import TerminalSink
from jcollect.stop_request import StopRequest
from jcollect.view.lines import LineFormat
from jcollect.workers import Failures, Worker

# Events that fire while other probes are still being armed are printed after this time.
_BEGIN_SECONDS = 1.0


class EventPrinter:
    """A subscriber that prints events in its own thread."""

    def __init__(
        self,
        hub: Hub,
        line_format: LineFormat,
        failures: Failures,
        stop: StopRequest,
        out: Stdout,
        stream: StreamOptions,
    ) -> None:
        """Prints, from `begin` on. Raises JcollectError if no thread can be started."""
        self._subscription = hub.subscribe((), peer=out.name, options=stream)
        self._out = out
        self._sink = TerminalSink(line_format, out)
        self._stop = stop
        self._may_begin = threading.Event()
        self._worker = Worker(f"write events to {out.name}", self._run, failures).start()

    def begin(self) -> None:
        """Starts to print: what is attached to has been reported. Does nothing if it has started."""
        self._may_begin.set()

    def _run(self) -> None:
        self._may_begin.wait(_BEGIN_SECONDS)
        try:
            # The end of the session discards unread items.
            with contextlib.suppress(DiscardedError):
                for _ in consume(self._subscription, self._sink):
                    pass
        except BrokenPipeError:
            # The reader has closed the pipe because it needs no more events.
            self._subscription.close()
            self._stop.request()
        except BaseException:
            self._subscription.discard_unread()
            raise

    @property
    def was_discarded(self) -> bool:
        """True if events were left unprinted, for any reason."""
        return self._subscription.was_discarded

    @property
    def is_stuck(self) -> bool:
        """True while events wait to be printed."""
        return not self._worker.join(0.0)

    def finish(self) -> None:
        """Waits until everything is printed, or the output is not read any more."""
        self.begin()
        wait_until_drained(self._worker, lambda: self._out.progressed)
