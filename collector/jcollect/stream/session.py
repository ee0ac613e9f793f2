"""One attachment to one process, from compiled handlers to closed books."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from jcollect.attach.attached import Attached, Reading
from jcollect.attach.handlers import Handlers
from jcollect.attach.links import AUTO, Linker
from jcollect.discovery.live import LiveProbe, not_retired
from jcollect.discovery.maps import Place
from jcollect.discovery.probes import Probe, Wanted, by_library, numbered, probes_of
from jcollect.discovery.process import TracedProcess, look_again
from jcollect.discovery.stub_library import StubLibrary, read_stub_mappings
from jcollect.errors import JcollectError
from jcollect.stream.accounts import Accounts, Totals
from jcollect.stream.clock import utc_offset_ns
from jcollect.stream.hub import Hub, Subscription
from jcollect.stream.reader import Reader
from jcollect.stream.record import RecordDecoder
from jcollect.stream.ring import Ring
from jprobe.v1 import collector_pb2

# 32 MiB: half a million numeric events, about 0.4 s of a thread that does nothing but fire.
RING_PAGES = 8192
# Probe ids that there can be at least. How many there can be is fixed when the handlers are compiled.
_LEAST_CAPACITY = 16384


@dataclass(frozen=True)
class Addition:
    """What a look at the process has brought: probes now attached to, again or for the first time, and
    those there was no id left for.

    `problems` are sentences about what could not be attached to.
    """

    probes: Sequence[Probe] = ()
    left_out: Sequence[Probe] = ()
    problems: Sequence[str] = ()


class Session:
    """The order is: construct, `start`, `attach`, `follow` every now and then, `detach`; `close` in any case.

    Subscribers may come as soon as there is a session, and are served to the end by `detach`. All but
    `describe` and `subscribe` is for one thread.
    """

    def __init__(
        self,
        process: TracedProcess,
        wanted: Wanted,
        on_end: Callable[[], None],
        max_events: int | None = None,
        ring_pages: int = RING_PAGES,
        way: str = AUTO,
        max_probes: int | None = None,
    ) -> None:
        """Compiles and loads the handlers. `on_end` is called when `max_events` are reached.

        There are ids for `max_probes`; if not said, for twice those that are wanted now, and many at
        least. Raises JcollectError.
        """
        self.pid = process.pid
        self.process = process  # As `follow` has seen it last.
        self._wanted = wanted
        self._attached: list[Attached] = []
        self._resting: list[Probe] = []  # Wanted and retired. They may come back.
        self._given_out = 0
        self.capacity = max_probes or max(_LEAST_CAPACITY, 2 * len(self._wanted_of(process.libraries)))
        self._handlers = Handlers(self.capacity, ring_pages)
        self._linker = Linker(self._handlers, way)
        self._ring = Ring(self._handlers.ring_fd, self._handlers.ring_bytes)
        self.accounts = Accounts(self.capacity, self._handlers.hits, self._handlers.lost)
        self.hub = Hub([], self.accounts)
        self._decoder = RecordDecoder(self.capacity, utc_offset_ns())
        self._reader = Reader(self._ring, self._decoder, self.hub, self.accounts, max_events, on_end)
        self._reader_runs = False
        # Before anybody can subscribe: globs then have something to match.
        self._first = self._meet(process.libraries)

    def start(self) -> None:
        """Begins to read the ring: events may come from the first link on."""
        self._reader_runs = True
        self._reader.start()

    def attach(self) -> Addition:
        """Links all probes that are wanted and not retired. Raises JcollectError where one cannot be."""
        for problem in self._link(self._attached):
            raise JcollectError(problem)
        return self._first

    def follow(self, warn: Callable[[str], None]) -> Addition:
        """Looks at the process again: links what is new, lets go of what is gone or retired."""
        linked = [each for each in self._attached if each.is_linked]
        known = {library.place for library in self.process.libraries}
        readings = [each.read() for each in linked]
        try:
            self.process = look_again(self.process, warn)
        except OSError:
            return Addition()  # The process is gone. What was known of it stays.
        places = {library.place for library in self.process.libraries}
        self._count(linked, readings, places)
        for each in linked:
            if each.is_retired or each.library.place not in places:
                each.unlink()
        back = self._come_back(places)
        met = len(self._attached)
        addition = self._meet([library for library in self.process.libraries if library.place not in known])
        problems = self._link(back + self._attached[met:])
        return replace(
            addition,
            probes=[*not_retired([probe for each in back for probe in each.probes]), *addition.probes],
            problems=problems,
        )

    def detach(self) -> Totals:
        """Destroys the links, drains the ring, lets the subscribers finish; the books are final then."""
        linked = [each for each in self._attached if each.is_linked]
        for each in linked:
            each.unlink()
        readings = [each.read() for each in linked]
        self._count(linked, readings, self._places())
        if self._reader_runs:
            self._reader_runs = False
            self._reader.finish()
        totals = self.accounts.totals()
        self.hub.end()
        return totals

    def close(self) -> None:
        """Frees what the kernel holds for us. No subscriber may be left."""
        for each in self._attached:
            each.unlink()
        self._ring.close()
        self._handlers.close()

    def describe(self) -> list[collector_pb2.Probe]:
        """All probes that have ids, in their order, in their state of this moment."""
        return [each.message() for each in self._live(list(self._attached))]

    def subscribe(self, globs: Sequence[str]) -> Subscription:
        """Raises NoSuchProbeError."""
        return self.hub.subscribe(globs, self.describe())

    def _live(self, attached: Sequence[Attached]) -> list[LiveProbe]:
        readings = [each.read_live() for each in attached]
        places = self._places()
        found: list[LiveProbe] = []
        for each, live in zip(attached, readings, strict=True):
            found += live if live is not None and each.library.place in places else each.last_known()
        return sorted(found, key=lambda each: each.probe.id)

    def _places(self) -> set[Place]:
        """Where the process has stub libraries now; nowhere, if it is gone."""
        try:
            return {mapping.place for mapping in read_stub_mappings(self.pid)}
        except OSError:
            return set()

    def _count(
        self, linked: Sequence[Attached], readings: Sequence[Reading | None], places: set[Place]
    ) -> None:
        """Takes readings into the books. `places` are of a look after them: else what was read could be of
        something that lies where the library was."""
        for each, reading in zip(linked, readings, strict=True):
            if reading is not None and each.library.place in places:
                each.keep(reading)
                self.accounts.hold_back(each.ids, each.held_back)

    def _wanted_of(self, libraries: Iterable[StubLibrary]) -> list[Probe]:
        return [probe for probe in probes_of(libraries) if self._wanted(probe)]

    def _come_back(self, places: set[Place]) -> list[Attached]:
        """What was let go of because it was retired, and is selected again."""
        back = []
        for each in self._attached:
            if each.is_retired and not each.is_linked and each.library.place in places:
                reading = each.read()
                if reading is not None and not reading.is_retired:
                    back.append(each)
        return back

    def _meet(self, libraries: Iterable[StubLibrary]) -> Addition:
        """Gives ids to the probes that are wanted, and makes them known to all who will read of them."""
        mapped = {library.place for library in self.process.libraries}
        candidates = [probe for probe in self._resting if probe.library.place in mapped]
        candidates += self._wanted_of(libraries)
        found = not_retired(candidates)
        met = {id(probe) for probe in found}
        self._resting = [probe for probe in candidates if id(probe) not in met]
        room = self.capacity - self._given_out
        probes = numbered(found[:room], self._given_out)
        self._given_out += len(probes)
        new = [Attached(group) for group in by_library(probes)]
        self._decoder.add(probes)
        self._handlers.used = self._given_out
        if probes:
            self.hub.add([each.message() for each in self._live(new)])
        self._attached += new
        return Addition(probes, found[room:])

    def _link(self, new: Sequence[Attached]) -> list[str]:
        """Why some could not be linked. Of libraries that are gone already nothing is said."""
        problems = []
        for attached in new:
            try:
                attached.link(self._linker)
            except JcollectError as error:
                if attached.library.place in self._places():
                    problems.append(error.message)
        return problems
