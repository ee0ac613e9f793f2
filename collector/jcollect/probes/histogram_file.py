"""Reads the histograms of a process: a sealed memfd in which its agent counts calls (layout/direct.toml).

The memory is untrusted: sizes are checked before they are used, and the work for a reading is bounded. Only
pages with values are read. Reading a hole through a mapping would give the process memory.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from jcollect.exponential_histogram import ExponentialHistogram
from jcollect.layout.direct import (
    DIRECT_VERSION,
    HISTOGRAM_BUCKETS,
    HISTOGRAM_FILE_SIZE,
    HISTOGRAM_SCALE_FIRST_BUCKET,
    HISTOGRAM_SCALE_SCALE,
    HISTOGRAM_SIZE,
    HISTOGRAM_SUM,
    HISTOGRAM_ZERO,
    Histogram,
    HistogramFile,
)
from jcollect.procfs.apart import apart
from jcollect.procfs.process import Process
from jcollect.procfs.sealed import open_sealed

# Several times as many as agents use.
_MOST_HISTOGRAMS = 1 << 20
_MOST_STRIPES = 64
# Maximum size of the pages of one reading: those of 32,768 histograms in 8 stripes.
_MOST_BYTES = 1 << 30
# Number of histograms that are added up at a time.
_BLOCK = 256
_PAGE = 4096
# Beyond all offsets.
_NOWHERE = 1 << 62

_U64 = npt.NDArray[np.uint64]
_WORD = 8
_SUM, _ZERO = HISTOGRAM_SUM // _WORD, HISTOGRAM_ZERO // _WORD
_FIRST = HISTOGRAM_BUCKETS // _WORD
_AFTER = _FIRST + len(Histogram().buckets)


class Histograms:
    """The histograms of one process, which can be read also after it has exited, until `close`.

    `identity` distinguishes them from those that the agent creates after it has given these back. For one
    thread at a time.
    """

    def __init__(self, descriptor: int) -> None:
        """Takes over the descriptor of a sealed memfd. Raises OSError if it holds no histograms."""
        self._descriptor = descriptor
        about = os.fstat(descriptor)
        header = os.pread(descriptor, HISTOGRAM_FILE_SIZE, 0)
        if len(header) < HISTOGRAM_FILE_SIZE:
            raise _malformed("it is too short")
        found = HistogramFile.from_buffer_copy(header)
        if found.version != DIRECT_VERSION:
            raise _malformed(f"it has version {found.version}, and this jcollect reads {DIRECT_VERSION}")
        if not (0 < found.capacity <= _MOST_HISTOGRAMS and 0 < found.stripes <= _MOST_STRIPES):
            raise _malformed(f"it has {found.stripes:,} times {found.capacity:,} histograms")
        if found.data % _WORD or found.data < HISTOGRAM_FILE_SIZE:
            raise _malformed("its histograms overlap its header")
        if about.st_size < found.data + HISTOGRAM_SIZE * found.capacity * found.stripes:
            raise _malformed("its histograms do not fit into it")
        self._capacity = found.capacity
        self._stripes = found.stripes
        self._data = found.data
        self.identity = (about.st_dev, about.st_ino, found.began)

    @staticmethod
    def open(process: Process, number: int) -> Histograms:
        """Opens the histograms behind a descriptor of the process. Raises OSError."""
        (descriptor,) = apart(process, open_sealed, process.pid, number).descriptors
        try:
            return Histograms(descriptor)
        except BaseException:
            os.close(descriptor)
            raise

    def close(self) -> None:
        os.close(self._descriptor)

    def read(self, numbers: Iterable[int]) -> dict[int, ExponentialHistogram]:
        """Returns the current histograms with these numbers; not those without values.

        Calls that end during the reading may be in a histogram, and not yet in its sum of durations. Raises
        OSError.
        """
        wanted = sorted({number for number in numbers if 0 <= number < self._capacity})
        found: dict[int, ExponentialHistogram] = {}
        left = _MOST_BYTES
        for start in range(0, len(wanted), _BLOCK):
            words: dict[int, _U64] = {}
            for number, first, content in self._contents(wanted[start : start + _BLOCK]):
                left -= len(content)
                if left < 0:
                    raise OSError(errno.EFBIG, f"its histograms have more than {_MOST_BYTES:,} bytes")
                counts = words.setdefault(number, np.zeros(HISTOGRAM_SIZE // _WORD, np.uint64))
                # Modulo 2^64, as the sums of durations are.
                counts[first : first + len(content) // _WORD] += np.frombuffer(content, "<u8")
            found.update((number, _histogram(counts)) for number, counts in words.items() if counts.any())
        return found

    def _contents(self, wanted: Sequence[int]) -> Iterator[tuple[int, int, bytes]]:
        """Yields the parts of these histograms that have pages, in all stripes: the number of the histogram,
        the index of the part's first word, and the part. Raises OSError."""
        for stripe in range(self._stripes):
            start = self._data + HISTOGRAM_SIZE * self._capacity * stripe
            data = hole = start
            for number in wanted:
                at = start + HISTOGRAM_SIZE * number
                end = at + HISTOGRAM_SIZE
                first = at
                while at < end:
                    if at >= hole:
                        data = self._seek(at, os.SEEK_DATA)
                        # At least a page: the process may have made a hole of it by now.
                        hole = max(self._seek(data, os.SEEK_HOLE), data + _PAGE)
                    at = max(at, data)
                    stop = min(end, hole)
                    if at < stop:
                        content = os.pread(self._descriptor, stop - at, at)
                        if len(content) < stop - at:
                            raise _malformed("it has shrunk")
                        yield number, (at - first) // _WORD, content
                    at = max(at, stop)

    def _seek(self, offset: int, whence: int) -> int:
        """Returns the next offset with data, or without; _NOWHERE if there is none."""
        try:
            return os.lseek(self._descriptor, offset, whence)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            return _NOWHERE


def _histogram(words: _U64) -> ExponentialHistogram:
    return ExponentialHistogram.of(
        words[_FIRST:_AFTER],
        HISTOGRAM_SCALE_FIRST_BUCKET,
        int(words[_ZERO]),
        int(words[_SUM]),
        HISTOGRAM_SCALE_SCALE,
    )


def _malformed(problem: str) -> OSError:
    return OSError(errno.EBADMSG, problem)
