"""Links tie the BPF program to the probes, and make the kernel raise and drop their semaphores.

The kernel wants a path. It gets that of a descriptor of ours, for the file that was read and checked: any
other path may lead to another file by then, and breakpoints would go into that one.
"""

from __future__ import annotations

import contextlib
import errno
import os
import platform
import resource
import threading
from collections.abc import Iterator, Sequence

from jcollect.errors import JcollectError, NoFilesError, lacks_files
from jcollect.probes.probe import Probe
from jcollect.probes.stub_library import StubLibrary
from jcollect.procfs.apart import apart
from jcollect.procfs.jvm import is_jvm
from jcollect.procfs.mapped import open_mapped
from jcollect.procfs.mapped_answer import FileState
from jcollect.procfs.reasons import is_passing
from jcollect.sources.bpf.attach_point import find_attach_point
from jcollect.sources.bpf.bpf_programs import BpfPrograms
from jcollect.sources.bpf.bpf_syscalls import link_perf_event
from jcollect.sources.bpf.cookie import cookie_of
from jcollect.sources.bpf.kernel import UPROBE_MULTI as UPROBE_MULTI
from jcollect.sources.bpf.kernel import lacks

AUTO = "auto"
PERF_EVENT = "perf-event"

# To undo its rewriting at detach, the kernel takes about 65 us for each stub that has fired: more probes
# than this would not be detached within half a second, so they stay with the breakpoint.
_MOST_FAST_PROBES = 4096
_SECONDS_A_FAST_PROBE = 65e-6
# Most of the wait for the kernel overlaps with the waits for other links (tracee.py).
_SECONDS_A_LINK = 3e-3
# A perf event waits out two grace periods while it holds a lock of the whole kernel, and its link a third.
# Tried with 60: disabling all of them first, closing the links first or last, and 2 to 32 threads take
# 5.7 to 6.5 s, all the same.
_SECONDS_A_PERF_EVENT = 0.11
# What jcollect opens besides links.
_OTHER_FILES = 256


class Links:
    """What ties the handler to the probes of one library, until `close`.

    `point` is where in the stubs, in bytes from a stub's start. `fast` is the number of stubs that the kernel
    will have to rewrite at the end.
    """

    def __init__(
        self, descriptors: list[int], point: int = 0, fast: int = 0, closing_seconds: float = 0.0
    ) -> None:
        """`closing_seconds` is about how long `close` will take."""
        self.point = point
        self.fast = fast
        self.closing_seconds = closing_seconds
        self._descriptors = descriptors

    def close(self) -> None:
        """Detaches. When it returns, no handler runs any more and none will."""
        descriptors, self._descriptors = self._descriptors, []
        self.fast = 0
        self.closing_seconds = 0.0
        for descriptor in descriptors:
            os.close(descriptor)


class Linker:
    """Programs loaded and the attach point found, so that linking itself is quick.

    `way` is the one that is taken: UPROBE_MULTI or PERF_EVENT.
    """

    def __init__(self, handlers: BpfPrograms, way: str = AUTO) -> None:
        """Takes the best way that the kernel has, or the one given. Raises JcollectError."""
        self._kernel = handlers.kernel
        self._kernel.check_counts_semaphores()
        self._links: list[Links] = []
        self._links_lock = threading.Lock()
        self._point = 0
        self.way = PERF_EVENT
        if way != PERF_EVENT:
            self._program = handlers.load_for_uprobe_multi()
            if self._kernel.has_uprobe_multi(self._program):
                self.way = UPROBE_MULTI
                self._point = find_attach_point(handlers)
                return
            if way == UPROBE_MULTI:
                raise lacks(UPROBE_MULTI)
        self._program = handlers.load_for_perf_event()

    def link(self, probes: Sequence[Probe]) -> Links:
        """Attaches the BPF program to probes of one library. For any thread. Raises JcollectError."""
        links = self._link(probes)
        with self._links_lock:
            self._links = [each for each in self._links if each.fast] + [links]
        return links

    def _link(self, probes: Sequence[Probe]) -> Links:
        link = self._link_uprobe_multi if self.way == UPROBE_MULTI else self._link_perf_events
        links = Links([])
        try:
            with _held_file(probes[0].library) as file:
                links = link(probes, file)
        except BaseException as error:
            links.close()
            if isinstance(error, OSError):
                raise _explain(error, probes[0]) from None
            raise
        return links

    def _link_uprobe_multi(self, probes: Sequence[Probe], file: str) -> Links:
        library = probes[0].library
        fast = len(probes) + sum(links.fast for links in self._links)
        point = self._point if fast <= _MOST_FAST_PROBES and not _may_fork(library) else 0
        descriptor = self._kernel.link_uprobe_multi(
            self._program,
            file,
            [probe.location + point for probe in probes],
            [probe.semaphore for probe in probes],
            [cookie_of(probe) for probe in probes],
            library.process.pid,
        )
        fast = len(probes) if point else 0
        return Links(
            [descriptor], point, fast, closing_seconds=_SECONDS_A_LINK + fast * _SECONDS_A_FAST_PROBE
        )

    def _link_perf_events(self, probes: Sequence[Probe], file: str) -> Links:
        library = probes[0].library
        _allow_open_files(len(probes))
        descriptors: list[int] = []
        try:
            for probe in probes:
                event = self._kernel.open_uprobe_event(
                    file, probe.location, probe.semaphore, library.process.pid
                )
                try:
                    # The link keeps the event.
                    descriptors.append(link_perf_event(self._program, event, cookie_of(probe)))
                finally:
                    os.close(event)
        except BaseException:
            Links(descriptors).close()
            raise
        return Links(descriptors, closing_seconds=len(descriptors) * _SECONDS_A_PERF_EVENT)


