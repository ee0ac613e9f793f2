"""Writes to a recording in time, and reports it: shared by all ways to record."""

from __future__ import annotations

import threading
from collections.abc import Callable

from jcollect.cli.attach_options import Recorded
from jcollect.console import plural, status, warn
from jcollect.recordings.recorder import Recorder, Rotation, StatusOf
from jcollect.workers import Failures, Worker

_TICK_SECONDS = 0.1


def new_recorder(
    output: Recorded, source: str, status_of: StatusOf, max_events: int | None = None, epoch: int = 0
) -> Recorder:
    """Creates the file. Raises JcollectError."""
    rotation = Rotation(output.rotate_size, output.rotate_every, output.keep)
    return Recorder(output.path, source, rotation, output.force, status_of, max_events, epoch)


class Flusher:
    """A thread that writes what a recorder has held back long enough, until `stop`."""

    def __init__(
        self, recorder: Recorder, failures: Failures, on_tick: Callable[[], None] = lambda: None
    ) -> None:
        """Raises JcollectError if no thread can be started."""
        self._recorder = recorder
        self._on_tick = on_tick
        self._over = threading.Event()
        self._worker = Worker(f"write to {recorder.path}", self._run, failures).start()

    def _run(self) -> None:
        while not self._over.wait(_TICK_SECONDS):
            self._recorder.flush_if_due()
            self._on_tick()

    def stop(self) -> None:
        self._over.set()
        self._worker.join(1.0)


def print_recorded(recorder: Recorder) -> None:
    """Prints what the recording has."""
    per_event = f", {recorder.bytes / recorder.events:.1f} bytes per event" if recorder.events else ""
    where = recorder.path if recorder.files == 1 else f"{plural(recorder.files, 'file')} of {recorder.path}"
    status(f"recorded {plural(recorder.events, 'event')} in {where} ({recorder.bytes:,} bytes{per_event})")
    if recorder.not_written:
        warn(f"{plural(recorder.not_written, 'event')} could not be written to {recorder.path}, and are lost")
