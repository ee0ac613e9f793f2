"""One process that `jcollect attach` is attached to: looked at again when it may have changed, and what is
said about it."""

from __future__ import annotations

import time
from collections.abc import Hashable, Sequence

from jcollect.budget import Budget
from jcollect.console import plural
from jcollect.crew import Errand
from jcollect.errors import lacks_files
from jcollect.limits import MAX_TOLD_NAME
from jcollect.probes.overhead import Overhead
from jcollect.probes.probe import STATE_NAMES, Probe
from jcollect.procfs.jvm import has_debugger
from jcollect.procfs.reader_process import cpu_seconds
from jcollect.session.candidate import Candidate
from jcollect.session.process_lines import ProcessLines
from jcollect.session.session import Session
from jcollect.session.tracee import Addition, Tracee
from jcollect.sources.bpf.armed import Arming
from jcollect.told import told
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
# First interval between two polls of probes that are being armed.
ARMING_SECONDS = 0.003
_SOON_SECONDS = 2.0
_RETRY_SECONDS = 0.5
# Processes whose steps take longer form one group, and may wait for each other.
_SLOW_SECONDS = 0.5


class Followed:
    """A candidate that joins a session and stays in it until `leave`.

    Only one thread at a time, not always the same, may call `step` and `leave`. The rest is for the thread
    that schedules them, between such calls or during them.
    """

    def __init__(
        self,
        session: Session,
        candidate: Candidate,
        arm_timeout: float,
        telling: ProcessLines,
        budget: Budget,
    ) -> None:
        self.candidate = candidate
        self.process = candidate.process
        self.pid = candidate.process.pid
        self.errand: Errand | None = None  # The errand in progress.
        self.is_attached = False
        self.has_some = False  # Set if there was something to attach to at the start.
        self.is_leaving = False
        self.exited_first = False
        self.has_armed = False
        self._session = session
        self._arm_timeout = arm_timeout
        self._telling = telling
        self._budget = budget
        self._tracee: Tracee | None = None
        self._arming: list[Arming] = []
        self._looked_at_arming = 0.0
        self._looked = time.monotonic()
        self._pause = _LOOK_SECONDS
        self._pages = 0
        self._was_slow = False
        self._not_before = 0.0
        self._warned_percent = 0.0
        self._throttled: set[int] = set()
        self._is_credible = True
        self._refusal = candidate.scan.refusal
        self._lines: list[str] = []

    @property
    def has_exited(self) -> bool:
        return self.candidate.has_exited

    @property
    def has_joined(self) -> bool:
        """Returns true once its probes have ids and are described."""
        return self._tracee is not None

    @property
    def is_arming(self) -> bool:
        return bool(self._arming)

    @property
    def is_arming_soon(self) -> bool:
        """Returns true if it is to be asked again soon whether everything is armed."""
        is_new = any(time.monotonic() - each.begun < _SOON_SECONDS for each in self._arming)
        return is_new and self.errand is None and self._budget.may()

    @property
    def group(self) -> Hashable:
        """Returns the group whose errands wait for each other: its user's slow processes, or the others."""
        return self.process.owner, self._was_slow

    def is_due(self) -> bool:
        """Returns true if there is something to do for it, and CPU time left for that."""
        if not self.is_attached:
            return time.monotonic() >= self._not_before and self._budget.may()
        since = time.monotonic() - self._looked
        if time.monotonic() < self._not_before:
            return False
        is_due = self._is_arming_due() or (
            since >= self._pause
            and (since >= _IDLE_LOOK_SECONDS or self.process.mapped_pages() != self._pages)
        )
        return is_due and self._budget.may()

    def _is_arming_due(self) -> bool:
        if not self._arming:
            return False
        now = time.monotonic()
        # Most probes are armed at once; a process that takes longer is asked less often.
        pause = max(ARMING_SECONDS, (now - self._arming[-1].begun) / 50)
        return now - self._looked_at_arming >= min(pause, _LOOK_SECONDS)

    def step(self) -> None:
        """Joins the session, then attaches; later calls look at the process again. Raises JcollectError."""
        begun, used = time.monotonic(), cpu_seconds()
        try:
            if self._tracee is None:
                candidate = self.candidate
                self._tracee = self._session.join(candidate.scan, candidate.wanted, candidate.name)
            elif not self.is_attached:
                self._attach(self._tracee)
            else:
                if begun - self._looked >= self._pause:
                    self._look(self._tracee, begun)
                self._look_at_arming()
        finally:
            used = cpu_seconds() - used
            self._budget.charge(used)
            self._pause = min(max(_LOOK_SECONDS, used / _MOST_OF_A_CPU), _LONGEST_PAUSE)
            self._was_slow = time.monotonic() - begun > _SLOW_SECONDS

    def _attach(self, tracee: Tracee) -> None:
        begun = time.monotonic()
        addition = tracee.attach()
        if not tracee.cost.is_guarded and self._session.max_overhead:
            self._warn(
                f"PID {self.pid} has no jprobe agent: what its probes cost is not known, and not limited"
            )
        if any(probe.library.is_agents for probe in addition.probes) and has_debugger(self.process):
            self._warn(
                f"PID {self.pid} has a debugger's agent (JDWP): breakpoints in traced classes are lost when "
                "tracing begins, and when it ends; set them again"
            )
        if self._refusal:
            self._warn(f"PID {self.pid} traces nothing: {told(self._refusal)}")
        self._take(addition, begun)
        self.has_some = bool(addition.probes)
        self.is_attached = True
        self._look_at_arming()

    def leave(self) -> None:
        """Detaches, and gives back its leases."""
        if self._tracee is not None:
            self._session.leave(self._tracee)
        self.candidate.close()

    def _look(self, tracee: Tracee, begun: float) -> None:
        self._pages = self.process.mapped_pages()
        self._take(tracee.follow(self._warn), begun)
        refusal = tracee.scan.refusal
        if refusal and refusal != self._refusal:
            self._warn(f"PID {self.pid} traces nothing any more: {told(refusal)}")
        self._refusal = refusal
        if self._is_credible and not tracee.claimant.is_credible:
            self._is_credible = False
            self._warn(
                f"PID {self.pid} claims to have held back more calls than it can have had, or for longer "
                "than we are attached to it: what it claims is left out of the hit counts from now on"
            )
        self._tell_cost(tracee)
        self._looked = time.monotonic()

    def _tell_cost(self, tracee: Tracee) -> None:
        """Warns of what the probes cost, again when it is half as much more; and of what is throttled."""
        cost = tracee.overhead()
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
        self._tell_throttled(tracee, cost)

    def _tell_throttled(self, tracee: Tracee, cost: Overhead) -> None:
        probes = {probe.id: probe for probe in tracee.throttled()}
        began = [probe for number, probe in probes.items() if number not in self._throttled]
        ended = len(self._throttled - probes.keys())
        self._throttled = set(probes)
        if began:
            self._warn(
                f"throttled: {plural(len(began), 'probe')} of PID {self.pid} will not fire for a while, for "
                f"all together cost more than {cost.max_percent_now:.0f}% of a core: {_names(began)}"
            )
        if ended and not self.has_exited:
            self._telling.say(
                self.process, f"throttled no longer: {plural(ended, 'probe')} of PID {self.pid}"
            )

    def _take(self, addition: Addition, begun: float) -> None:
        for problem in addition.problems:
            self._warn(problem)
        if addition.left_out:
            self._telling.warn(
                self.process,
                f"{plural(len(addition.left_out), 'probe')} left out, because there are ids for "
                f"{self._session.capacity:,} alone; attach again, with a larger --max-probes: "
                f"{_names(addition.left_out)}",
            )
        if addition.probes:
            self._arming.append(Arming(addition.probes, begun, self._arm_timeout))

    def _look_at_arming(self) -> None:
        """Notes what there is to report about probes that are armed by now."""
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
                self._lines += self._settled(by_state, time.monotonic() - arming.begun)
        self._looked_at_arming = time.monotonic()

    def try_later(self) -> None:
        """Notes that the last step failed for a reason that will pass."""
        self._not_before = time.monotonic() + _RETRY_SECONDS

    def take_lines(self) -> list[str]:
        """Returns the lines to print since the last call."""
        lines, self._lines = self._lines, []
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
            self._telling.warn(self.process, message)

    def _warn_not_armed(self, state: int, probes: list[Probe]) -> None:
        if state == probe_pb2.PROBE_STATE_FAILED:
            reason = "cannot be woven (the JVM's log says why)"
        elif state == probe_pb2.PROBE_STATE_WAITING:
            reason = "armed when the program uses their classes, which are loaded and not linked yet"
        elif state == probe_pb2.PROBE_STATE_RETIRED:
            reason = "retired: their classes are gone, or they are selected no longer"
        else:
            stopped = f", for PID {self.pid} is stopped" if self.process.is_stopped() else ""
            reason = (
                f"not armed after {self._arm_timeout:g} s ({STATE_NAMES[state]}){stopped}, "
                "and counted from when they are"
            )
        self._telling.warn(self.process, f"{plural(len(probes), 'probe')} {reason}: {_names(probes)}")


def _names(probes: Sequence[Probe]) -> str:
    """Of a few, and how many more."""
    names = [told(f"{probe.provider}:{probe.name}", MAX_TOLD_NAME) for probe in probes[:_NAMED]]
    more = len(probes) - _NAMED
    return ", ".join([*names, f"and {more:,} more"] if more > 0 else names)


def _what_then(max_percent: float) -> str:
    return f"; from {max_percent:.0f}% on the dearest are throttled (--max-overhead)" if max_percent else ""
