"""The life of one process in `jcollect attach`: joins the session, attaches, rescans it for changes,
detaches; and the warnings about it."""

from __future__ import annotations

import time
from collections.abc import Hashable

from jcollect.budget import Budget
from jcollect.console import plural
from jcollect.errors import lacks_files
from jcollect.probes.overhead import Overhead, firing_text
from jcollect.probes.probe import STATE_NAMES, Probe
from jcollect.probes.scan import Scan
from jcollect.procfs.jvm import has_debugger
from jcollect.procfs.reader_process import cpu_seconds
from jcollect.session.arming import Arming
from jcollect.session.candidate import Candidate
from jcollect.session.hold import HeldProgram
from jcollect.session.probe_texts import armed_text, limit_text, names_of, refused_text
from jcollect.session.process_lines import ProcessLines
from jcollect.session.session import Session
from jcollect.session.tracee import Addition, Tracee
from jcollect.shortened import shortened
from jcollect.worker_pool import Task
from jprobe.v1 import probe_pb2

# A scan takes 0.6 ms if the process has a thousand mappings. It is due when the size of the process has
# changed, but at most once per the first interval. It is due after the second one even if the size is the
# same: two changes can cancel out, and probes may have been throttled, retired or selected again.
_SCAN_SECONDS = 0.2
_IDLE_SCAN_SECONDS = 0.5
# With very many mappings or probes, the interval grows so that scans use at most this part of a CPU, up to
# the longest interval in s.
_MOST_OF_A_CPU = 1 / 500
_LONGEST_PAUSE = 0.8
# Cost of the probes in percent of a core that causes a warning, and the factor that causes another one.
_EXPENSIVE_PERCENT = 10.0
_MORE = 1.5
# First interval between two polls of probes that are being armed.
ARMING_SECONDS = 0.003
_SOON_SECONDS = 2.0
_RETRY_SECONDS = 0.5
# Processes whose steps take longer than this form one group, and may wait for each other.
_SLOW_SECONDS = 0.5


