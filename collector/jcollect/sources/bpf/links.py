"""Links the BPF program to sites, which makes the kernel increment and decrement their semaphores.

The kernel needs a path. It gets that of an open descriptor of the file that was read and checked. Any other
path may lead to another file by then, which would get the breakpoints.
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
from jcollect.probes.site import Binary, Site
from jcollect.probes.stub_library import StubLibrary
from jcollect.procfs.apart import apart
from jcollect.procfs.jvm import is_jvm
from jcollect.procfs.mapped import open_mapped
from jcollect.procfs.mapped_answer import FileState
from jcollect.procfs.reasons import is_passing
from jcollect.sources.base import Armed
from jcollect.sources.bpf.attach_point import StubPrograms, find_attach_point
from jcollect.sources.bpf.bpf_programs import MARK_FIRED, BpfPrograms
from jcollect.sources.bpf.bpf_syscalls import link_perf_event
from jcollect.sources.bpf.cookie import cookie_of
from jcollect.sources.bpf.kernel import UPROBE_MULTI as UPROBE_MULTI
from jcollect.sources.bpf.kernel import missing
from jcollect.sources.bpf.shielded import close_links

AUTO = "auto"
PERF_EVENT = "perf-event"

# Use the breakpoint above this number of probes. At detach the kernel takes about 65 us per fired stub to
# undo its rewriting, so more could not be detached within 0.5 s.
_MOST_FAST_PROBES = 4096
_SECONDS_A_FAST_PROBE = 65e-6
# Most of the wait for the kernel overlaps with the waits for other links (session/tracee.py).
_SECONDS_A_LINK = 3e-3
# A perf event waits out two grace periods while it holds a lock of the whole kernel, and its link a third.
# Tried with 60: disabling all of them first, closing the links first or last, and 2 to 32 threads take
# 5.7 to 6.5 s, all the same.
_SECONDS_A_PERF_EVENT = 0.11
# Number of files that jcollect opens besides links.
_OTHER_FILES = 256


class Links(Armed):
    """The links of the BPF program to sites of one binary, until `disarm`. See Armed.

    `fast` is the number of stubs that the kernel will have to rewrite at the end.
    """

    def __init__(
        self, descriptors: list[int], point: int = 0, fast: int = 0, closing_seconds: float = 0.0
    ) -> None:
        """Takes over the descriptors."""
        self.point = point
        self.fast = fast
        self.closing_seconds = closing_seconds
        self._descriptors = descriptors

    def disarm(self) -> None:
        descriptors, self._descriptors = self._descriptors, []
        self.fast = 0
        self.closing_seconds = 0.0
        if descriptors:
            close_links(descriptors)


class Linker:
    """Attaches the BPF program. Programs are loaded and the attach point is found in advance, so that linking
    is quick.

    `link_type` is UPROBE_MULTI or PERF_EVENT.
    """

    def __init__(self, programs: StubPrograms, link_type: str = AUTO) -> None:
        """Uses the best link type that the kernel has, or the given one. Raises JcollectError."""
        self._kernel = programs.kernel
        self._kernel.check_counts_semaphores()
        self._links: list[Links] = []
        self._links_lock = threading.Lock()
        self._point = 0
        self._programs = programs
        # Other programs than those have none for marks.
        self._marks = programs if isinstance(programs, BpfPrograms) else None
        self._mark_program: int | None = None
        self.link_type = PERF_EVENT
        if link_type != PERF_EVENT:
            self._program = programs.load_for_uprobe_multi()
            if self._kernel.has_uprobe_multi(self._program):
                self.link_type = UPROBE_MULTI
                self._point = find_attach_point(programs)
                return
            if link_type == UPROBE_MULTI:
                raise missing(UPROBE_MULTI)
        self._program = programs.load_for_perf_event()

    def link(self, ids: Sequence[int], sites: Sequence[Site]) -> Links:
        """Attaches the BPF program to sites of one binary, whose firings carry the IDs. For any thread.
        Raises JcollectError."""
        for number, site in zip(ids, sites, strict=True):
            if site.operands is not None and self._marks is not None:
                self._marks.describe_mark(number, site.operands)
        return self.link_with([cookie_of(*each) for each in zip(ids, sites, strict=True)], sites)

    def link_with(self, cookies: Sequence[int], sites: Sequence[Site]) -> Links:
        """Attaches the BPF program to sites of one binary, which gets these cookies. For any thread. Raises
        JcollectError."""
        links = self._link(cookies, sites)
        with self._links_lock:
            self._links = [each for each in self._links if each.fast] + [links]
        return links

    def _link(self, cookies: Sequence[int], sites: Sequence[Site]) -> Links:
        link = self._link_uprobe_multi if self.link_type == UPROBE_MULTI else self._link_perf_events
        links = Links([])
        try:
            with _held_file(sites[0].binary) as file:
                links = link(cookies, sites, file)
        except BaseException as error:
            links.disarm()
            if isinstance(error, OSError):
                raise _explain(error, sites[0].binary) from None
            raise
        return links

    def _link_uprobe_multi(self, cookies: Sequence[int], sites: Sequence[Site], file: str) -> Links:
        fast = len(sites) + sum(links.fast for links in self._links)
        is_fast = fast <= _MOST_FAST_PROBES and all(site.is_stub for site in sites)
        point = self._point if is_fast and not _may_fork(sites[0].binary) else 0
        has_semaphores = any(site.semaphore for site in sites)
        descriptor = self._kernel.link_uprobe_multi(
            self._program_for(sites),
            file,
            [site.location + point for site in sites],
            [site.semaphore for site in sites] if has_semaphores else None,
            cookies,
            sites[0].binary.process.pid,
        )
        fast = len(sites) if point else 0
        return Links(
            [descriptor], point, fast, closing_seconds=_SECONDS_A_LINK + fast * _SECONDS_A_FAST_PROBE
        )

    def _program_for(self, sites: Sequence[Site]) -> int:
        """Returns the program for sites of one binary, which are all stubs, or all marks with operands.
        Raises JcollectError."""
        if sites[0].operands is None or self._marks is None:
            return self._program
        with self._links_lock:
            if self._mark_program is None:
                is_multi = self.link_type == UPROBE_MULTI
                load = self._marks.load_for_uprobe_multi if is_multi else self._marks.load_for_perf_event
                self._mark_program = load(MARK_FIRED)
            return self._mark_program

    def _link_perf_events(self, cookies: Sequence[int], sites: Sequence[Site], file: str) -> Links:
        program = self._program_for(sites)
        _allow_open_files(len(sites))
        descriptors: list[int] = []
        try:
            for cookie, site in zip(cookies, sites, strict=True):
                event = self._kernel.open_uprobe_event(
                    file, site.location, site.semaphore, site.binary.process.pid
                )
                try:
                    # The link keeps the event.
                    descriptors.append(link_perf_event(program, event, cookie))
                finally:
                    os.close(event)
        except BaseException:
            Links(descriptors).disarm()
            raise
        return Links(descriptors, closing_seconds=len(descriptors) * _SECONDS_A_PERF_EVENT)


@contextlib.contextmanager
def _held_file(binary: Binary) -> Iterator[str]:
    """Yields a path of the file that was read as this binary, and of no other file.

    Raises OSError if that file is not mapped there any more or has changed, also at the end of the block.
    """
    backing = binary.backing
    if backing is None:
        raise OSError(errno.ESTALE, "it was not read from a process")
    process = binary.process
    answer = apart(
        process, open_mapped, process.pid, backing.mapped, binary.file, backing.state, backing.digest
    )
    (held,) = answer.descriptors
    try:
        yield f"/proc/self/fd/{held}"
        if FileState.of(os.fstat(held)).content != FileState.unpacked(answer.content).content:
            raise OSError(errno.ESTALE, "it was changed while jcollect attached to it")
    finally:
        os.close(held)


def _may_fork(binary: Binary) -> bool:
    """Returns true if children of the process may continue in the same program.

    They inherit the call that the kernel has made of a nop, but not the page that it calls (Linux 6.18). So
    they die of SIGSEGV in the first stub that the parent had fired. A forked JVM has no Java threads.
    """
    is_agents = isinstance(binary, StubLibrary) and binary.is_agents
    return not is_agents and not is_jvm(binary.process)


def _allow_open_files(count: int) -> None:
    """Raises the soft limit of open files so that `count` more fit. Most shells start with 1,024. Raises
    JcollectError if the hard limit is too low."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = len(os.listdir("/proc/self/fd"))
    wanted = used + count + _OTHER_FILES
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    if hard != resource.RLIM_INFINITY and hard < wanted:
        raise JcollectError(
            f"cannot attach to {count:,} probes: this kernel needs an open file for each, and the limit is "
            f"{hard:,}; raise it with ulimit -Hn, or select fewer probes with --probe"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _explain(error: OSError, binary: Binary) -> JcollectError:
    process, file = binary.process, binary.file
    pid = process.pid
    if lacks_files(error):
        return NoFilesError(f"attach to {file} of PID {pid}")
    if error.errno == errno.EREMOTE:
        return JcollectError(
            f"cannot attach to {file} of PID {pid}: {error.strerror}; start the agent with "
            "dir=DIRECTORY on a local file system, such as a tmpfs"
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
            f"cannot attach to {file} of PID {pid}: {error.strerror}; "
            "run with sudo, and outside of a container or in one with CAP_BPF and CAP_PERFMON"
        )
    return JcollectError(
        f"cannot attach to {file} of PID {pid} on Linux {platform.release()}: {error.strerror or error}; "
        "detach tracers that are attached to the same probes without their semaphores"
    )
