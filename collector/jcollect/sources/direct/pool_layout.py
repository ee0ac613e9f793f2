"""Checks the header of a pool (direct_pool in layout/direct.toml): where its parts are, and that they fit."""

from __future__ import annotations

import errno
from typing import NamedTuple

from jcollect.layout.direct import (
    DIRECT_CHUNK_BYTES,
    DIRECT_CHUNK_SIZE,
    DIRECT_LARGE_CHUNK_BYTES,
    DIRECT_MAX_BYTES,
    DIRECT_POOL_SIZE,
    DIRECT_VERSION,
    DirectPool,
)

_WORD = 8


class PoolLayout(NamedTuple):
    """Numbers of chunks, offsets of the parts of a pool, and the end of the last one, in bytes."""

    small_chunks: int
    large_chunks: int
    headers: int
    queue: int
    data: int
    end: int

    @property
    def chunks(self) -> int:
        return self.small_chunks + self.large_chunks

    @property
    def data_bytes(self) -> int:
        return self.small_chunks * DIRECT_CHUNK_BYTES + self.large_chunks * DIRECT_LARGE_CHUNK_BYTES


def pool_layout(header: bytes, file_bytes: int) -> PoolLayout:
    """Returns the layout of a pool with this header, in a file of that size. Raises OSError (EBADMSG) if the
    parts do not fit into the file, or overlap."""
    if len(header) < DIRECT_POOL_SIZE:
        raise _malformed("it is too short")
    found = DirectPool.from_buffer_copy(header)
    if found.version != DIRECT_VERSION:
        raise _malformed(f"it has version {found.version}, and this jcollect reads {DIRECT_VERSION}")
    layout = PoolLayout(found.small_chunks, found.large_chunks, found.headers, found.queue, found.data, 0)
    if not 0 < layout.data_bytes <= DIRECT_MAX_BYTES:
        raise _malformed(f"its chunks have {layout.data_bytes:,} bytes")
    parts = sorted(
        (
            (0, DIRECT_POOL_SIZE),
            (layout.headers, layout.chunks * DIRECT_CHUNK_SIZE),
            (layout.queue, layout.chunks * _WORD),
            (layout.data, layout.data_bytes),
        )
    )
    ends = [start + size for start, size in parts]
    if any(end > start for end, (start, _) in zip(ends, parts[1:], strict=False)) or ends[-1] > file_bytes:
        raise _malformed("its parts overlap, or do not fit into it")
    if layout.headers % DIRECT_CHUNK_SIZE or layout.queue % _WORD or layout.data % DIRECT_CHUNK_SIZE:
        raise _malformed("its parts are not aligned")
    return layout._replace(end=ends[-1])


def _malformed(problem: str) -> OSError:
    return OSError(errno.EBADMSG, problem)