class TargetLifecycle:
    """A candidate that joins a session and stays in it until `leave`. `task` is its task in progress.
    `had_probes` is true if there were probes when it was attached.

    Only one thread at a time, not always the same, may call `step` and `leave`. Everything else is for the
    thread that schedules these calls, also while one is running.
    """

    def __init__(
        self,
        session: Session,
        candidate: Candidate,
        arm_timeout: float,
        process_lines: ProcessLines,
        budget: Budget,
        held: HeldProgram | None = None,
    ) -> None:
        """`held` is the program if it waits until it is attached to."""
        self.candidate = candidate
        self.process = candidate.process
        self.pid = candidate.process.pid
        self.task: Task | None = None
        self.is_attached = False
        self.had_probes = False
        self.is_leaving = False
        self.exited_first = False
        self.has_armed = False
        self._session = session
        self._arm_timeout = arm_timeout
        self._process_lines = process_lines
        self._budget = budget
        self._held = held
        self._tracee: Tracee | None = None
        self._arming: list[Arming] = []
        self._failed: list[Probe] = []
        # Those of unlinked classes, and those whose classes were linked since.
        self._waiting: list[Probe] = []
        self._linked: list[Probe] = []
        self._polled_arming = 0.0
        self._scanned = time.monotonic()
        self._pause = _SCAN_SECONDS
        self._pages = 0
        self._was_slow = False
        self._not_before = 0.0
        self._warned_percent = 0.0
        self._throttled: set[int] = set()
        self._is_credible = True
        self._refusal = candidate.scan.refusal
        self._has_lost_selection = False
        self._may_be_unmatched = True
        self._has_fallen_back = False
        self._lines: list[str] = []

    @property
    def has_exited(self) -> bool:
        return self.candidate.has_exited

    @property
    def has_joined(self) -> bool:
        """True once its probes have IDs and descriptions."""
        return self._tracee is not None

    @property
    def is_arming(self) -> bool:
        return bool(self._arming)

    @property
    def is_arming_soon(self) -> bool:
        """True if its probes that are being armed must be polled soon."""
        is_new = any(time.monotonic() - each.begun < _SOON_SECONDS for each in self._arming)
        return is_new and self.task is None and self._budget.allows()

    @property
    def group(self) -> Hashable:
        """The group whose tasks wait for each other: its user's slow processes, or the others."""
        return self.process.owner, self._was_slow

    def is_due(self) -> bool:
        """Returns true if it needs a step, and its budget allows one."""
        if not self.is_attached:
            return time.monotonic() >= self._not_before and self._budget.allows()
        since = time.monotonic() - self._scanned
        if time.monotonic() < self._not_before:
            return False
        if self._has_news():
            # The program waits, and has been started to be traced.
            return True
        is_due = self._is_arming_due() or (
            since >= self._pause
            and (since >= _IDLE_SCAN_SECONDS or self.process.mapped_pages() != self._pages)
        )
        return is_due and self._budget.allows()

    def _has_news(self) -> bool:
        return self._held is not None and self._held.has_news

    def _is_arming_due(self) -> bool:
        if not self._arming:
            return False
        now = time.monotonic()
        # Most probes are armed immediately; a process that takes longer is polled less often.
        pause = max(ARMING_SECONDS, (now - self._arming[-1].begun) / 50)
        return now - self._polled_arming >= min(pause, _SCAN_SECONDS)

    def step(self) -> None:
        """Joins the session, then attaches; later calls rescan the process. Raises JcollectError."""
        begun, used = time.monotonic(), cpu_seconds()
        try:
            if self._tracee is None:
                candidate = self.candidate
                self._tracee = self._session.join(
                    candidate.scan, self._is_wanted, candidate.name, candidate.marks
                )
                # The tracee rescans. The first scan would keep every probe, also those that are not wanted.
                candidate.scan = Scan(candidate.process)
            elif not self.is_attached:
                self._attach(self._tracee)
            else:
                if begun - self._scanned >= self._pause:
                    self._rescan(self._tracee, begun)
                elif self._has_news():
                    self._attach_to_news(self._tracee, begun)
                self._poll_arming()
        finally:
            used = cpu_seconds() - used
            self._budget.charge(used)
            self._pause = min(max(_SCAN_SECONDS, used / _MOST_OF_A_CPU), _LONGEST_PAUSE)
            self._was_slow = time.monotonic() - begun > _SLOW_SECONDS

    def _is_wanted(self, probe: Probe) -> bool:
        """Returns true for probes that the command wants, and for those that a client has selected."""
        candidate = self.candidate
        return candidate.wanted(probe) or (
            candidate.matches(probe) and self._session.commander.has_selected(candidate.process, probe)
        )

    def _attach(self, tracee: Tracee) -> None:
        begun = time.monotonic()
        addition = tracee.attach()
        if not tracee.cost.is_guarded and self._session.max_overhead:
            self._warn(
                f"PID {self.pid} has no jprobe agent: the cost of its probes is unknown and not limited"
            )
        if any(probe.is_agents for probe in addition.probes) and has_debugger(self.process):
            self._warn(
                f"PID {self.pid} has a debugger agent (JDWP): breakpoints in traced classes are lost when "
                "tracing starts and when it ends; set them again"
            )
        if self._refusal:
            self._warn(f"PID {self.pid} traces nothing: {shortened(self._refusal)}")
        self._tell_attached(tracee)
        self._handle(tracee, addition, begun)
        self.had_probes = bool(addition.probes)
        self.is_attached = True
        self._report_unmatched(addition)
        self._poll_arming()

    def _tell_attached(self, tracee: Tracee) -> None:
        if self._held is not None:
            self._held.attached(tracee.scan.libraries)

    def leave(self) -> None:
        """Detaches, and releases its leases."""
        if self._tracee is not None:
            self._session.leave(self._tracee)
        self.candidate.close()

    def _attach_to_news(self, tracee: Tracee, begun: float) -> None:
        """Attaches to new libraries while a class waits, and leaves all else to the next rescan."""
        addition = tracee.follow(self._warn, is_waited_for=True)
        self._tell_attached(tracee)
        self._handle(tracee, addition, begun)

    def _rescan(self, tracee: Tracee, begun: float) -> None:
        self._pages = self.process.mapped_pages()
        self._poll_unarmed()
        addition = tracee.follow(self._warn)
        self._tell_attached(tracee)
        self._handle(tracee, addition, begun)
        self._report_unmatched(addition)
        refusal = tracee.scan.refusal
        if refusal and refusal != self._refusal:
            self._warn(refused_text(self.pid, refusal, is_run=self._held is not None))
        self._refusal = refusal
        self._report_lost_selection(tracee)
        if self._is_credible and not tracee.credibility.is_credible:
            self._is_credible = False
            self._warn(
                f"PID {self.pid} claims to have suppressed or counted more calls than possible, or for "
                "longer than jcollect has been attached to it: its claims no longer count as hits"
            )
        self._report_cost(tracee)
        self._scanned = time.monotonic()

    def _report_lost_selection(self, tracee: Tracee) -> None:
        """Warns once if somebody has removed the selection of this command."""
        selection = self.candidate.selection
        if selection is None or self._has_lost_selection:
            return
        why = selection.why_ended(tracee.scan.selectors)
        if why:
            self._has_lost_selection = True
            self._warn(
                f"the selection of this command in PID {self.pid} has ended: {why}; end it, and attach again "
                "to trace the methods again"
            )

    @property
    def unmatched(self) -> str:
        """A sentence if there have been selected probes, and --probe has matched none of them."""
        return "" if self._tracee is None or self.has_armed else self.candidate.unmatched(self._tracee.scan)

    def _report_unmatched(self, addition: Addition) -> None:
        """Warns once if --probe matches none of the selected probes."""
        self._may_be_unmatched = self._may_be_unmatched and not addition.probes
        if self._may_be_unmatched and (problem := self.unmatched):
            self._may_be_unmatched = False
            self._warn(problem)

    def _report_cost(self, tracee: Tracee) -> None:
        """Warns of expensive probes, again when the cost has risen by half, and reports throttled ones."""
        cost = tracee.overhead()
        if cost is None:
            return
        if cost.percent >= max(_EXPENSIVE_PERCENT, _MORE * self._warned_percent):
            self._warned_percent = cost.percent
            self._warn(
                f"the probes of PID {self.pid} cost it {cost.percent:.0f}% of a core"
                f"{firing_text(', ', cost.hit_ns)}; attach to fewer with --probe, or use selectors with a "
                "condition"
                f"{limit_text(cost.max_percent_now)}"
            )
        elif cost.percent < _EXPENSIVE_PERCENT / 2:
            self._warned_percent = 0.0
        self._report_throttled(tracee, cost)

    def _report_throttled(self, tracee: Tracee, cost: Overhead) -> None:
        probes = tracee.throttled()
        began = [probe for number, probe in probes.items() if number not in self._throttled]
        ended = len(self._throttled - probes.keys())
        self._throttled = set(probes)
        if began:
            self._warn(
                f"throttled: {plural(len(began), 'probe')} of PID {self.pid} will not fire for a while, "
                f"because all probes together cost more than {cost.max_percent_now:.0f}% of a core: "
                f"{names_of(began)}"
            )
        if ended and not self.has_exited:
            self._process_lines.say(
                self.process, f"no longer throttled: {plural(ended, 'probe')} of PID {self.pid}"
            )

    def _handle(self, tracee: Tracee, addition: Addition, begun: float) -> None:
        for problem in addition.problems:
            self._warn(problem)
        if addition.left_out:
            self._process_lines.warn(
                self.process,
                f"{plural(len(addition.left_out), 'probe')} left out, because only "
                f"{self._session.capacity:,} probe IDs are available; attach again with a larger "
                "--max-probes: "
                f"{names_of(addition.left_out)}",
            )
        if addition.probes:
            sinks = tracee.sinks_of(addition.probes)
            self._arming.append(Arming(addition.probes, begun, self._arm_timeout, sinks))
        if tracee.why_not_preferred and not self._has_fallen_back:
            self._has_fallen_back = True
            self._process_lines.say(
                self.process, f"PID {self.pid}: events take the kernel lane: {tracee.why_not_preferred}"
            )

    def _poll_arming(self) -> None:
        """Prepares the lines about probes that are armed by now."""
        for arming in list(self._arming):
            try:
                by_state = arming.poll()
            except OSError as error:
                if lacks_files(error):
                    continue
                # The process has exited or unmapped the library, so there is nothing to report.
                self._arming.remove(arming)
                continue
            if by_state is not None:
                self._arming.remove(arming)
                if self._tracee is not None and self._tracee.only_counts:
                    # Holds the histograms from here on: their calls outlive the process.
                    self._tracee.count()
                    if by_state.keys() == {probe_pb2.PROBE_STATE_FAILED} and not self.has_armed:
                        self._tracee.check_can_count()
                self._lines += self._settled(by_state, time.monotonic() - arming.begun)
        self._polled_arming = time.monotonic()

    def _poll_unarmed(self) -> None:
        """Reports probes that are armed after all: the agent retries when a class loader answers late, and
        when the program links a class."""
        self._failed, armed = _partition(self._failed, probe_pb2.PROBE_STATE_FAILED)
        if armed:
            self._lines.append(f"{armed_text(armed)} after all")
        self._waiting, armed = _partition(self._waiting, probe_pb2.PROBE_STATE_WAITING)
        self._linked += armed
        if self._linked and not self._waiting:
            self._lines.append(f"{armed_text(self._linked)} that waited for the program to use their classes")
            self._linked = []

    def retry_later(self) -> None:
        """Postpones the next step, after one that failed for a temporary reason."""
        self._not_before = time.monotonic() + _RETRY_SECONDS

    def take_lines(self) -> list[str]:
        """Returns the new lines since the last call."""
        lines, self._lines = self._lines, []
        return lines

    def _settled(self, by_state: dict[int, list[Probe]], took: float) -> list[str]:
        armed = by_state.pop(probe_pb2.PROBE_STATE_ARMED, [])
        self._failed += by_state.get(probe_pb2.PROBE_STATE_FAILED, [])
        self._waiting += by_state.get(probe_pb2.PROBE_STATE_WAITING, [])
        for state, probes in sorted(by_state.items()):
            self._warn_not_armed(state, probes)
        if not armed and self.has_armed:
            return []
        more = "more " if self.has_armed else ""
        self.has_armed = True
        return [f"{armed_text(armed, more)} in {took * 1000:.0f} ms" if armed else "no probe is armed yet"]

    def _warn(self, message: str) -> None:
        # An exiting process causes errors; its exit itself is reported later.
        if not self.has_exited:
            self._process_lines.warn(self.process, message)

    def _warn_not_armed(self, state: int, probes: list[Probe]) -> None:
        if state == probe_pb2.PROBE_STATE_FAILED:
            reason = "cannot be woven (see the program's stderr)"
        elif state == probe_pb2.PROBE_STATE_WAITING:
            reason = "not armed until the program uses their classes, which are loaded but not linked yet"
        elif state == probe_pb2.PROBE_STATE_RETIRED:
            reason = "retired: their classes were unloaded, or their methods unselected"
        else:
            stopped = f", because PID {self.pid} is stopped" if self.process.is_stopped() else ""
            reason = (
                f"not armed after {self._arm_timeout:g} s ({STATE_NAMES[state]}){stopped}; "
                "their hits count from the moment they are armed"
            )
        self._process_lines.warn(self.process, f"{plural(len(probes), 'probe')} {reason}: {names_of(probes)}")


def _partition(probes: list[Probe], state: int) -> tuple[list[Probe], list[Probe]]:
    """Returns the probes that are still in a state, and those that are armed."""
    if not probes:
        return [], []
    try:
        by_state = Arming(probes, 0, 0).poll() or {}
    except OSError as error:
        # Otherwise the process has exited or unmapped the library.
        return (probes if lacks_files(error) else []), []
    return by_state.get(state, []), by_state.get(probe_pb2.PROBE_STATE_ARMED, [])
