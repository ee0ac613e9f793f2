"""The kernel's uprobes as a source: BPF programs, their links, and the ring buffer that they write to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from jcollect.errors import JcollectError
from jcollect.probes.probe import Probe
from jcollect.probes.site import Binary, Site
from jcollect.probes.stub_library import StubLibrary
from jcollect.sources.base import ALWAYS, Drained, LossStage, Source, SourceStatus
from jcollect.sources.bpf.bpf_programs import BpfPrograms
from jcollect.sources.bpf.compilation import Compilation
from jcollect.sources.bpf.links import AUTO, Linker, Links
from jcollect.sources.bpf.ring import Ring
from jcollect.sources.bpf.ring_reader import RingReader
from jcollect.sources.columns import U64
from jcollect.sources.records.decoder import RecordDecoder

# 16 MiB: 262,144 numeric events, about 0.18 s of a thread that does nothing but fire.
RING_PAGES = 4096


class BpfSource(Source):
    """Events of uprobes. See Source."""

    def __init__(
        self,
        capacity: int,
        utc_offset_ns: int,
        ring_pages: int = RING_PAGES,
        link_type: str = AUTO,
        compilation: Compilation | None = None,
        without: frozenset[str] = frozenset(),
    ) -> None:
        """Loads the BPF programs, for probe IDs below `capacity`. `utc_offset_ns` is added to times in
        columns.

        `ring_pages` is a power of two. `link_type` is AUTO, or the type to use. Takes over a running
        `compilation`. `without` names kernel features to treat as missing. Raises JcollectError.
        """
        self.capacity = capacity
        self._programs = BpfPrograms(capacity, ring_pages, compilation, without)
        try:
            self._linker = Linker(self._programs, link_type)
            self._ring = Ring(self._programs.ring_fd, self._programs.ring_bytes)
            self._reader = RingReader(self._ring, RecordDecoder(capacity, utc_offset_ns))
        except BaseException:
            self._programs.close()
            raise
        self.pause = self._reader.pause

    @property
    def name(self) -> str:
        return "kernel ring"

    def describe(self, ids: Sequence[int], probes: Iterable[Probe]) -> None:
        if len(ids):
            self._reader.decoder.add(ids, probes)
            self._programs.used = max(self._programs.used, max(ids) + 1)

    def arm(self, ids: Sequence[int], sites: Sequence[Site]) -> Links:
        _check_machine(sites[0].binary)
        return self._linker.link(ids, sites)

    def raise_semaphores(self, sites: Sequence[Site]) -> Links:
        # The BPF program ignores IDs beyond all others.
        return self._linker.link([self.capacity] * len(sites), sites)

    def drain(self, until: int = ALWAYS) -> Drained:
        return self._reader.drain(until)

    def wait_and_drain(self, window_ns: int, stop: int) -> Drained | None:
        return self._reader.wait_and_drain(window_ns, stop)

    @property
    def is_quiet(self) -> bool:
        return self._reader.is_quiet

    @property
    def out_of_order(self) -> int:
        return self._reader.out_of_order

    @property
    def stages(self) -> Sequence[LossStage]:
        return LossStage.KERNEL_RING, LossStage.COLLECTOR

    def lost(self, stage: LossStage) -> U64:
        return (
            self._programs.lost() if stage == LossStage.KERNEL_RING else self._reader.malformed.by_id.copy()
        )

    def hits(self) -> U64:
        return self._programs.hits()

    def status(self) -> SourceStatus:
        return SourceStatus(self._linker.link_type, self._programs.ring_bytes, self._ring.used())

    def close(self) -> None:
        self._ring.close()
        self._programs.close()


def _check_machine(binary: Binary) -> None:
    """Raises JcollectError if a breakpoint would be no instruction of the program: its emulator would execute
    it, and the program would die."""
    if isinstance(binary, StubLibrary) and not binary.image.is_of_this_machine:
        pid = binary.process.pid
        raise JcollectError(
            f"cannot trace PID {pid} in the kernel lane: the program is emulated, and a uprobe would crash "
            "it; use --lane direct"
        )
