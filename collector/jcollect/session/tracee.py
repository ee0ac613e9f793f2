"""One process of a session: its traced probes, and what its memory reports about them."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from jcollect.errors import JcollectError, lacks_files
from jcollect.hub.accounts import Accounts, Share
from jcollect.layout.gate import SINKS_COUNT, SINKS_EVENT, SINKS_TRAP
from jcollect.probes.live import LiveProbe, not_retired
from jcollect.probes.overhead import Overhead
from jcollect.probes.probe import MARK, Probe, Wanted, mounts_of, probes_of
from jcollect.probes.scan import Scan, rescan
from jcollect.probes.stub_library import mapped_keys
from jcollect.procfs.maps import MappingKey, read_maps
from jcollect.procfs.reasons import is_passing
from jcollect.session.cost import Cost
from jcollect.session.counting import Counting
from jcollect.session.credibility import Credibility
from jcollect.session.group_counts import is_countable
from jcollect.session.probe_group import ProbeGroup, Report, read_all
from jcollect.sources.base import Source, TakenError, UnusableError
from jcollect.workers import run_in_parallel

# Maximum number of binaries to detach from at once. The kernel waits about 20 ms for each link that it
# destroys, and the waits can overlap. Detaching from 300 libraries takes 9 s in one thread, and 1 s in 16.
_MOST_DETACHING = 16


@dataclass(frozen=True)
class Addition:
    """The result of a process scan: probes now armed, again or for the first time, and probes for which no ID
    was left.

    `problems` are sentences about what could not be armed.
    """

    probes: Sequence[Probe] = ()
    left_out: Sequence[Probe] = ()
    problems: Sequence[str] = ()


class Registry(Protocol):
    """Assigns IDs to probes, and makes them known to sources and subscribers: the session."""

    def register(self, probes: Sequence[Probe], tracee: Tracee) -> list[ProbeGroup]:
        """Returns the probes with IDs, by binary; only the first ones if there are not enough IDs."""

    def retire(self, group: ProbeGroup, tracee: Tracee) -> None:
        """Retires probes whose binary is unmapped permanently."""

    def scanned(self, tracee: Tracee) -> None:
        """Takes note of a process's latest scan."""

    def armed(self, tracee: Tracee) -> None:
        """Takes note that the first probes of a process are attached to."""

    def throttle(self, began: Sequence[int], ended: Sequence[int]) -> None:
        """Notifies subscribers that probes with these IDs no longer fire for now, or fire again."""


