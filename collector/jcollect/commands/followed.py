"""One process that `jcollect attach` is attached to: looked at again when it may have changed, and what is
said about it."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Sequence

from jcollect.attach.armed import Arming
from jcollect.commands.end import is_readable
from jcollect.commands.options import plural, status, warn
from jcollect.discovery.maps import mapped_pages
from jcollect.discovery.overhead import Overhead
from jcollect.discovery.probes import STATE_NAMES, Probe, Wanted
from jcollect.discovery.process import TracedProcess, has_debugger, is_stopped
from jcollect.errors import JcollectError, NoFilesError, lacks_files
from jcollect.stream.session import Session
from jcollect.stream.tracee import Addition
from jprobe.v1 import probe_pb2

# A look takes 0.6 ms where the process has a thousand mappings. It is due when the size of the process has
# changed, but not more often than that; and this often although it has not: two changes may add up to none,
# and probes may be held back, retired, or come back.
_LOOK_SECONDS = 0.2
_IDLE_LOOK_SECONDS = 0.5
# Where there are very many mappings or probes, looks become rarer, so that they take no more than this part
# of a CPU, if that leaves one in a second.
_MOST_OF_A_CPU = 1 / 500
_LONGEST_PAUSE = 0.8
# From so much of a core on the probes' cost is worth a warning, and another when it is so much more.
_DEAR_PERCENT = 10.0
_MORE = 1.5
_NAMED = 3  # How many probes a warning names.


class Candidate:
    """A process that is to be attached to: looked at, and held by a descriptor so that no other can take its
    place. Left by `close`."""

    def __init__(
        self, process: TracedProcess, name: str, wanted: Wanted, lease: contextlib.ExitStack | None = None
    ) -> None:
        """`name`: its main class or command. `lease` holds for as long as it is attached to.

        Raises JcollectError when the process is gone.
        """
        self.pid = process.pid
        self.process = process
        self.name = name
        self.wanted = wanted
        self._lease = lease or contextlib.ExitStack()
        try:
            self._descriptor = os.pidfd_open(process.pid)
        except OSError as error:
            self._lease.close()
            if lacks_files(error):
                raise NoFilesError(f"hold PID {process.pid}") from None
            raise JcollectError(f"PID {process.pid} has exited") from None

    @property
    def has_exited(self) -> bool:
        return is_readable(self._descriptor)

    def close(self) -> None:
        """Gives back what was leased for it. Does nothing the second time."""
        self._lease.close()
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class Followed:
    """A candidate that has joined a session, until `leave`."""

    def __init__(self, session: Session, candidate: Candidate, arm_timeout: float) -> None:
        """Its probes have ids and are described; nothing is linked yet."""
        self.candidate = candidate
        self.pid = candidate.pid
        self.tracee = session.join(candidate.process, candidate.wanted, candidate.name)
        self.has_armed = False
        self._session = session
        self._arm_timeout = arm_timeout
        self._arming: list[Arming] = []
        self._looked = time.monotonic()
        self._pause = _LOOK_SECONDS
        self._pages = 0
        self._warned_percent = 0.0
        self._throttled: set[int] = set()
        self._refusal = self.tracee.process.refusal

    @property
    def has_exited(self) -> bool:
        return self.candidate.has_exited

    @property
    def is_arming(self) -> bool:
        return bool(self._arming)

    def attach(self) -> bool:
        """Whether there was something to attach to. Raises JcollectError."""
        begun = time.monotonic()
        addition = self.tracee.attach()
        if not self.tracee.cost.is_guarded and self._session.max_overhead:
            warn(f"PID {self.pid} has no jprobe agent: what its probes cost is not known, and not limited")
        if any(probe.library.is_agents for probe in addition.probes) and has_debugger(self.pid):
            warn(
                f"PID {self.pid} has a debugger's agent (JDWP): breakpoints in traced classes are lost when "
                "tracing begins, and when it ends; set them again"
            )
        if self._refusal:
            warn(f"PID {self.pid} traces nothing: {self._refusal}")
        self._take(addition, begun)
        return bool(addition.probes)

    def leave(self) -> None:
        self._session.leave(self.tracee)
        self.candidate.close()

    def look_if_due(self) -> None:
        since = time.monotonic() - self._looked
        if since < self._pause:
            return
        if since >= _IDLE_LOOK_SECONDS or mapped_pages(self.pid) != self._pages:
            self._look()

    def _look(self) -> None:
        begun, used = time.monotonic(), time.thread_time()
        self._pages = mapped_pages(self.pid)
        self._take(self.tracee.follow(self._warn), begun)
        refusal = self.tracee.process.refusal
        if refusal and refusal != self._refusal:
            self._warn(f"PID {self.pid} traces nothing any more: {refusal}")
        self._refusal = refusal
        self._tell_cost()
        self._looked = time.monotonic()
        due = (time.thread_time() - used) / _MOST_OF_A_CPU
        self._pause = min(max(_LOOK_SECONDS, due), _LONGEST_PAUSE)

    def _tell_cost(self) -> None:
        """Warns of what the probes cost, again when it is half as much more; and of what is throttled."""
        cost = self.tracee.cost.read()
        if cost is None:
            return
        if cost.percent >= max(_DEAR_PERCENT, _MORE * self._warned_percent):
            self._warned_percent = cost.percent
            then = _what_then(cost.max_percent_now)
            self._warn(
                f"the probes of PID {self.pid} cost it {cost.percent:.0f}% of a core, {cost.hit_ns:,} ns a "
                f"hit; take fewer with --probe, or give selectors a condition{then}"
            )
        elif cost.percent < _DEAR_PERCENT / 2:
            self._warned_percent = 0.0
        self._tell_throttled(cost)

    def _tell_throttled(self, cost: Overhead) -> None:
        probes = {probe.id: probe for probe in self.tracee.throttled()}
        began = [probe for number, probe in probes.items() if number not in self._throttled]
        ended = len(self._throttled - probes.keys())
        self._throttled = set(probes)
        if began:
            self._warn(
                f"throttled: {plural(len(began), 'probe')} of PID {self.pid} will not fire for a while, for "
                f"all together cost more than {cost.max_percent_now:.0f}% of a core: {_names(began)}"
            )
        if ended and not self.has_exited:
            status(f"throttled no longer: {plural(ended, 'probe')} of PID {self.pid}")

    def _take(self, addition: Addition, begun: float) -> None:
        for problem in addition.problems:
            self._warn(problem)
        if addition.left_out:
            warn(
                f"{plural(len(addition.left_out), 'probe')} left out, because there are ids for "
                f"{self._session.capacity:,} alone; attach again, with a larger --max-probes: "
                f"{_names(addition.left_out)}"
            )
        if addition.probes:
            self._arming.append(Arming(addition.probes, begun, self._arm_timeout))

    def settled(self) -> list[str]:
        """What there is to say of probes that have been armed since the last call."""
        lines = []
        for arming in list(self._arming):
            try:
                by_state = arming.look()
            except OSError as error:
                if lacks_files(error):
                    continue
                # The process has exited, or made short work of a library: there is nothing to tell.
                self._arming.remove(arming)
                continue
            if by_state is not None:
                self._arming.remove(arming)
                lines += self._settled(by_state, time.monotonic() - arming.begun)
        return lines

    def _settled(self, by_state: dict[int, list[Probe]], took: float) -> list[str]:
        armed = by_state.pop(probe_pb2.PROBE_STATE_ARMED, [])
        for state, probes in sorted(by_state.items()):
            self._warn_not_armed(state, probes)
        if not armed and self.has_armed:
            return []
        more = "more " if self.has_armed else ""
        self.has_armed = True
        methods = len({probe.method_key for probe in armed})
        return [
            f"armed {len(armed):,} {more}probe{'' if len(armed) == 1 else 's'} of "
            f"{plural(methods, 'method')} in {took * 1000:.0f} ms"
        ]

    def _warn(self, message: str) -> None:
        # What goes wrong because the process is exiting is told at the end.
        if not self.has_exited:
            warn(message)

    def _warn_not_armed(self, state: int, probes: list[Probe]) -> None:
        if state == probe_pb2.PROBE_STATE_FAILED:
            reason = "cannot be woven (the JVM's log says why)"
        elif state == probe_pb2.PROBE_STATE_WAITING:
            reason = "armed when the program uses their classes, which are loaded and not linked yet"
        elif state == probe_pb2.PROBE_STATE_RETIRED:
            reason = "retired: their classes are gone, or they are selected no longer"
        else:
            stopped = f", for PID {self.pid} is stopped" if is_stopped(self.pid) else ""
            reason = (
                f"not armed after {self._arm_timeout:g} s ({STATE_NAMES[state]}){stopped}, "
                "and counted from when they are"
            )
        warn(f"{plural(len(probes), 'probe')} {reason}: {_names(probes)}")


def _names(probes: Sequence[Probe]) -> str:
    """Of a few, and how many more."""
    names = [f"{probe.provider}:{probe.name}" for probe in probes[:_NAMED]]
    more = len(probes) - _NAMED
    return ", ".join([*names, f"and {more:,} more"] if more > 0 else names)


def _what_then(max_percent: float) -> str:
    return f"; from {max_percent:.0f}% on the dearest are throttled (--max-overhead)" if max_percent else ""
