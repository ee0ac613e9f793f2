"""The main loop of `jcollect attach`: attaches to processes and probes as they appear, and reports them."""

from __future__ import annotations

import time
from collections.abc import Callable

from jcollect.budget import Budgets
from jcollect.console import status, warn
from jcollect.errors import explain, lacks_files
from jcollect.hub.accounts import Totals
from jcollect.session.candidate import Candidate
from jcollect.session.hold import Hold
from jcollect.session.process_lines import ProcessLines
from jcollect.session.session import Session
from jcollect.session.silence import explain_silence
from jcollect.session.target_lifecycle import ARMING_SECONDS, TargetLifecycle
from jcollect.session.targets import Targets
from jcollect.stop_request import StopRequest
from jcollect.worker_pool import WorkerPool

_TICK_SECONDS = 0.2
# Maximum number of processes that are scanned or detached from at the same time. One user has two groups of
# processes, the slow ones and the others, with a share for each: that leaves threads for other users.
_SCANS, _SLOW_SCANS, _SHARE_OF_SCANS = 12, 8, 4
_DETACHES, _SHARE_OF_DETACHES = 6, 2
# Maximum time that the start waits until the probes of several processes have IDs. After that it reports that
# it waits for probes, while it attaches to the other processes.
_JOIN_SECONDS = 3.0
_ATTACH_SECONDS = 10.0


def new_scan_pool() -> WorkerPool:
    """Returns the threads that scan processes."""
    return WorkerPool("scan processes", _SCANS, _SLOW_SCANS, _SHARE_OF_SCANS)


