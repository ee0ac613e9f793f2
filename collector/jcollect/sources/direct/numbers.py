"""Which probe ID a number in the records of one process stands for."""

from __future__ import annotations

import numpy as np

from jcollect.layout.drain import NUMBER_PAGE_MOST, NUMBER_PAGE_SIZE
from jcollect.sources.columns import U32

_PAGES = NUMBER_PAGE_MOST // NUMBER_PAGE_SIZE


class Numbers:
    """A table in pages, so that the numbers may be far apart. The drain reads `pages` and `ids`
    (pool_memory in layout/drain.toml); the caller's lock keeps it from doing so during a change.
    """

    def __init__(self) -> None:
        self.pages: U32 = np.zeros(_PAGES, np.uint32)
        # Page 0 stays empty.
        self.ids: U32 = np.zeros(NUMBER_PAGE_SIZE, np.uint32)

    def set(self, number: int, probe_id: int) -> None:
        """Lets a number stand for a probe ID. Raises ValueError if the number is too large."""
        index = self._index(number)
        self.ids[index] = probe_id + 1

    def remove(self, number: int, probe_id: int) -> None:
        """Lets a number stand for nothing, if it still stands for this ID."""
        index = self._index(number)
        if self.ids[index] == probe_id + 1:
            self.ids[index] = 0

    def _index(self, number: int) -> int:
        if not 0 <= number < NUMBER_PAGE_MOST:
            raise ValueError(f"the number {number:,} is too large")
        page, rest = divmod(number, NUMBER_PAGE_SIZE)
        if not self.pages[page]:
            used = len(self.ids) // NUMBER_PAGE_SIZE
            self.ids = np.concatenate([self.ids, np.zeros(NUMBER_PAGE_SIZE, np.uint32)])
            self.pages[page] = used
        return int(self.pages[page]) * NUMBER_PAGE_SIZE + rest