@contextlib.contextmanager
def _held_file(library: StubLibrary) -> Iterator[str]:
    """Yields a path of the file that was read as this library, and of no other file.

    Raises OSError if that file is not mapped there any more or has changed, also at the end of the block.
    """
    backing = library.backing
    if backing is None:
        raise OSError(errno.ESTALE, "it was not read from a process")
    process = library.process
    answer = apart(
        process, open_mapped, process.pid, backing.mapped, library.file, backing.state, backing.digest
    )
    (held,) = answer.descriptors
    try:
        yield f"/proc/self/fd/{held}"
        if FileState.of(os.fstat(held)).content != FileState.unpacked(answer.content).content:
            raise OSError(errno.ESTALE, "it was changed while jcollect attached to it")
    finally:
        os.close(held)


def _may_fork(library: StubLibrary) -> bool:
    """Whether there may be children of the process that go on in the same program.

    They inherit the call that the kernel has made of a nop, and not the page that it calls (Linux 6.18): they
    die of SIGSEGV in the first stub that the parent had fired. What a JVM forks has no Java threads.
    """
    return not library.is_agents and not is_jvm(library.process)


def _allow_open_files(count: int) -> None:
    """MemoryBudget for so many more, as far as we may: 1,024 is what most shells begin with."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = len(os.listdir("/proc/self/fd"))
    wanted = used + count + _OTHER_FILES
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    if hard != resource.RLIM_INFINITY and hard < wanted:
        raise JcollectError(
            f"cannot attach to {count:,} probes: this kernel needs an open file for each, and jcollect may "
            f"have {hard:,}; raise that with ulimit -Hn, or take fewer with --probe"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _explain(error: OSError, probe: Probe) -> JcollectError:
    process, file = probe.library.process, probe.library.file
    pid = process.pid
    if lacks_files(error):
        return NoFilesError(f"attach to {file} of PID {pid}")
    if error.errno == errno.EREMOTE:
        return JcollectError(
            f"cannot attach to {file} of PID {pid}: {error.strerror}; have the stub libraries made on a file "
            "system of the kernel's own, such as a tmpfs: the agent's option is dir=DIRECTORY"
        )
    if error.errno == errno.ESTALE:
        return JcollectError(f"cannot attach to {file} of PID {pid}: {error.strerror}; try again")
    if error.errno == errno.ETIMEDOUT:
        return process.explain(error, "files")
    if is_passing(error):
        return JcollectError(f"cannot attach to {file} of PID {pid}: {error.strerror or error}; try again")
    if error.errno == errno.ESRCH:
        return JcollectError(f"PID {pid} has exited while jcollect was attaching to it")
    if error.errno in (errno.EPERM, errno.EACCES):
        return JcollectError(
            f"the kernel refuses to attach to {file} of PID {pid} ({error.strerror}); "
            "run with sudo, and outside of a container or in one with CAP_BPF and CAP_PERFMON"
        )
    return JcollectError(
        f"cannot attach to {file} of PID {pid} on Linux {platform.release()}: {error.strerror or error}; "
        "a tracer that is attached to the same probes without their semaphores is in the way, if there is one"
    )