class Tracee:
    """Traces one process. The order of calls: construct, `register`, `attach`, `follow` repeatedly, `leave`.

    For one thread at a time, except the methods that say otherwise. The process can delay a caller for as
    long as a read may take. Nothing of the session is locked during that time.
    """

    def __init__(
        self,
        scan: Scan,
        wanted: Wanted,
        name: str,
        registry: Registry,
        source: Source,
        accounts: Accounts,
        max_overhead: int | None = None,
        others: Sequence[Probe] = (),
        only_counts: bool = False,
        preferred: Sequence[Source] = (),
        may_fall_back: bool = True,
    ) -> None:
        """`name` is the main class or the command; `max_overhead` is the limit to request from its agent, in
        percent of a core. `others` are probes to trace that are in no stub library. `source` arms the
        probes, except those for which one of the `preferred` sources is better. If that one cannot be used
        here, `source` arms them as well, if it `may_fall_back`. With `only_counts`, the process counts calls
        in histograms, and no other probes than those that can are wanted."""
        self.process = scan.process
        self.pid = scan.process.pid
        self.name = name
        self.owner = scan.process.owner
        self.scan = scan  # The latest one.
        self.source = source
        self.only_counts = only_counts
        self.why_not_preferred = ""  # A clause: why a preferred source was not used.
        self._preferred = () if only_counts else preferred
        self._may_fall_back = may_fall_back
        self._wanted = (lambda probe: is_countable(probe) and wanted(probe)) if only_counts else wanted
        self._registry = registry
        self._accounts = accounts
        self._groups: list[ProbeGroup] = []
        self._others = others
        self._retired: list[Probe] = []  # Wanted, and without IDs. They may be selected again.
        self.share = Share()
        self.credibility = Credibility()
        self._has_ended = False
        self.cost = Cost(scan, source, max_overhead)
        # Keeps IDs from being released while calls are counted: the counts would go to other probes.
        self._lock = threading.RLock()
        self._counting = Counting(scan.process)
        self._first = Addition()
        self._reconsiders = False

    def source_of(self, probes: Sequence[Probe]) -> Source:
        """Returns the source that arms these probes of one binary."""
        # Others have no agent to cooperate with.
        for source in self._preferred if self.cost.is_guarded else ():
            if all(source.is_preferred_for(probe) for probe in probes):
                return source
        return self.source

    def sinks_of(self, probes: Sequence[Probe]) -> list[int]:
        """Returns the sink that the agent turns on for each of the probes, after which its calls arrive; 0
        for those that need none."""
        if not self.cost.is_guarded:
            return [0] * len(probes)
        other = SINKS_COUNT if self.only_counts else SINKS_TRAP
        sinks = {id(each.binary): SINKS_EVENT if each.is_direct else other for each in self.groups}
        return [
            sinks.get(id(probe.site.binary), other) if probe.is_agents and probe.kind != MARK else 0
            for probe in probes
        ]

    @property
    def has_pauses(self) -> bool:
        """True if the probes of the JVM's safepoints are traced."""
        return any(probe.provider == "hs_private" for probe in self._others)

    def register(self) -> None:
        """Assigns IDs to the wanted probes. Called before a client can subscribe, so that globs have probes
        to match."""
        with self._lock:
            self._first = self._register([*self.scan.every, *self.scan.mounts, *self._others])

    def attach(self) -> Addition:
        """Arms all probes that are wanted and not retired. Raises JcollectError if one cannot be armed."""
        with self._lock:
            self.cost.follow(self.scan)
            self._tell_sources()
            for problem in self._arm(self._groups):
                raise JcollectError(problem)
            self._registry.armed(self)
            return self._first

    def reconsider(self) -> None:
        """Has the next scan consider probes again that were not wanted. For any thread."""
        self._reconsiders = True

    def follow(self, warn: Callable[[str], None], is_waited_for: bool = False) -> Addition:
        """Scans the process again: arms new probes, and detaches from unmapped or retired ones.

        If a class of the program waits for that, does not read the suppressed calls of all other probes.
        Raises OSError and JcollectError if too many files are open, after which it can be called again.
        """
        with self._lock:
            return Addition() if self._has_ended else self._follow(warn, is_waited_for)

    def _follow(self, warn: Callable[[str], None], is_waited_for: bool) -> Addition:
        if not is_waited_for:
            self._count_calls()
        armed = [] if is_waited_for else self._armed()
        known = {library.key for library in self.scan.libraries}
        reports = read_all(armed)
        try:
            self.scan = rescan(self.scan, warn)
            keys = {library.key for library in self.scan.libraries} | self._other_keys()
        except OSError as error:
            if lacks_files(error):
                raise
            return Addition()  # The process has exited. What was known of it stays.
        self.cost.follow(self.scan)
        self._tell_sources()
        self._count(armed, reports, keys)
        unmapped = [each for each in self._groups if each.binary.key not in keys]
        retired = [each for each in self._armed() if each.is_retired]
        _at_once(ProbeGroup.disarm, unmapped + retired)
        if unmapped and self.is_counting:
            self._read_calls()
        self._groups = [each for each in self._groups if each.binary.key in keys]
        for each in unmapped:
            self._registry.retire(each, self)
        selected = self._selected_again()
        registered = len(self._groups)
        fresh = [library for library in self.scan.libraries if library.key not in known]
        addition = self._register(
            self._rejected() if self._reconsiders else [*probes_of(fresh), *mounts_of(fresh)]
        )
        problems = self._arm(selected + self._groups[registered:])
        again = not_retired([probe for each in selected for probe in each.probes])
        return Addition([*again, *addition.probes], addition.left_out, problems)

    def count(self) -> None:
        """Counts the calls that the process has counted by now, and has it count those of the probes that are
        wanted by now. For any thread."""
        with self._lock:
            self._count_calls()
            # Also how long it was throttled: calls within that time are not counted.
            if self.is_counting:
                self._read(self._armed())

    def check_can_count(self) -> None:
        """Raises JcollectError if the agent has no memory to count calls in, although they are wanted."""
        overhead = self.overhead()
        if overhead is not None and overhead.histograms is None:
            raise JcollectError(
                f"cannot count the calls of PID {self.pid}: its agent has created no memory for histograms; "
                "the program's stderr says why"
            )

    def refresh(self) -> None:
        """Counts the calls that the process has suppressed by now, and updates the state of its probes. For
        any thread."""
        with self._lock:
            self._read(self._armed())
            self._read_calls()
            groups = self.groups
            found = [each.refresh() for each in groups]
            keys = self._mapped_keys()
            for each, is_found in zip(groups, found, strict=True):
                if not is_found or (keys is not None and each.binary.key not in keys):
                    each.forget()

    def disarm(self) -> Sequence[ProbeGroup]:
        """Disarms all probes permanently, without reading the process. Returns the groups that were armed,
        for `count_suppressed`. For any thread."""
        armed = self._armed()
        self._has_ended = True
        _at_once(ProbeGroup.end, self.groups)
        self.cost.end()
        return armed

    def count_suppressed(self, groups: Sequence[ProbeGroup]) -> None:
        """Counts the calls that the process has suppressed at groups that are disarmed. For any thread."""
        with self._lock:
            self._read(groups)
            self._read_calls()
            self._counting.close()

    def leave(self) -> None:
        """Detaches from a process that has exited, or that is not wanted any more."""
        self.count_suppressed(self.disarm())
        with self._lock:
            groups, self._groups = self._groups, []
            for each in groups:
                self._registry.retire(each, self)

    def overhead(self) -> Overhead | None:
        """Returns the current cost of the probes, as Cost.read does."""
        with self._lock:
            return self.cost.read()

    @property
    def is_counting(self) -> bool:
        """True if the process may count calls for this session."""
        return any(each.calls.is_counting for each in self.groups)

    def throttled(self) -> dict[int, Probe]:
        """Returns the probes that were throttled at the last scan, by ID."""
        return {
            number: probe
            for each in self._armed()
            for number, probe, is_throttled in zip(
                each.ids.tolist(), each.probes, each.throttled.tolist(), strict=True
            )
            if is_throttled
        }

    @property
    def groups(self) -> list[ProbeGroup]:
        """The probes with IDs by binary, armed or not, of those that are mapped."""
        return list(self._groups)

    def live(self) -> list[tuple[ProbeGroup, list[LiveProbe]]]:
        """Returns each group with its probes as the last `refresh` found them. For any thread."""
        return [(each, each.known) for each in self.groups]

    def _armed(self) -> list[ProbeGroup]:
        return [each for each in self._groups if each.is_armed]

    def _read(self, armed: Sequence[ProbeGroup]) -> None:
        """Counts the calls that were suppressed at armed probes."""
        if armed:
            self._count(armed, read_all(armed), self._mapped_keys())

    def _count_calls(self) -> None:
        """Reads what the process has counted, and adapts to what is wanted."""
        if self._has_ended:
            self._read_calls()
            return
        if not any(each.calls.is_counting or each.calls.needs_raising for each in self._groups):
            return
        overhead = self.cost.read()
        self._counting.update(self._groups, None if overhead is None else overhead.histograms)
        self._account_for_calls()

    def _read_calls(self, is_first: bool = False, groups: Sequence[ProbeGroup] | None = None) -> None:
        """Reads what the process has counted in groups, by default in all that are counted. With `is_first`,
        it does not count."""
        overhead = self.cost.read()
        counted = [each for each in self._groups if each.calls.is_counting] if groups is None else groups
        descriptor = None if overhead is None else overhead.histograms
        self._counting.read(self._groups, counted, descriptor, is_first)
        self._account_for_calls()

    def _account_for_calls(self) -> None:
        if self.only_counts:
            for each in self._groups:
                self._accounts.count_calls(each.ids, each.calls.calls)

    def _mapped_keys(self) -> set[MappingKey] | None:
        """Returns the keys of the mapped binaries with probes: none if the process has exited, None if it
        does not answer in time."""
        try:
            return mapped_keys(self.process) | self._other_keys()
        except OSError as error:
            return None if is_passing(error) else set()

    def _other_keys(self) -> set[MappingKey]:
        """Returns the keys of the mapped binaries that are no stub libraries. Raises OSError."""
        paths = {os.fsencode(probe.site.binary.key.path) for probe in self._others}
        return {mapping.key for mapping in read_maps(self.process, *paths)} if paths else set()

    def _count(
        self, armed: Sequence[ProbeGroup], reports: Sequence[Report | None], keys: set[MappingKey] | None
    ) -> None:
        """Adds reports to the hit counts. `keys` were read after them: otherwise a report could be of
        something that was mapped at the address of the binary since."""
        for each, report in zip(armed, reports, strict=True):
            if report is not None and keys is not None and each.binary.key in keys:
                before = each.throttled
                each.accept(report)
                self._accounts.suppress(each.ids, each.suppressed)
                began, ended = each.ids[each.throttled & ~before], each.ids[before & ~each.throttled]
                if len(began) or len(ended):
                    self._registry.throttle(began.tolist(), ended.tolist())

    def _selected_again(self) -> list[ProbeGroup]:
        """Returns the groups that were disarmed because they were retired, and are selected again."""
        retired = [each for each in self._groups if each.is_retired and not each.is_armed]
        return [
            each
            for each, report in zip(retired, read_all(retired), strict=True)
            if report is not None and not report.is_retired
        ]

    def _register(self, probes: Iterable[Probe]) -> Addition:
        """Assigns IDs to the probes that are wanted."""
        mapped = {library.key for library in self.scan.libraries}
        candidates = [probe for probe in self._retired if probe.site.binary.key in mapped]
        candidates += [probe for probe in probes if self._wanted(probe)]
        found = not_retired(candidates)
        registered = {id(probe) for probe in found}
        self._retired = [probe for probe in candidates if id(probe) not in registered]
        new = self._registry.register(found, self)
        self._groups += new
        with_ids = [probe for each in new for probe in each.probes]
        return Addition(with_ids, found[len(with_ids) :])

    def _rejected(self) -> list[Probe]:
        """Returns the agent's probes that have no IDs, new ones included."""
        self._reconsiders = False
        known = [*self._retired, *(probe for each in self._groups for probe in each.probes)]
        with_ids = {(probe.site.binary.key, probe.set_id, probe.kind) for probe in known}
        return [
            probe
            for probe in self.scan.every
            if (probe.site.binary.key, probe.set_id, probe.kind) not in with_ids
        ]

    def _arm(self, groups: Sequence[ProbeGroup]) -> list[str]:
        """Arms the groups. Returns why some could not be armed, except for binaries that are unmapped by
        now."""
        problems = []
        if self.only_counts:
            self._read_calls(is_first=True, groups=groups)
        for group in groups:
            if self._has_ended:
                group.end()
                continue
            try:
                self._arm_group(group)
            except JcollectError as error:
                if group.binary.key in (self._mapped_keys() or ()):
                    problems.append(error.message)
        return problems

    def _arm_group(self, group: ProbeGroup) -> None:
        """Arms the group, with another source if the preferred one cannot be used. Raises JcollectError."""
        if self.why_not_preferred and self._may_fall_back:
            group.source = self.source
        try:
            group.arm()
        except UnusableError as error:
            if not self._may_fall_back or group.source is self.source:
                raise self._with_advice(error) from None
            self.why_not_preferred = error.message
            group.source = self.source
            group.arm()

    def _with_advice(self, error: UnusableError) -> JcollectError:
        """Returns the error with what to do if no other source may be used."""
        if not isinstance(error, TakenError):
            return error
        return JcollectError(
            f"{error.message}; read its events with jcollect observe {self.pid}, count calls beside it with "
            "jcollect top or hist, or use --lane kernel as root"
        )

    def _tell_sources(self) -> None:
        for source in (self.source, *self._preferred):
            source.follow(self.scan.libraries)
        self._registry.scanned(self)


def _at_once(disarm: Callable[[ProbeGroup], None], groups: Sequence[ProbeGroup]) -> None:
    run_in_parallel("detach from a library", disarm, groups, _MOST_DETACHING)
