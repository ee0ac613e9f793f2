"""Counts the calls of the probes of one group, from readings of the histograms that the process counts in."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from jcollect.errors import JcollectError
from jcollect.exponential_histogram import NOTHING, ExponentialHistogram
from jcollect.probes.direct_site import DirectSink, direct_site
from jcollect.probes.live import Gates
from jcollect.probes.probe import TIMED_KINDS, Probe
from jcollect.session.credibility import Credibility
from jcollect.sources.base import Armed, Source

# Time for which calls are still counted after the last client has left.
LINGER_SECONDS = 3.0

Flags = npt.NDArray[np.bool_]


def is_countable(probe: Probe) -> bool:
    """Returns true if a process can count the calls that end at a probe, without events."""
    return probe.kind in TIMED_KINDS and direct_site(probe, DirectSink.COUNT) is not None


class GroupCounts:
    """The histograms of the probes of one binary, and the semaphores that ask for them.

    `counted` are the calls since the probes were first counted: each reading adds those since the one before.
    For one thread at a time, except `hold`, `release`, `end` and `counted`.
    """

    def __init__(
        self, probes: Sequence[Probe], source: Source, credibility: Credibility, is_lasting: bool
    ) -> None:
        """With `is_lasting`, all probes are counted for as long as they are armed, from `begin` on, and no
        semaphores are raised here."""
        self.gates = Gates(probes)
        self.counted: list[ExponentialHistogram] = [NOTHING] * len(probes)
        # The numbers of the histograms in the current file.
        self.numbers = np.full(len(probes), -1, np.int64)
        self._sites = [direct_site(probe, DirectSink.COUNT) for probe in probes]
        self._source = source
        self._credibility = credibility
        self._is_lasting = is_lasting
        self._last: list[ExponentialHistogram] = [NOTHING] * len(probes)
        self._is_raised = np.zeros(len(probes), np.bool_)
        self._links: list[Armed] = []
        self._lock = threading.Lock()
        self._wanted: dict[object, Flags] = {}
        self._kept_until = 0.0
        # Why the semaphores could not be raised; empty if they could.
        self.problem = ""
        self._is_counting = False
        self._has_ended = False

    def hold(self, client: object, wanted: Flags) -> None:
        """Has the calls of some probes counted from the next `follow` on, until `release`. For any thread."""
        with self._lock:
            self._wanted[client] = wanted

    def release(self, client: object) -> None:
        """Ends what `hold` began, after a few seconds. For any thread."""
        with self._lock:
            if self._wanted.pop(client, None) is not None:
                self._kept_until = time.monotonic() + LINGER_SECONDS

    def begin(self) -> None:
        """Counts from now on what was not counted at the last reading: the probes are armed. Others may have
        had them counted before."""
        if self._is_lasting:
            self._is_counting = True

    @property
    def is_counting(self) -> bool:
        """True if there may be something to read, and calls before that do not count."""
        return self._is_counting

    @property
    def needs_raising(self) -> bool:
        """True if `raise_wanted` has something to do."""
        return bool(self._missing().any())

    def raise_wanted(self) -> None:
        """Raises the semaphores of the probes that are wanted by now, or sets `problem`."""
        missing = self._missing()
        sites = [site for site, is_missing in zip(self._sites, missing, strict=True) if is_missing and site]
        if not sites:
            return
        link: Armed | None = None
        try:
            link = self._source.raise_semaphores(sites)
        except JcollectError as error:
            self.problem = error.message
            return
        self.problem = ""
        with self._lock:
            if not self._has_ended:
                self._links.append(link)
                self._is_counting = True
                self._is_raised |= missing
                link = None
        if link is not None:
            link.disarm()

    def lower_unwanted(self) -> None:
        """Lowers the semaphores if no client has wanted any for a few seconds."""
        with self._lock:
            if not self._links or self._wanted or time.monotonic() < self._kept_until:
                return
            self._is_counting = False
        self._lower()

    def end(self) -> None:
        """Lowers the semaphores permanently. For any thread."""
        with self._lock:
            self._has_ended = True
        self._lower()

    def accept(self, histograms: Sequence[ExponentialHistogram], is_first: bool = False) -> None:
        """Takes a reading of the histograms with `numbers`. With `is_first`, calls before it do not count.

        A process that has ever claimed impossible counts keeps those that were accepted last.
        """
        try:
            since = {
                i: now - before
                for i, (now, before) in enumerate(zip(histograms, self._last, strict=True))
                if now is not before and now != before
            }
        except ValueError:
            self._credibility.accepts(-1, 0)
            return
        calls = 0 if is_first else sum(each.count for each in since.values())
        if not self._credibility.accepts(float(calls), 0):
            return
        for i, more in since.items():
            self._last[i] = histograms[i]
            if more.count and not is_first:
                self.counted[i] += more

    @property
    def calls(self) -> npt.NDArray[np.uint64]:
        """Number of counted calls of each probe: the sum of its buckets."""
        return np.array([each.count for each in self.counted], np.uint64)

    def begin_file(self) -> None:
        """Begins with another file, in which no probe has a histogram yet."""
        self.numbers.fill(-1)
        self._last = [NOTHING] * len(self._last)

    def _missing(self) -> Flags:
        missing = np.zeros(len(self._sites), np.bool_)
        with self._lock:
            if not self._has_ended and not self._is_lasting:
                for wanted in self._wanted.values():
                    missing |= wanted
        return missing & ~self._is_raised

    def _lower(self) -> None:
        with self._lock:
            links, self._links = self._links, []
            self._is_raised = np.zeros(len(self._sites), np.bool_)
        for link in links:
            link.disarm()
