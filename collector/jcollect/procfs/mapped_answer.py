"""The answers of mapped.py: what they hold about a mapped file, and how they are encoded."""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Iterator
from typing import NamedTuple

_STATE = struct.Struct("<QQQqq")
_DIGEST_BYTES = 32
# errno, user, bytes of the path or of what went wrong, bytes of content, state, digest
_HEAD = struct.Struct(f"<iIIq{_STATE.size}s{_DIGEST_BYTES}s")
_NO_CONTENT = -1


class FileState(NamedTuple):
    """Distinguishes a file from every other, and most of its contents from one another. Times in ns."""

    device: int
    inode: int
    size: int
    modified: int
    changed: int

    @classmethod
    def of(cls, about: os.stat_result) -> FileState:
        return cls(about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns, about.st_ctime_ns)

    @classmethod
    def unpacked(cls, content: bytes) -> FileState:
        return cls(*_STATE.unpack(content))

    def packed(self) -> bytes:
        return _STATE.pack(*self)

    @property
    def content(self) -> tuple[int, ...]:
        """All but the ctime, which unlinking and renaming change as well."""
        return self[:-1]


class MappedFile(NamedTuple):
    """`path` leads to it from here, and `uid` is its owner. For a file that the caller already knows,
    `content` is None and `digest` empty."""

    path: str
    state: FileState
    uid: int
    digest: bytes
    content: bytes | None


def digest_of(content: bytes) -> bytes:
    import hashlib

    return hashlib.sha256(content).digest()


def encode(file: MappedFile | OSError) -> bytes:
    if isinstance(file, OSError):
        text = (file.strerror or "?").encode(errors="replace")
        return _HEAD.pack(file.errno or errno.EIO, 0, len(text), 0, b"", b"") + text
    path = os.fsencode(file.path)
    size = _NO_CONTENT if file.content is None else len(file.content)
    head = _HEAD.pack(0, file.uid, len(path), size, file.state.packed(), file.digest)
    return head + path + (file.content or b"")


def decode(answer: bytes) -> Iterator[MappedFile | OSError]:
    """Yields each file of an answer, or the error if it could not be read."""
    at = 0
    while at < len(answer):
        number, uid, words, size, state, digest = _HEAD.unpack_from(answer, at)
        at += _HEAD.size
        text = answer[at : at + words]
        at += words
        if number:
            yield OSError(number, text.decode(errors="replace"))
            continue
        content = None if size == _NO_CONTENT else answer[at : at + size]
        at += max(size, 0)
        yield MappedFile(os.fsdecode(text), FileState.unpacked(state), uid, digest, content)