class AttachLoop:
    """Keeps a session attached to all selected probes of its processes, as processes and probes come and go.

    Each process has one task at a time, in a thread: a task that is slow or fails affects only that process.
    If a single process is given by its PID, its failure ends the loop.
    """

    def __init__(
        self,
        session: Session,
        targets: Targets,
        candidates: list[Candidate],
        stop: StopRequest,
        arm_timeout: float,
        hold: Hold | None = None,
    ) -> None:
        """Joins `candidates`: on return, their probes have IDs and descriptions. With several candidates,
        those that do not answer in time join later. Adds candidates that appear later to the list; the caller
        closes them all. With `hold`, the programs wait until they are attached to.

        Raises JcollectError if there is only one and it cannot be joined.
        """
        self._session = session
        self._search = targets
        self._candidates = candidates
        self._stop = stop
        self._serving = ""
        self._on_tick: Callable[[], None] = lambda: None
        self._on_report: Callable[[], None] = lambda: None
        self._arm_timeout = arm_timeout
        self._hold = hold
        self._process_lines: ProcessLines = targets.lines
        self._budgets: Budgets = targets.budgets
        self._pool = new_scan_pool()
        self._detaching = WorkerPool("detach from processes", _DETACHES, share=_SHARE_OF_DETACHES)
        self._has_reported_files = False
        # Attaching waits for `run`: the first line about it reports the address.
        self._is_joining = True
        # Lines must name the process if there can be several.
        self._names_processes = targets.options.is_open or len(targets.options.pids) > 1
        self._targets = [self._lifecycle(candidate) for candidate in candidates]
        self._wait_until(lambda: all(each.has_joined for each in self._staying()), _JOIN_SECONDS)

    def run(
        self,
        serving: str,
        seconds: float | None,
        on_tick: Callable[[], None],
        on_report: Callable[[], None] = lambda: None,
    ) -> None:
        """Attaches, and runs until a stop is requested or all processes have exited, at most `seconds` after
        everything is armed.

        `serving` is the address that the first line reports. `on_tick` is called several times a second,
        and `on_report` after each line about what is attached.

        Raises JcollectError if there is only one process and it cannot be attached to.
        """
        self._serving = f"; serving {serving}"
        self._on_tick = on_tick
        self._on_report = on_report
        self._is_joining = False
        self._wait_until(self._have_begun, _ATTACH_SECONDS)
        if not any(each.had_probes for each in self._targets):
            self._print(f"waiting for {self._search}")
        self._run_until(lambda: not any(each.is_arming for each in self._targets))
        deadline = None if seconds is None else time.monotonic() + seconds
        self._run_until(lambda: deadline is not None and time.monotonic() >= deadline)

    def print_left_out(self) -> None:
        """Prints how many lines about processes were left out."""
        self._process_lines.catch_up(is_over=True)

    def explain_silence(self, totals: Totals, seconds: float) -> None:
        """Prints why there were no events, if there were none. The processes must not have left."""
        armed = [target.candidate for target in self._targets if target.has_armed]
        held = self._search.options.held
        unmatched = {target.candidate: target.unmatched for target in self._targets}
        for process, line in explain_silence(self._candidates, totals, seconds, held, armed, unmatched):
            self._process_lines.warn(process, line)

    @property
    def exit_text(self) -> str:
        """The beginning of the last line, if the exit of the only process has ended the loop."""
        if self._names_processes or not self._all_exited():
            return ""
        return f"PID {self._targets[0].pid} has exited; "

    def _lifecycle(self, candidate: Candidate) -> TargetLifecycle:
        budget = self._budgets.of_process(candidate.process.owner)
        held = self._hold.of(candidate.process) if self._hold else None
        return TargetLifecycle(self._session, candidate, self._arm_timeout, self._process_lines, budget, held)

    def _staying(self) -> list[TargetLifecycle]:
        return [each for each in self._targets if not each.is_leaving]

    def _have_begun(self) -> bool:
        """Returns true if a probe is attached, or no process has a probe to attach to."""
        if any(each.had_probes for each in self._targets):
            return True
        return not self._search.is_loading and all(each.is_attached for each in self._staying())

    def _wait_until(self, is_over: Callable[[], bool], seconds: float) -> None:
        """Runs until `is_over`; with several processes, at most for `seconds`."""
        deadline = time.monotonic() + seconds if self._names_processes else float("inf")
        self._run_until(lambda: is_over() or time.monotonic() >= deadline)

    def _run_until(self, is_over: Callable[[], bool]) -> None:
        while not self._stop.is_requested() and not is_over() and not self._all_exited():
            self._pool.acknowledge()
            if self._hold is not None:
                self._hold.acknowledge()
            for target in list(self._targets):
                self._schedule(target)
            for candidate in self._search.more():
                self._candidates.append(candidate)
                self._targets.append(self._lifecycle(candidate))
            self._process_lines.catch_up()
            self._on_tick()
            held = (self._hold.descriptor,) if self._hold else ()
            self._stop.wait(self._pause(), self._pool.descriptor, self._search.descriptor, *held)

    def _pause(self) -> float:
        if any(target.is_arming_soon for target in self._targets):
            return ARMING_SECONDS
        return _TICK_SECONDS

    def _schedule(self, target: TargetLifecycle) -> None:
        """Handles the result of its last task, and starts the next one."""
        if target.task is not None:
            if not target.task.has_ended:
                return
            task, target.task = target.task, None
            if target.is_leaving:
                self._remove(target)
                return
            for line in target.take_lines():
                self._print(line, target)
            if task.error is not None:
                self._handle_error(target, task.error)
        if (target.has_exited and self._names_processes) or target.is_leaving:
            target.is_leaving = True
            target.exited_first = target.has_exited
            target.task = self._detaching.submit(target.leave, target.group)
        elif target.is_due() and not (self._is_joining and target.has_joined):
            target.task = self._pool.submit(target.step, target.group)

    def _handle_error(self, target: TargetLifecycle, error: BaseException) -> None:
        """Handles an error of any kind: one process caused it, and the others are still served."""
        if target.has_exited:
            return
        if lacks_files(error) and (target.is_attached or self._names_processes):
            # Not caused by the process, and temporary.
            target.retry_later()
            if not self._has_reported_files:
                self._has_reported_files = True
                warn(f"{explain(error, 'scan a process').message}; will retry")
            return
        if not self._names_processes:
            raise error
        problem = explain(error, f"trace PID {target.pid}")
        target.is_leaving = True
        name = f"PID {target.pid} ({target.candidate.name})"
        self._process_lines.warn(target.process, f"leaving out {name}: {problem.message}")

    def _remove(self, target: TargetLifecycle) -> None:
        self._targets.remove(target)
        self._candidates.remove(target.candidate)
        if target.exited_first:
            self._print("has exited", target)

    def _all_exited(self) -> bool:
        if self._search.options.is_open or self._search.is_loading:
            return False
        return all(target.has_exited for target in self._targets)

    def _print(self, line: str, target: TargetLifecycle | None = None) -> None:
        """Prints a line. The first one also reports the address."""
        line += self._serving
        if target is None:
            status(line)
        elif self._names_processes:
            self._process_lines.say(target.process, f"PID {target.pid} ({target.candidate.name}): {line}")
        else:
            self._process_lines.say(target.process, line)
        self._serving = ""
        self._on_report()
