"""Writes histograms as an agent does, to a sealed memfd of this process, for tests."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Mapping

from jcollect.exponential_histogram import ExponentialHistogram
from jcollect.layout.direct import (
    DIRECT_VERSION,
    HISTOGRAM_BUCKETS,
    HISTOGRAM_SCALE_FIRST_BUCKET,
    HISTOGRAM_SIZE,
    HISTOGRAM_SUM,
    HISTOGRAM_ZERO,
    HistogramFile,
)
from reference_histogram import bucket_of

DATA = 4096
SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
_WORD = 8


class HistogramImage:
    """A file of histograms. `descriptor` is its number in this process, until `close`."""

    def __init__(
        self,
        capacity: int = 64,
        stripes: int = 2,
        seals: int = SEALS,
        size: int | None = None,
        header: Mapping[str, int] | None = None,
    ) -> None:
        """`header` replaces words of the header; `size` is that of the file."""
        self.capacity = capacity
        self.descriptor = os.memfd_create("jprobe-histograms", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        whole = DATA + HISTOGRAM_SIZE * capacity * stripes
        os.ftruncate(self.descriptor, whole if size is None else size)
        words = {
            "version": DIRECT_VERSION,
            "capacity": capacity,
            "stripes": stripes,
            "data": DATA,
            "began": 1,
        }
        os.pwrite(self.descriptor, bytes(HistogramFile(**{**words, **(header or {})})), 0)
        if seals:
            fcntl.fcntl(self.descriptor, fcntl.F_ADD_SEALS, seals)

    def count(self, number: int, duration: int, calls: int = 1, stripe: int = 0) -> None:
        """Counts calls of one duration in ns."""
        self._add(number, stripe, HISTOGRAM_SUM, duration * calls)
        word = HISTOGRAM_ZERO
        if duration:
            word = HISTOGRAM_BUCKETS + _WORD * (bucket_of(duration) - HISTOGRAM_SCALE_FIRST_BUCKET)
        self._add(number, stripe, word, calls)

    def write(self, number: int, histogram: ExponentialHistogram) -> None:
        """Replaces a histogram."""
        words = [histogram.total, histogram.zero, *[0] * (HISTOGRAM_SIZE // _WORD - 2)]
        for bucket, count in histogram.buckets():
            words[HISTOGRAM_BUCKETS // _WORD + bucket - HISTOGRAM_SCALE_FIRST_BUCKET] = count
        content = b"".join(word.to_bytes(_WORD, "little") for word in words)
        os.pwrite(self.descriptor, content, self._offset(number, 0))

    def pages(self) -> int:
        """Returns the number of pages that the file uses."""
        return os.fstat(self.descriptor).st_blocks * 512 // 4096

    def close(self) -> None:
        os.close(self.descriptor)

    def _offset(self, number: int, stripe: int) -> int:
        return DATA + HISTOGRAM_SIZE * (stripe * self.capacity + number)

    def _add(self, number: int, stripe: int, word: int, amount: int) -> None:
        at = self._offset(number, stripe) + word
        before = int.from_bytes(os.pread(self.descriptor, _WORD, at), "little")
        os.pwrite(self.descriptor, ((before + amount) % (1 << 64)).to_bytes(_WORD, "little"), at)
