"""Stub libraries that were read lately, by their files: a process may map the same file again and again."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Collection

from jcollect.limits import MAX_REMEMBERED, MAX_REMEMBERED_WEIGHT
from jcollect.probes.stub_image import StubImage
from jcollect.procfs.mapped_answer import FileState

# Size in memory of a library that was rejected.
_REFUSAL_BYTES = 1 << 10

# A rejection is the text of its MalformedLibraryError.
Read = tuple[StubImage | str, bytes]


class KnownImages:
    """Caches what was read of files, or why it was rejected, with the digest of their content. For any
    thread.

    Keeps the most recently used ones, up to a weight and a number, and always the newest.
    """

    def __init__(self, most: int = MAX_REMEMBERED, most_weight: int = MAX_REMEMBERED_WEIGHT) -> None:
        self._most = most
        self._most_weight = most_weight
        self._lock = threading.Lock()
        self._known: OrderedDict[FileState, Read] = OrderedDict()
        self._weight = 0

    def of(self, inodes: Collection[int]) -> dict[FileState, Read]:
        """Returns the known files whose inode number is one of these."""
        with self._lock:
            return {state: read for state, read in self._known.items() if state.inode in inodes}

    def used(self, state: FileState, read: Read) -> None:
        """Records it as the most recently used."""
        with self._lock:
            self._forget(state)
            self._known[state] = read
            self._weight += _weight(read)
            while len(self._known) > 1 and (
                len(self._known) > self._most or self._weight > self._most_weight
            ):
                self._forget(next(iter(self._known)))

    def _forget(self, state: FileState) -> None:
        read = self._known.pop(state, None)
        if read is not None:
            self._weight -= _weight(read)


def _weight(read: Read) -> int:
    return read[0].weight if isinstance(read[0], StubImage) else _REFUSAL_BYTES
