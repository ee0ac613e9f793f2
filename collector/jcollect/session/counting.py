"""Reads the histograms in which one process counts calls, for all of its probes together."""

from __future__ import annotations

from collections.abc import Sequence

from jcollect.probes.sections import all_of, read_sections
from jcollect.probes.stub_library import mapped_keys
from jcollect.procfs.process import Process
from jcollect.session.group_counts import GroupCounts
from jcollect.session.histogram_memory import HistogramMemory
from jcollect.session.probe_group import ProbeGroup


class Counting:
    """Keeps the counts of the groups of one process up to date. For one thread at a time."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._memory = HistogramMemory(process)

    def update(self, groups: Sequence[ProbeGroup], descriptor: int | None) -> None:
        """Reads the histograms of all groups of the process, raises the semaphores that are wanted by now,
        and lowers those that no client wants any more. `descriptor` is the number of the process's file of
        histograms."""
        for group in groups:
            group.calls.lower_unwanted()
        counting = [each for each in groups if each.calls.is_counting]
        fresh = [each for each in groups if not each.calls.is_counting and each.calls.needs_raising]
        self.read(groups, counting, descriptor)
        self.read(groups, fresh, descriptor, is_first=True)
        for group in groups:
            group.calls.raise_wanted()

    def read(
        self,
        groups: Sequence[ProbeGroup],
        wanted: Sequence[ProbeGroup],
        descriptor: int | None,
        is_first: bool = False,
    ) -> None:
        """Reads the histograms of the wanted groups, among all `groups` of the process."""
        every = [each.calls for each in groups]
        if not wanted or not self._memory.follow(descriptor, lambda: self._change_file(every)):
            return
        self._find_numbers(wanted, descriptor)
        self._accept([each.calls for each in wanted], is_first)

    def close(self) -> None:
        """Closes the file. What was counted stays."""
        self._memory.close()

    def _find_numbers(self, groups: Sequence[ProbeGroup], descriptor: int | None) -> None:
        """Learns which histograms the probes have got since the last reading."""
        found = []
        for group in groups:
            if (group.calls.numbers >= 0).all():
                continue
            gates = group.calls.gates
            try:
                numbers = gates.histograms(gates.words(all_of(read_sections(gates.sections))))
            except OSError:
                continue  # The process has exited, or the binary is unmapped.
            if ((numbers >= 0) & (group.calls.numbers < 0)).any():
                found.append((group, numbers))
        if not found or not self._memory.is_current(descriptor):
            return
        try:
            mapped = mapped_keys(self._process)
        except OSError:
            return
        for group, numbers in found:
            # Otherwise the memory could be that of a binary that was mapped there since.
            if group.binary.key in mapped:
                is_new = group.calls.numbers < 0
                group.calls.numbers[is_new] = numbers[is_new]

    def _change_file(self, every: Sequence[GroupCounts]) -> None:
        self._accept(every)
        for counts in every:
            counts.begin_file()

    def _accept(self, every: Sequence[GroupCounts], is_first: bool = False) -> None:
        for counts in every:
            histograms = self._memory.read(counts.numbers)
            if histograms is not None:
                counts.accept(histograms, is_first)
