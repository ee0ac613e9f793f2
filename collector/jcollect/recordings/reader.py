"""Reads recordings as the items of a stream, with everything checked: a file may be hostile."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from google.protobuf.message import DecodeError

from jcollect.errors import JcollectError, MalformedStreamError, explain
from jcollect.hub.items import Events, Loss, Schema, Stacks, Throttling
from jcollect.limits import MAX_COLLECTOR_PROBES
from jcollect.recordings.batches import decode_batch
from jcollect.recordings.frames import Frame, FrameReader, FrameType
from jcollect.recordings.shapes import Shapes
from jcollect.rpc.elements import parse
from jcollect.rpc.incoming import Incoming
from jcollect.sources.columns import Batch
from jprobe.v1 import collector_pb2, recording_pb2

# What a recording consists of. Batches have the sizes of their events.
RecordedItem = Schema | Batch | Loss | Throttling | Stacks


@dataclass
class Facts:
    """Facts that a file states about itself, as far as it has been read. `status` has the hit counts; None if
    the file has none."""

    header: recording_pb2.RecordingHeader
    status: collector_pb2.GetStatusResponse | None = None
    end: recording_pb2.RecordingEnd | None = None
    events: int = 0


class RecordingFile:
    """One file, read from begin to end by `items`. `warnings` are sentences about what cannot be read."""

    def __init__(self, path: str) -> None:
        """Opens the file. Raises JcollectError."""
        self.path = path
        self.warnings: list[str] = []
        self._file = open_recording(path)
        try:
            self._frames = FrameReader(self._file, path)
        except BaseException:
            self._file.close()
            raise
        self._shapes = Shapes()
        self._incoming = Incoming()
        self._is_page = False
        self.facts = Facts(recording_pb2.RecordingHeader())

    def items(self, skipped: Container[int] = ()) -> Iterator[RecordedItem]:
        """Yields the items, and closes the file. Leaves out frames of `skipped` types. Raises
        JcollectError."""
        return (item for _, item in self.frames(skipped) if item is not None)

    def close(self) -> None:
        self._file.close()

    def frames(self, skipped: Container[int] = ()) -> Iterator[tuple[Frame, RecordedItem | None]]:
        """Yields each frame, and its item; None for frames of `skipped` types and those that are no items. As
        `items` otherwise."""
        with self._file:
            try:
                for frame in self._frames.frames(skipped):
                    item = None
                    if frame.type not in skipped:
                        with explaining(self.path, frame):
                            item = self._item(frame)
                    yield frame, item
            except OSError as error:
                raise explain(error, f"read {self.path}") from None
        if self._frames.problem:
            self.warnings.append(self._frames.problem)
        elif self.facts.end is None:
            self.warnings.append(
                f"{self.path} has no end: its recorder was killed, or still runs; its events up to now "
                "are read"
            )

    def _item(self, frame: Frame) -> RecordedItem | None:
        if frame.type == FrameType.EVENTS:
            batch = decode_batch(frame.content, self._shapes)
            self.facts.events += len(batch)
            return batch
        if frame.type == FrameType.MESSAGE:
            return self._message(frame.content)
        if frame.type == FrameType.HEADER:
            self.facts.header = parse(recording_pb2.RecordingHeader, frame.content)
        elif frame.type == FrameType.STATUS:
            self._take_status(parse(collector_pb2.GetStatusResponse, frame.content))
        elif frame.type == FrameType.END:
            self.facts.end = parse(recording_pb2.RecordingEnd, frame.content)
        return None

    def _message(self, content: bytes) -> RecordedItem | None:
        item = self._incoming.decode(content)
        if isinstance(item, Schema):
            self._shapes.add(item.probes)
            return item
        if isinstance(item, Loss | Throttling | Stacks):
            return item
        if isinstance(item, Events):
            raise MalformedStreamError("a batch is in a message")
        return None  # It is about the recorder's subscription, or only a later version knows it.

    def _take_status(self, page: collector_pb2.GetStatusResponse) -> None:
        status = self.facts.status
        if self._is_page and status is not None:
            if len(status.probes) + len(page.probes) > MAX_COLLECTOR_PROBES:
                raise MalformedStreamError(f"it has more than {MAX_COLLECTOR_PROBES:,} hit counts")
            status.probes.extend(page.probes)
        else:
            self.facts.status = page
        self._is_page = bool(page.next_page_token)
        page.ClearField("next_page_token")


@contextlib.contextmanager
def explaining(path: str, frame: Frame) -> Iterator[None]:
    """Explains what is wrong with a frame of a file in a block."""
    try:
        yield
    except (MalformedStreamError, DecodeError) as error:
        problem = error.problem if isinstance(error, MalformedStreamError) else "a message is malformed"
        raise JcollectError(
            f"cannot read {path}: the frame that ends at byte {frame.end:,} is malformed: {problem}"
            "; no jcollect has written it"
        ) from None


class Recording:
    """The files of a recording, one after the other. `facts` are those of the file that is read, or was read
    last; `warnings` those of all."""

    def __init__(self, paths: Sequence[str]) -> None:
        """Opens the first file. Raises JcollectError."""
        self.paths = paths
        self.warnings: list[str] = []
        self._first: RecordingFile | None = RecordingFile(paths[0])
        self.facts = self._first.facts
        self.events = 0

    def items(self) -> Iterator[RecordedItem]:
        """Yields the items of all files. Each begins with descriptions of all probes. Raises
        JcollectError."""
        for path in self.paths:
            file, self._first = self._first or RecordingFile(path), None
            before = self.events
            self.facts = file.facts
            for item in file.items():
                self.events = before + file.facts.events
                yield item
            self.warnings += file.warnings


def open_recording(path: str) -> BinaryIO:
    """Opens a regular file, or one that a link leads to. Raises JcollectError."""
    try:
        # A pipe would be waited for.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise JcollectError(f"cannot read {path}: it is not a regular file")
        return open(descriptor, "rb", buffering=1 << 20)
    except OSError as error:
        raise explain(error, f"read {path}") from None
