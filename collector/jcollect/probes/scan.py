"""Scans one process for its stub libraries. host.py scans for processes."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

from jcollect.console import warn as warn_on_stderr
from jcollect.errors import JcollectError, copy_of
from jcollect.limits import MAX_LIBRARIES, MAX_WEIGHT
from jcollect.probes import scan_messages
from jcollect.probes.globs import names_matcher
from jcollect.probes.malformed import MalformedLibraryError
from jcollect.probes.probe import Probe, mounts_of, narrow, probes_of
from jcollect.probes.scan_messages import NothingYetError as NothingYetError
from jcollect.probes.stub_library import StubLibrary, read_stub_libraries, read_stub_mappings
from jcollect.procfs.jvm import is_jvm
from jcollect.procfs.maps import Mapping, MappingKey
from jcollect.procfs.process import Process
from jcollect.procfs.reasons import is_passing
from jprobe.v1 import manifest_pb2

# Descriptors for the process, the file while it is linked, and the link; and one for other threads.
_TO_ATTACH = 4
# An agent that starts with the program looks at its classes within half a second.
_YOUNG_SECONDS = 5.0
_FIRST_LOOK_SECONDS = 1.0
_POLL_SECONDS = 0.05


@dataclass(frozen=True)
class Scan:
    """The stub libraries that a process had mapped at one moment, including those without probes.

    `unreadable` identifies those that cannot be read. They were warned about.
    """

    process: Process
    libraries: tuple[StubLibrary, ...] = ()
    unreadable: frozenset[MappingKey] = frozenset()

    @cached_property
    def every(self) -> list[Probe]:
        """All probes that can fire, as `probes_of` returns them."""
        return probes_of(self.libraries)

    @cached_property
    def mounts(self) -> list[Probe]:
        """The probes of mounts of virtual threads, as `mounts_of` returns them."""
        return mounts_of(self.libraries)

    def probes(self, globs: Sequence[str]) -> list[Probe]:
        """Returns the probes that match the globs. Raises JcollectError if there are none."""
        # Only a glob that means them chooses those of mounts.
        every = self.every + narrow(self.mounts, globs)
        refusal = self.refusal
        if refusal:
            # The agent's remaining probes are retired.
            every = [probe for probe in every if not probe.is_agents]
        if refusal and not every:
            raise JcollectError(f"PID {self.process.pid} traces nothing: {refusal}")
        if not every:
            raise scan_messages.no_probes(self.process, self.libraries)
        found = narrow(every, globs)
        if not found:
            raise scan_messages.no_match(self.process, every, globs)
        return found

    @property
    def _newest(self) -> manifest_pb2.Manifest | None:
        """Returns what the agent states now. Retired probes of earlier libraries may still be there."""
        agents = [library.image.manifest for library in self.libraries if library.is_agents]
        return max(agents, key=lambda manifest: manifest.generation, default=None)

    @property
    def refusal(self) -> str:
        """The reason why the agent traces nothing at all; empty if there is none, or no agent."""
        return self._newest.refusal if self._newest else ""

    @property
    def selectors(self) -> tuple[str, ...]:
        """The agent's selectors that are in force now."""
        return tuple(self._newest.selectors) if self._newest else ()

    def untraceable(self, globs: Sequence[str]) -> list[manifest_pb2.Untraceable]:
        """Returns the methods and classes that are selected now and have no probes, as far as a glob matches
        their class or class#method."""
        matches = names_matcher(globs)
        in_force = set(self.selectors)
        # A class file may have been missing only for a time: the agent has read the class again since.
        traced = {(*probe.method_key, probe.selector) for probe in self.every}
        found = [
            one
            for library in self.libraries
            for one in library.image.manifest.untraceable
            for selector in (_selector_of(one, library.image.manifest.selectors),)
            if not selector or selector in in_force
            if (one.class_name, one.class_loader_id, one.method, one.method_descriptor, selector)
            not in traced
        ]
        found.sort(key=lambda one: (one.class_name, one.class_loader_id))
        return [
            one for one in found if matches((one.class_name, one.method, f"{one.class_name}#{one.method}"))
        ]


