"""Records a stream: the sink that writes its items to a file, or to the files of a rotation.

Each file of a rotation can be read without the others: it begins with all descriptions, and ends with hit
counts.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from jcollect import __version__
from jcollect.errors import JcollectError
from jcollect.hub.clock import utc_offset_ns
from jcollect.hub.items import EncodedEvents, Events, Item, Position, Schema, Stacks, Throttling
from jcollect.probes.description import Described
from jcollect.recordings.batches import encode_batch
from jcollect.recordings.frames import FrameEncoder, FrameType
from jcollect.recordings.output_file import FullError, OutputFile
from jcollect.recordings.shapes import Shapes
from jcollect.rpc.messages import pages, stream_messages
from jcollect.sources.columns import Columns, joined_columns
from jcollect.sources.stacks import StackTable
from jprobe.v1 import collector_pb2, recording_pb2

# Events that are compressed together. More would save little: a frame of 8,192 is 3% larger.
MOST_EVENTS = 1 << 15
_MOST_EVENT_BYTES = 4 << 20
# Maximum time for which events are held back to be compressed together.
FLUSH_SECONDS = 0.2

# The hit counts of the collector: one response, or several pages.
StatusOf = Callable[[], collector_pb2.GetStatusResponse | None]


@dataclass(frozen=True)
class Rotation:
    """When a file ends and the next one begins: `size` in bytes, `seconds`. `keep` is the number of files
    that stay; earlier ones are removed. None for no limit."""

    size: int | None = None
    seconds: float | None = None
    keep: int | None = None

    def __bool__(self) -> bool:
        return bool(self.size or self.seconds)


class Recorder:
    """A sink that records. `take` is for one thread, and `flush_if_due` for another; `complete` ends the
    file.

    `events` were written, in `bytes` of all files; `not_written` were taken and could not be written.
    """

    def __init__(
        self,
        path: str,
        source: str,
        rotation: Rotation | None = None,
        replaces: bool = False,
        status: StatusOf = lambda: None,
        max_events: int | None = None,
        epoch: int = 0,
    ) -> None:
        """Creates the first file. `source` names what is recorded. `status` reads the hit counts, which end
        each file; it may return None. Records at most `max_events`. Raises JcollectError."""
        self.path = path
        self.events = self.bytes = self.not_written = 0
        self.has_begun = False
        # The random number of the collector's run; 0 until it is known.
        self.epoch = epoch
        self._source = source
        self._rotation = rotation or Rotation()
        self._replaces = replaces
        self._status = status
        self._left = max_events
        self._encoder = FrameEncoder()
        self._shapes = Shapes()
        self._described: dict[int, Described] = {}
        self._throttled: set[int] = set()
        self._stacks = StackTable()
        self._pending: list[Columns] = []
        self._pending_events = self._pending_bytes = 0
        self._pending_since = 0.0
        self._next_seq = self._file_events = 0
        self._lock = threading.Lock()
        self._recording = int.from_bytes(os.urandom(8), "little")
        self._part = 0
        self._paths: list[str] = []
        # No frame but the last ones can be written any more.
        self._is_over = False
        self._is_closed = False
        self._file: OutputFile = self._open()

    @property
    def done(self) -> bool:
        """True if `max_events` were taken."""
        return self._left == 0

    @property
    def files(self) -> int:
        """Number of files so far."""
        return self._part + 1

    def take(self, item: Item) -> None:
        """Records an item. Raises JcollectError if it cannot be written."""
        with self._lock:
            if isinstance(item, EncodedEvents | Events):
                self._hold(item.columns)
                return
            if isinstance(item, Position):
                return
            self._flush()
            if isinstance(item, Schema):
                self.has_begun = True
                self._shapes.add(item.probes)
                self._described.update((probe.id, probe) for probe in item.probes)
            elif isinstance(item, Stacks):
                self._stacks.add(item.stacks)
            elif isinstance(item, Throttling):
                self._throttled = self._throttled - set(item.ended) | set(item.began)
            self._write_item(item)

    def flush_if_due(self) -> None:
        """Writes events that were held back for long, and begins the next file if it is time. Raises
        JcollectError."""
        with self._lock:
            if self._pending and time.monotonic() - self._pending_since >= FLUSH_SECONDS:
                self._flush()
            elif not self._is_over:
                self._rotate_if_due()

    def complete(self) -> None:
        """Writes what is held back, the hit counts and the end. Raises JcollectError."""
        with self._lock:
            if self._is_closed:
                return
            try:
                self._flush()
            finally:
                reason = recording_pb2.RECORDING_END_REASON_STOPPED
                if self._is_over:
                    reason = recording_pb2.RECORDING_END_REASON_FULL
                self._is_over = True
                try:
                    self._end(reason, self._status())
                finally:
                    self._close()

    def _hold(self, columns: Columns) -> None:
        """Takes events. Their memory is that of a message, which never changes."""
        count = len(columns)
        if self._is_over:
            self.not_written += count
            return
        if self._left is not None:
            columns = self._first(columns, self._left)
            count = len(columns)
            self._left -= count
        if not count:
            return
        if not self._pending:
            self._pending_since = time.monotonic()
        self._pending.append(columns)
        self._pending_events += count
        self._pending_bytes += columns.values.nbytes + len(columns.text)
        due = time.monotonic() - self._pending_since >= FLUSH_SECONDS
        if due or self._pending_events >= MOST_EVENTS or self._pending_bytes >= _MOST_EVENT_BYTES:
            self._flush()

    def _first(self, columns: Columns, most: int) -> Columns:
        if len(columns) <= most:
            return columns
        batch = self._shapes.batch(columns, self._shapes.value_counts(columns.probe))
        return batch.pick(np.arange(len(columns)) < most).columns

    def _flush(self) -> None:
        """Writes the events that are held back."""
        if not self._pending:
            return
        columns = joined_columns(self._pending)
        self._pending = []
        self._pending_events = self._pending_bytes = 0
        if self._is_over:
            self.not_written += len(columns)
            return
        try:
            content = encode_batch(columns, self._shapes.value_counts(columns.probe))
            self._append(FrameType.EVENTS, content)
        except JcollectError:
            self.not_written += len(columns)
            raise
        self.events += len(columns)
        self._file_events += len(columns)
        self._next_seq = int(columns.seq[-1]) + 1
        self._rotate_if_due()

    def _write_item(self, item: Item) -> None:
        for message in stream_messages(item):
            self._append(FrameType.MESSAGE, message)

    def _append(self, frame_type: FrameType, content: bytes) -> None:
        if self._is_over:
            return
        frame = self._encoder.encode(frame_type, content)
        try:
            self._file.append(frame)
        except FullError:
            self._is_over = True
            raise
        self.bytes += len(frame)

    def _rotate_if_due(self) -> None:
        rotation = self._rotation
        is_large = rotation.size is not None and self._file.size >= rotation.size
        is_old = rotation.seconds is not None and time.monotonic() - self._opened >= rotation.seconds
        if not is_large and not is_old:
            return
        try:
            self._end(recording_pb2.RECORDING_END_REASON_ROTATED, self._status())
        except FullError:
            self._is_over = True
            raise
        self._close()
        self._part += 1
        self._file = self._open()
        if rotation.keep is not None:
            for path in self._paths[: -rotation.keep]:
                with contextlib.suppress(OSError):
                    os.unlink(path)
            self._paths = self._paths[-rotation.keep :]

    def _open(self) -> OutputFile:
        """Creates the next file, with all that is needed to read it."""
        self._opened = time.monotonic()
        self._file_events = 0
        path = part_path(self.path, self._part) if self._rotation else self.path
        file = OutputFile(path, self._replaces)
        self._file, self._is_closed = file, False
        self._paths.append(file.path)
        header = self._header()
        self._append(FrameType.HEADER, header.SerializeToString())
        if self._described:
            self._write_item(Schema(list(self._described.values())))
        if self._stacks:
            self._write_item(Stacks(self._stacks.all()))
        if self._throttled:
            self._write_item(Throttling(sorted(self._throttled)))
        return file

    def _header(self) -> recording_pb2.RecordingHeader:
        machine = os.uname()
        return recording_pb2.RecordingHeader(
            version=__version__,
            recording=self._recording,
            part=self._part,
            created_unix_nanos=time.time_ns(),
            monotonic_offset_nanos=utc_offset_ns(),
            host=machine.nodename,
            kernel=machine.release,
            architecture=machine.machine,
            cpus=os.cpu_count() or 0,
            source=self._source,
            begin=collector_pb2.Cursor(epoch=self.epoch, seq=self._next_seq, events=self.events),
        )

    def _end(self, reason: int, status: collector_pb2.GetStatusResponse | None) -> None:
        """Writes the hit counts and the end, together: what does not fit takes no room. If there is no room
        for all counts, writes their sums, or the end alone; a rotation leaves that to `complete`. Raises
        JcollectError, also if only sums were written and nothing else has failed."""
        end = recording_pb2.RecordingEnd(
            reason=reason,  # type: ignore[arg-type]
            events=self._file_events,
            not_written=self.not_written,
            end=collector_pb2.Cursor(epoch=self.epoch, seq=self._next_seq, events=self.events),
        )
        last = self._encoder.encode(FrameType.END, end.SerializeToString())
        try:
            self._write_last(self._status_frames(status) + last)
        except FullError:
            if reason == recording_pb2.RECORDING_END_REASON_ROTATED:
                raise
            if status is not None:
                status.ClearField("probes")
            try:
                self._write_last(self._status_frames(status) + last)
            except FullError:
                self._write_last(last)
            if reason != recording_pb2.RECORDING_END_REASON_FULL:
                raise

    def _status_frames(self, status: collector_pb2.GetStatusResponse | None) -> bytes:
        pages = _status_pages(status)
        return b"".join(self._encoder.encode(FrameType.STATUS, page) for page in pages)

    def _write_last(self, frames: bytes) -> None:
        self._file.append(frames, uses_reserve=True)
        self.bytes += len(frames)

    def _close(self) -> None:
        self._is_closed = True
        try:
            self._file.sync()
        finally:
            self._file.close()


def part_path(path: str, part: int) -> str:
    """Returns the path of a file of a rotation: trace.000001.jprec for trace.jprec."""
    stem, suffix = os.path.splitext(path)
    return f"{stem}.{part:06d}{suffix}"


def _status_pages(status: collector_pb2.GetStatusResponse | None) -> Iterator[bytes]:
    """Yields a status as messages of about 1 MiB."""
    if status is None:
        return
    rest: Iterable[collector_pb2.ProbeHitCounts] = list(status.probes)
    for number, (probes, has_more) in enumerate(pages(rest)):
        page = collector_pb2.GetStatusResponse()
        if not number:
            page.CopyFrom(status)
            page.ClearField("probes")
        page.probes.extend(probes)
        # Any text: more pages of the same status follow.
        page.next_page_token = "more" if has_more else ""
        yield page.SerializeToString()
