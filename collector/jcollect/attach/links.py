"""Links: what ties the handler to the probes, and lets the kernel raise and drop their semaphores."""

from __future__ import annotations

import errno
import os
import platform
from collections.abc import Sequence

from jcollect.attach.attach_point import find_attach_point
from jcollect.attach.bpf_syscalls import link_perf_event, link_uprobe_multi, open_uprobe_event
from jcollect.attach.cookie import cookie_of
from jcollect.attach.handlers import Handlers
from jcollect.discovery.probes import Probe
from jcollect.errors import JcollectError

AUTO = "auto"
UPROBE_MULTI = "uprobe-multi"
PERF_EVENT = "perf-event"

# To undo its rewriting at detach, the kernel takes about 65 us for each stub that has fired: more probes
# than this would not be detached within half a second, so they stay with the breakpoint.
_MOST_FAST_PROBES = 4096
_ENOTSUPP = 524  # Not among errno's names: the kernel's own.


class Links:
    """What ties the handler to the probes of one library, until `close`.

    `fast` is the number of stubs that the kernel will have to rewrite then.
    """

    def __init__(self, descriptors: list[int], fast: int = 0) -> None:
        self.fast = fast
        self._descriptors = descriptors

    def close(self) -> None:
        """Detaches. When it returns, no handler runs any more and none will."""
        descriptors, self._descriptors = self._descriptors, []
        self.fast = 0
        for descriptor in descriptors:
            # A perf event waits out a grace period of about 0.1 s here; threads do not make it shorter,
            # because the kernel closes one at a time.
            os.close(descriptor)


class Linker:
    """Programs loaded and the attach point found, so that linking itself is quick."""

    def __init__(self, handlers: Handlers, way: str = AUTO) -> None:
        """Takes the best way that the kernel has, or the one given. Raises JcollectError."""
        self._handlers = handlers
        self._forced = way != AUTO
        self._way = way
        self._links: list[Links] = []
        try:
            if way in (AUTO, UPROBE_MULTI):
                try:
                    self._program = handlers.load_for_uprobe_multi()
                    self._point = find_attach_point(handlers)
                    self._way = UPROBE_MULTI
                    return
                except OSError:
                    if self._forced:
                        raise
            self._load_for_perf_events()
        except OSError as error:
            raise _too_old(error) from None

    def _load_for_perf_events(self) -> None:
        self._program = self._handlers.load_for_perf_event()
        self._point = 0
        self._way = PERF_EVENT

    def link(self, probes: Sequence[Probe]) -> Links:
        """Attaches the handler to probes of one library. Raises JcollectError."""
        links = self._link(probes)
        self._links = [each for each in self._links if each.fast] + [links]
        return links

    def _link(self, probes: Sequence[Probe]) -> Links:
        try:
            if self._way == UPROBE_MULTI:
                try:
                    return self._link_uprobe_multi(probes)
                except OSError as error:
                    # What kernels before 6.6 answer to the unknown link type.
                    if self._forced or error.errno not in (errno.EINVAL, errno.EOPNOTSUPP, _ENOTSUPP):
                        raise
                    self._load_for_perf_events()
            return self._link_perf_events(probes)
        except OSError as error:
            raise _explain(error, probes[0]) from None

    def _link_uprobe_multi(self, probes: Sequence[Probe]) -> Links:
        library = probes[0].library
        fast = len(probes) + sum(links.fast for links in self._links)
        point = self._point if fast <= _MOST_FAST_PROBES else 0
        descriptor = link_uprobe_multi(
            self._program,
            library.file,
            [probe.location + point for probe in probes],
            [probe.semaphore for probe in probes],
            [cookie_of(probe) for probe in probes],
            library.pid,
        )
        # The kernel has this way: an error of a later library is that library's own.
        self._forced = True
        return Links([descriptor], len(probes) if point else 0)

    def _link_perf_events(self, probes: Sequence[Probe]) -> Links:
        library = probes[0].library
        descriptors: list[int] = []
        try:
            for probe in probes:
                event = open_uprobe_event(library.file, probe.location, probe.semaphore, library.pid)
                try:
                    # The link keeps the event.
                    descriptors.append(link_perf_event(self._program, event, cookie_of(probe)))
                finally:
                    os.close(event)
        except BaseException:
            Links(descriptors).close()
            raise
        return Links(descriptors)


def _explain(error: OSError, probe: Probe) -> JcollectError:
    pid, file = probe.library.pid, probe.library.file
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


def _too_old(error: OSError) -> JcollectError:
    release = platform.release()
    if _version(release) < (5, 15):
        return JcollectError(f"Linux {release} is too old: attaching needs 5.15 or later")
    return JcollectError(f"Linux {release} does not load jcollect's handler: {error.strerror or error}")


def _version(release: str) -> tuple[int, ...]:
    return tuple(int(part) for part in release.split("-")[0].split(".")[:2] if part.isdigit())
