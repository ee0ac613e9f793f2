"""The pools that the drain reads, as one structure. The caller's lock protects it."""

from __future__ import annotations

import ctypes

import numpy as np

from jcollect.layout.drain import UNREAD_CHUNK_SIZE, Pools
from jcollect.sources.direct.numbers import Numbers
from jcollect.sources.direct.pool import Pool
from jcollect.sources.direct.recording import Recording
from jcollect.sources.records.library import load_library


class PoolSet:
    """Pools of any number of processes. `memory` is for the drain."""

    def __init__(self, recording: Recording | None = None) -> None:
        """With a flight recorder, the pools are read only once it is triggered."""
        self._pools: list[Pool] = []
        self._ending: list[Pool] = []
        self._recording = recording
        self._gaps = 0
        self._foreign = 0
        self._overwritten = 0
        self._rebuild()

    @property
    def gaps(self) -> int:
        return self._gaps + sum(pool.gaps for pool in self._pools)

    @property
    def foreign(self) -> int:
        return self._foreign + sum(pool.memory.foreign for pool in self._pools)

    @property
    def overwritten(self) -> int:
        """Events that a flight recorder did not keep."""
        return self._overwritten + sum(pool.overwritten for pool in self._pools)

    @property
    def data_bytes(self) -> int:
        return sum(pool.data_bytes for pool in self._pools)

    @property
    def is_quiet(self) -> bool:
        """True if a drain would find nothing, and there is nothing to `tidy`."""
        return not self._ending and load_library().are_quiet(self.memory)

    def add(self, pool: Pool) -> None:
        if self._recording is not None:
            self._recording.begin(pool)
        self._pools.append(pool)
        self._rebuild()

    def update(self, numbers: Numbers) -> None:
        """Passes changed numbers to the drain, for all pools that have them."""
        for pool in self._pools:
            if pool.numbers is numbers:
                pool.update()

    def end(self, pool: Pool) -> None:
        """Closes a pool to which nothing is written any more, once it has been read to the end."""
        if pool in self._pools and pool not in self._ending:
            # Until the next scan.
            pool.memory.found = 1
            self._ending.append(pool)
            if self._recording is not None:
                self._recording.end(pool)

    def keep(self, pool: Pool) -> bool:
        """Takes back `end`; returns false if the pool is closed already."""
        self._ending = [each for each in self._ending if each is not pool]
        if self._recording is not None and pool in self._pools:
            self._recording.keep(pool)
        return pool in self._pools

    def tidy(self) -> None:
        """Does what is due after a drain."""
        for pool in self._pools:
            if pool.memory.lacked_tid:
                pool.find_threads()
        if self._ending and not self.memory.unread:
            for pool in [each for each in self._ending if not each.memory.found]:
                self._remove(pool)

    def _remove(self, pool: Pool) -> None:
        self._gaps += pool.gaps
        self._foreign += pool.memory.foreign
        self._overwritten += pool.overwritten
        self._ending.remove(pool)
        self._pools.remove(pool)
        self._rebuild()
        pool.close()

    def _rebuild(self) -> None:
        addresses = [ctypes.addressof(pool.memory) for pool in self._pools]
        chunks = sum(pool.memory.chunks for pool in self._pools)
        self._addresses = np.array(addresses, np.uint64)
        for pool in self._pools:
            pool.forget_unread()
        # At least one element: the drain copies the first one even if there is none.
        self._heap = np.zeros((chunks + 1) * UNREAD_CHUNK_SIZE, np.uint8)
        # Nothing is unread in a new heap: the next drain scans the pools.
        self.memory = Pools(
            pool=self._addresses.ctypes.data, heap=self._heap.ctypes.data, count=len(self._pools), unread=0
        )

    def close(self) -> None:
        pools, self._pools, self._ending = self._pools, [], []
        self._gaps += sum(pool.gaps for pool in pools)
        self._foreign += sum(pool.memory.foreign for pool in pools)
        self._overwritten += sum(pool.overwritten for pool in pools)
        self._rebuild()
        for pool in pools:
            pool.close()
