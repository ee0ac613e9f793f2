"""The frames of a recording: a file is a head, and frames with a length, a type and a checksum.

A frame is appended by one write. Whatever ends the recorder, all frames but the last one are complete. The
contents of frames are in recordings/batches.py, and are messages of the protocol.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Container, Iterator
from enum import IntEnum
from functools import cache
from typing import Any, BinaryIO, NamedTuple

from jcollect.errors import JcollectError

# The first byte is not ASCII, and the line ends differ: a transfer as text destroys them visibly.
MAGIC = b"\x89JPREC\r\n"
VERSION = 1
_HEAD = struct.Struct("<8sII")
HEAD = _HEAD.pack(MAGIC, VERSION, 0)
# Size of the payload, type, flags, zero, and the checksum of these and the payload.
_FRAME = struct.Struct("<IBBHI")
_COMPRESSED = 1
# Maximum size of a payload, and of what it is after decompression.
MOST_PAYLOAD_BYTES = 16 << 20
MOST_CONTENT_BYTES = 32 << 20
# Level 1 compresses a core's worth of events at 300 MB/s; level 3 makes files 4% smaller for twice the time.
_LEVEL = 1
# Smaller messages do not become smaller.
_LEAST_COMPRESSED = 128


class FrameType(IntEnum):
    """The content of a frame. Readers skip types that they do not know."""

    # RecordingHeader.
    HEADER = 1
    # SubscribeResponse with a schema, a loss, a throttling, or what later versions add.
    MESSAGE = 2
    # Events: recordings/batches.py.
    EVENTS = 3
    # GetStatusResponse: hit counts. A later one replaces those before, unless they have has_more.
    STATUS = 4
    # RecordingEnd.
    END = 5


class Frame(NamedTuple):
    """One frame, and the offsets in the file at which it begins and ends."""

    type: int
    content: bytes
    start: int
    end: int


class NotARecordingError(JcollectError):
    """A file is no recording, or one of a later version."""


@cache
def import_zstandard() -> Any:
    """Returns the module. Raises JcollectError if it is not installed."""
    try:
        import zstandard
    except ImportError as error:
        raise JcollectError(
            f"cannot use recordings: zstandard cannot be imported ({error}); run pip install zstandard"
        ) from None
    return zstandard


class FrameEncoder:
    """Encodes frames. For one thread at a time."""

    def __init__(self) -> None:
        """Raises JcollectError without zstandard."""
        self._compressor = import_zstandard().ZstdCompressor(level=_LEVEL)

    def encode(self, frame_type: FrameType, content: bytes) -> bytes:
        """Returns the bytes of a frame."""
        flags = 0
        if len(content) >= _LEAST_COMPRESSED:
            content, flags = self._compressor.compress(content), _COMPRESSED
        head = _FRAME.pack(len(content), frame_type, flags, 0, 0)[:8]
        return head + struct.pack("<I", zlib.crc32(content, zlib.crc32(head))) + content


class FrameReader:
    """Reads frames up to the first one that is not complete. `problem` then states what is wrong with it;
    empty at the end of the file. For one pass."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        """Raises NotARecordingError."""
        self._file = file
        self._name = name
        self._zstandard = import_zstandard()
        self._decompressor = self._zstandard.ZstdDecompressor(max_window_size=MOST_CONTENT_BYTES)
        self.problem = ""
        self.at = len(HEAD)
        head = file.read(len(HEAD))
        if head[: len(MAGIC)] != MAGIC or len(head) < len(HEAD):
            raise NotARecordingError(f"cannot read {name}: it is not a recording of jcollect record")
        _, version, _ = _HEAD.unpack(head)
        if version != VERSION:
            raise NotARecordingError(
                f"cannot read {name}: it has version {version} of the format, and this jcollect reads "
                f"version {VERSION}; use the jcollect that has recorded it"
            )

    def frames(self, skipped: Container[int] = ()) -> Iterator[Frame]:
        """Yields the frames that are complete; those of `skipped` types without their content. Raises
        OSError."""
        while True:
            head = self._file.read(_FRAME.size)
            if not head:
                return
            frame = self._frame(head, skipped)
            if frame is None:
                return
            self.at = frame.end
            yield frame

    def frame_at(self, start: int) -> Frame | None:
        """Returns the frame that begins at an offset; None if it is not complete. Raises OSError."""
        self.at = start
        self._file.seek(start)
        return self._frame(self._file.read(_FRAME.size), ())

    def _frame(self, head: bytes, skipped: Container[int]) -> Frame | None:
        if len(head) < _FRAME.size:
            self._torn()
            return None
        size, frame_type, flags, zero, checksum = _FRAME.unpack(head)
        if size > MOST_PAYLOAD_BYTES or flags & ~_COMPRESSED or zero:
            self._damaged("it has no valid head")
            return None
        payload = self._file.read(size)
        if len(payload) < size:
            self._torn()
            return None
        if zlib.crc32(payload, zlib.crc32(head[:8])) != checksum:
            self._damaged("its checksum is wrong")
            return None
        end = self.at + _FRAME.size + size
        if frame_type in skipped:
            return Frame(frame_type, b"", self.at, end)
        if flags & _COMPRESSED:
            content = self._decompressed(payload)
            if content is None:
                self._damaged("it cannot be decompressed")
                return None
            payload = content
        return Frame(frame_type, payload, self.at, end)

    def _decompressed(self, payload: bytes) -> bytes | None:
        """Returns the content of a payload; None if it is malformed, or too large. The size is checked before
        memory is allocated for it."""
        try:
            size = self._zstandard.frame_content_size(payload)
            if not 0 <= size <= MOST_CONTENT_BYTES:
                return None
            content: bytes = self._decompressor.decompress(payload, max_output_size=MOST_CONTENT_BYTES)
        except self._zstandard.ZstdError:
            return None
        return content if len(content) == size else None

    def _torn(self) -> None:
        self.problem = (
            f"{self._name} ends in the middle of a frame, at byte {self.at:,}: its recorder was killed, or "
            "still runs; everything before is complete"
        )

    def _damaged(self, what: str) -> None:
        self.problem = (
            f"{self._name} is damaged: the frame at byte {self.at:,} cannot be read, because {what}; "
            "everything before is complete, and what follows is left out"
        )