def _selector_of(one: manifest_pb2.Untraceable, selectors: Sequence[str]) -> str:
    """Returns the selector that matches it; empty if that is not known."""
    number = one.selector_number
    return selectors[number - 1] if 1 <= number <= len(selectors) else ""


def scan_traceable(process: Process, warn: Callable[[str], None] = warn_on_stderr) -> Scan:
    """Scans a process, and raises JcollectError if it has no stub libraries. In the first seconds of a
    program, waits for its agent's first look at the loaded classes."""
    found = scan(process, warn)
    deadline = time.monotonic() + _FIRST_LOOK_SECONDS
    while _may_be_starting(found) and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
        found = scan(process, warn)
    if found.libraries:
        return found
    if found.unreadable:
        raise scan_messages.nothing_readable(process)
    if process.is_exiting():
        raise process.exited()
    raise scan_messages.no_agent(process) if is_jvm(process) else scan_messages.no_jvm(process)


def _may_be_starting(found: Scan) -> bool:
    """Returns true if the process has started only now, and its agent may not have looked at its classes."""
    process = found.process
    try:
        seconds = time.clock_gettime(time.CLOCK_BOOTTIME) - process.start_time / os.sysconf("SC_CLK_TCK")
    except OSError:
        return False
    if seconds > _YOUNG_SECONDS or found.unreadable:
        return False
    if not found.libraries:
        return is_jvm(process)
    is_silent = not any(library.image.manifest.untraceable for library in found.libraries)
    return is_silent and bool(found.selectors) and not found.refusal and not found.every


def scan(process: Process, warn: Callable[[str], None]) -> Scan:
    """Scans a process. Raises JcollectError if it cannot be read."""
    try:
        return rescan(Scan(process), warn)
    except OSError as error:
        raise process.explain(error) from None


def rescan(before: Scan, warn: Callable[[str], None]) -> Scan:
    """Scans a process again, and reads only the libraries that the earlier scan has not read.

    Raises OSError if it has exited or cannot be read now, and TimeoutError if it does not answer.
    """
    process = before.process
    known = {library.key: library for library in before.libraries}
    mappings = read_stub_mappings(process)
    libraries = [known[mapping.key] for mapping in mappings if mapping.key in known]
    weight = sum(library.image.weight for library in libraries)
    unreadable = {mapping.key for mapping in mappings} & before.unreadable
    refused: dict[Mapping, str] = {}
    fresh: list[StubLibrary] = []
    new = [each for each in mappings if each.key not in known and each.key not in unreadable]
    if new:
        _check_descriptors_left()
    for number, (mapping, library) in enumerate(read_stub_libraries(process, new)):
        if len(libraries) >= MAX_LIBRARIES:
            refused.update(dict.fromkeys(new[number:], f"the process has {MAX_LIBRARIES:,} others"))
            break
        if isinstance(library, OSError):
            if is_passing(library):
                raise copy_of(library)
            refused[mapping] = library.strerror or "?"
        elif isinstance(library, MalformedLibraryError):
            refused[mapping] = str(library)
        elif weight + library.image.weight > MAX_WEIGHT:
            refused[mapping] = "with this library, the process has too many probes"
        else:
            weight += library.image.weight
            libraries.append(library)
            fresh.append(library)
    if refused:
        still_mapped = set(read_stub_mappings(process))
        refused = {mapping: reason for mapping, reason in refused.items() if mapping in still_mapped}
        unreadable.update(mapping.key for mapping in refused)
        scan_messages.report_refused(process, refused, warn)
    scan_messages.report_skipped(process, fresh, warn)
    libraries.sort(key=lambda library: library.key.start)
    return Scan(process, tuple(libraries), frozenset(unreadable))


def _check_descriptors_left() -> None:
    """Raises OSError if too few are left. Readers use their own, but attaching uses those of this process."""
    taken: list[int] = []
    try:
        while len(taken) < _TO_ATTACH:
            taken.append(os.open("/proc/self", os.O_PATH | os.O_CLOEXEC))
    finally:
        for each in taken:
            os.close(each)
