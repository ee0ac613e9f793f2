"""Opens the sources of a session. No other module of the session knows what kinds of sources there are."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from jcollect.hub.stage import Explainer
from jcollect.session.options import KERNEL, LEASED, SessionSettings
from jcollect.sources.base import Source
from jcollect.sources.bpf.compilation import Compilation
from jcollect.sources.bpf.links import AUTO
from jcollect.sources.bpf.source import RING_PAGES, BpfSource
from jcollect.sources.direct.activation import KernelActivator, LeaseActivator
from jcollect.sources.direct.source import DirectSource
from jcollect.sources.recorder import Recorder
from jcollect.sources.records.library import load_library

# Opens a source for probe IDs below a capacity. The second argument is added to CLOCK_MONOTONIC to get ns
# since 1970-01-01T00:00:00Z. Raises JcollectError.
OpenSource = Callable[[int, int], Source]


def check_can_open(compilation: Compilation) -> None:
    """Waits for the compilation. Raises JcollectError if the BPF programs, or the library that reads their
    events, are missing."""
    compilation.result()
    load_library()


def lanes(settings: SessionSettings, compilation: Compilation | None = None) -> list[OpenSource]:
    """Returns functions that open the sources of the lane in `settings`: the kernel's first, which raises the
    semaphores of both. It takes over a running compilation, except for LEASED, which needs none."""
    recorder = settings.recorder
    if settings.lane == LEASED:
        return [lambda capacity, offset: DirectSource(capacity, offset, LeaseActivator(), recorder)]
    opened: list[Source] = []
    open_kernel = bpf_source(settings, compilation)
    if recorder is not None:
        return [partial(_open_recorder, recorder, open_kernel)]

    def open_first(capacity: int, utc_offset_ns: int) -> Source:
        opened.append(open_kernel(capacity, utc_offset_ns))
        return opened[0]

    def open_direct(capacity: int, utc_offset_ns: int) -> Source:
        return DirectSource(capacity, utc_offset_ns, KernelActivator(opened[0]))

    return [open_first] if settings.lane == KERNEL or settings.only_counts else [open_first, open_direct]


def _open_recorder(recorder: Recorder, open_kernel: OpenSource, capacity: int, utc_offset_ns: int) -> Source:
    """Opens the direct lane alone: the kernel's source raises semaphores, and nobody reads its ring buffer,
    which polling would cost."""
    kernel = open_kernel(capacity, utc_offset_ns)
    try:
        return DirectSource(capacity, utc_offset_ns, KernelActivator(kernel), recorder, kernel)
    except BaseException:
        kernel.close()
        raise


def bpf_source(settings: SessionSettings, compilation: Compilation | None = None) -> OpenSource:
    """Returns a function that opens the kernel's uprobes. They take over a running compilation."""

    def open_source(capacity: int, utc_offset_ns: int) -> Source:
        return BpfSource(
            capacity,
            utc_offset_ns,
            settings.ring_pages or RING_PAGES,
            settings.link_type or AUTO,
            compilation,
            settings.without,
        )

    return open_source


def open_explainer(settings: SessionSettings, capacity: int, utc_offset_ns: int) -> Explainer:
    """Opens what explains the calls of the settings. Raises JcollectError."""
    from jcollect.sources.threads.explainer import CallExplainer

    return CallExplainer(settings.explain, capacity, utc_offset_ns)
