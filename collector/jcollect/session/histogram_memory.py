"""The memory in which one process counts calls at present."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from jcollect.exponential_histogram import NOTHING, ExponentialHistogram
from jcollect.probes.histogram_file import Histograms
from jcollect.procfs.process import Process

Numbers = npt.NDArray[np.int64]


class HistogramMemory:
    """Holds the file that the agent counts in, also after the process has exited.

    The agent gives each probe a histogram of its own, and never another one in the same file. It gives the
    file back when no collector counts any more, and creates another one later. For one thread at a time.
    """

    def __init__(self, process: Process) -> None:
        self._process = process
        self._file: Histograms | None = None
        self._is_closed = False

    def follow(self, number: int | None, on_change: Callable[[], None]) -> bool:
        """Finds the file behind a descriptor of the process: the current one. If it is not the one before,
        calls `on_change` while that can still be read. Returns false if no file is held."""
        found = self._opened(number)
        if found is not None and self._file is not None and found.identity == self._file.identity:
            found.close()
        elif found is not None:
            if self._file is not None:
                on_change()
                self._file.close()
            self._file = found
        return self._file is not None

    def is_current(self, number: int | None) -> bool:
        """Returns true if the file is still the one that is behind the descriptor."""
        found = self._opened(number)
        if found is None:
            return False
        found.close()
        return self._file is not None and found.identity == self._file.identity

    def read(self, numbers: Numbers) -> Sequence[ExponentialHistogram] | None:
        """Returns the current histograms with these numbers; negative numbers stand for none. None if they
        cannot be read."""
        if self._file is None:
            return None
        try:
            found = self._file.read(numbers.tolist())
        except OSError:
            return None
        return [found.get(number, NOTHING) for number in numbers.tolist()]

    def close(self) -> None:
        """Closes the file, for good."""
        self._is_closed = True
        if self._file is not None:
            self._file.close()
            self._file = None

    def _opened(self, number: int | None) -> Histograms | None:
        if number is not None and not self._is_closed:
            # The agent may have closed it by now, and the process may claim anything.
            with contextlib.suppress(OSError):
                return Histograms.open(self._process, number)
        return None
