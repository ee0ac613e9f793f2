"""One process of a session: what of it is linked, and what its memory says about that."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from jcollect.errors import JcollectError, lacks_files
from jcollect.hub.accounts import Accounts, Share
from jcollect.probes.live import LiveProbe, not_retired
from jcollect.probes.overhead import Overhead
from jcollect.probes.probe import Probe, Wanted, probes_of
from jcollect.probes.scan import Scan, rescan
from jcollect.probes.stub_library import StubLibrary, read_stub_mappings
from jcollect.procfs.maps import MappingKey
from jcollect.procfs.reasons import is_passing
from jcollect.session.cost import Cost
from jcollect.sources.bpf.attached import Attached, Reading, read_all
from jcollect.sources.bpf.claims import Claimant
from jcollect.sources.bpf.links import Linker
from jcollect.workers import run_in_parallel

# The kernel waits some 20 ms for each link that it destroys. The waits can overlap: the links of 300
# libraries take 9 s one after the other, and 1 s in 16 threads.
_MOST_DETACHING = 16


@dataclass(frozen=True)
class Addition:
    """What a look at the process has brought: probes now attached to, again or for the first time, and
    those there was no id left for.

    `problems` are sentences about what could not be attached to.
    """

    probes: Sequence[Probe] = ()
    left_out: Sequence[Probe] = ()
    problems: Sequence[str] = ()


class Registry(Protocol):
    """What gives ids to probes, and makes them known to all who will read of them: the session."""

    def register(self, probes: Sequence[Probe], tracee: Tracee) -> list[Attached]:
        """With ids, by library; of more probes than there are ids left for, the first."""

    def retire(self, attached: Attached, tracee: Tracee) -> None:
        """Its library is gone for good."""

    def throttle(self, began: Sequence[int], ended: Sequence[int]) -> None:
        """Probes of these ids do not fire for now, or fire again."""


class Tracee:
    """The order is: construct, `meet`, `attach`, `follow` now and then, `leave`.

    For one thread at a time, except `refresh`, `live` and `end`: the process can delay its caller for as long
    as a read may take. Nothing of the session is locked during that time.
    """

    def __init__(
        self,
        scan: Scan,
        wanted: Wanted,
        name: str,
        registry: Registry,
        linker: Linker,
        accounts: Accounts,
        max_overhead: int | None = None,
    ) -> None:
        """`name` is the main class or the command; `max_overhead` is the limit to request from its agent, in
        percent of a core."""
        self.process = scan.process
        self.pid = scan.process.pid
        self.name = name
        self.owner = scan.process.owner
        self.scan = scan  # The latest one.
        self._wanted = wanted
        self._registry = registry
        self._linker = linker
        self._accounts = accounts
        self._attached: list[Attached] = []
        self._resting: list[Probe] = []  # Wanted and retired. They may come back.
        self.share = Share()
        self.claimant = Claimant()
        self._has_ended = False
        self.cost = Cost(scan, linker, max_overhead)
        # Between whoever counts and whoever gives ids back: counts would go to others' probes.
        self._lock = threading.RLock()
        self._first = Addition()

    def meet(self) -> None:
        """Gives ids to the wanted probes. Called before anyone can subscribe, so that globs have something to
        match."""
        with self._lock:
            self._first = self._meet(self.scan.libraries)

    def attach(self) -> Addition:
        """Links all probes that are wanted and not retired. Raises JcollectError where one cannot be."""
        with self._lock:
            self.cost.follow(self.scan)
            for problem in self._link(self._attached):
                raise JcollectError(problem)
            return self._first

    def follow(self, warn: Callable[[str], None]) -> Addition:
        """Looks at the process again: links new probes, and detaches from unmapped or retired ones.

        Raises OSError and JcollectError if too many files are open, after which it can be called again.
        """
        with self._lock:
            return Addition() if self._has_ended else self._follow(warn)

    def _follow(self, warn: Callable[[str], None]) -> Addition:
        linked = self._linked()
        known = {library.key for library in self.scan.libraries}
        readings = read_all(linked)
        try:
            self.scan = rescan(self.scan, warn)
        except OSError as error:
            if lacks_files(error):
                raise
            return Addition()  # The process is gone. What was known of it stays.
        self.cost.follow(self.scan)
        keys = {library.key for library in self.scan.libraries}
        self._count(linked, readings, keys)
        unmapped = [each for each in self._attached if each.library.key not in keys]
        retired = [each for each in self._linked() if each.is_retired]
        _at_once(Attached.unlink, unmapped + retired)
        self._attached = [each for each in self._attached if each.library.key in keys]
        for each in unmapped:
            self._registry.retire(each, self)
        back = self._come_back()
        met = len(self._attached)
        addition = self._meet([library for library in self.scan.libraries if library.key not in known])
        problems = self._link(back + self._attached[met:])
        again = not_retired([probe for each in back for probe in each.probes])
        return Addition([*again, *addition.probes], addition.left_out, problems)

    def refresh(self) -> None:
        """Adds to the books what the process has held back by now, and updates the state of its probes."""
        with self._lock:
            self._read()
            self.cost.read()
            attached = self.attached
            found = [each.refresh() for each in attached]
            keys = self._mapped_keys()
            for each, is_found in zip(attached, found, strict=True):
                if not is_found or (keys is not None and each.library.key not in keys):
                    each.forget()

    def end(self) -> None:
        """Destroys all links permanently, and only then adds to the books what the process has held back
        until then. For any thread."""
        linked = self._linked()
        self.end_links()
        with self._lock:
            self._read(linked)
            self.cost.read()

    def end_links(self) -> None:
        """Destroys all links permanently, without reading the process. For any thread."""
        self._has_ended = True
        _at_once(Attached.end, self.attached)
        self.cost.end()

    def leave(self) -> None:
        """The process is gone, or wanted no longer."""
        self.end()
        with self._lock:
            attached, self._attached = self._attached, []
            for each in attached:
                self._registry.retire(each, self)

    def overhead(self) -> Overhead | None:
        """Returns the current cost of the probes, as Cost.read does."""
        with self._lock:
            return self.cost.read()

    def throttled(self) -> list[Probe]:
        """The probes that were throttled when the process was last looked at."""
        return [
            probe
            for each in self._linked()
            for probe, is_throttled in zip(each.probes, each.throttled.tolist(), strict=True)
            if is_throttled
        ]

    @property
    def attached(self) -> list[Attached]:
        """The libraries that are mapped and have probes with ids, linked or not."""
        return list(self._attached)

    def live(self) -> list[tuple[Attached, list[LiveProbe]]]:
        """Returns each library with its probes as the last `refresh` found them."""
        return [(each, each.known) for each in self.attached]

    def _linked(self) -> list[Attached]:
        return [each for each in self._attached if each.is_linked]

    def _read(self, some: Sequence[Attached] | None = None) -> None:
        """Adds to the books what was held back from linked probes, all or some."""
        linked = self._linked() if some is None else some
        if linked:
            self._count(linked, read_all(linked), self._mapped_keys())

    def _mapped_keys(self) -> set[MappingKey] | None:
        """Returns where the process has stub libraries now: nowhere if it has exited, None if it does not
        answer in time."""
        try:
            return {mapping.key for mapping in read_stub_mappings(self.process)}
        except OSError as error:
            return None if is_passing(error) else set()

    def _count(
        self, linked: Sequence[Attached], readings: Sequence[Reading | None], keys: set[MappingKey] | None
    ) -> None:
        """Takes readings into the counts. `keys` are of a look after them: else what was read could be of
        something that lies where the library was."""
        for each, reading in zip(linked, readings, strict=True):
            if reading is not None and keys is not None and each.library.key in keys:
                before = each.throttled
                each.keep(reading)
                self._accounts.hold_back(each.ids, each.held_back)
                began, ended = each.ids[each.throttled & ~before], each.ids[before & ~each.throttled]
                if len(began) or len(ended):
                    self._registry.throttle(began.tolist(), ended.tolist())

    def _come_back(self) -> list[Attached]:
        """What was let go of because it was retired, and is selected again."""
        back = []
        retired = [each for each in self._attached if each.is_retired and not each.is_linked]
        for each, reading in zip(retired, read_all(retired), strict=True):
            if reading is not None and not reading.is_retired:
                back.append(each)
        return back

    def _meet(self, libraries: Iterable[StubLibrary]) -> Addition:
        """Gives ids to the probes that are wanted."""
        mapped = {library.key for library in self.scan.libraries}
        candidates = [probe for probe in self._resting if probe.library.key in mapped]
        candidates += [probe for probe in probes_of(libraries) if self._wanted(probe)]
        found = not_retired(candidates)
        met = {id(probe) for probe in found}
        self._resting = [probe for probe in candidates if id(probe) not in met]
        new = self._registry.register(found, self)
        self._attached += new
        probes = [probe for each in new for probe in each.probes]
        return Addition(probes, found[len(probes) :])

    def _link(self, new: Sequence[Attached]) -> list[str]:
        """Why some could not be linked. Of libraries that are gone already nothing is said."""
        problems = []
        for attached in new:
            if self._has_ended:
                attached.end()
                continue
            try:
                attached.link(self._linker)
            except JcollectError as error:
                if attached.library.key in (self._mapped_keys() or ()):
                    problems.append(error.message)
        return problems


def _at_once(detach: Callable[[Attached], None], attached: Sequence[Attached]) -> None:
    run_in_parallel("detach from a library", detach, attached, _MOST_DETACHING)
