"""What `jcollect attach` does between attaching and detaching: takes in what appears, and says so."""

from __future__ import annotations

import time
from collections.abc import Callable

from jcollect.budget import Budgets
from jcollect.console import status, warn
from jcollect.crew import Crew
from jcollect.errors import explain, lacks_files
from jcollect.session.candidate import Candidate
from jcollect.session.followed import ARMING_SECONDS, Followed
from jcollect.session.process_lines import ProcessLines
from jcollect.session.session import Session
from jcollect.session.targets import Targets
from jcollect.stop_request import End

_TICK_SECONDS = 0.2
# Maximum number of processes that are looked at or left at the same time. One user has two groups of
# processes, the slow ones and the others, with a share for each: that leaves places for other users.
_LOOKS, _SLOW_LOOKS, _SHARE_OF_LOOKS = 12, 8, 4
_LEAVES, _SHARE_OF_LEAVES = 6, 2
# Maximum time that the start waits until the probes of several processes have ids; then it reports that it
# waits for probes, while it follows the other processes.
_JOIN_SECONDS = 3.0
_ATTACH_SECONDS = 10.0


def new_crew() -> Crew:
    """Returns the threads that look at processes."""
    return Crew("look at processes", _LOOKS, _SLOW_LOOKS, _SHARE_OF_LOOKS)


class Following:
    """Keeps a session attached to all selected probes of its processes, as processes and probes come and go.

    Each process has one errand at a time, in a thread: an errand that takes long or fails concerns that
    process alone. Only if a single process is given by its PID does its failure end everything.
    """

    def __init__(
        self,
        session: Session,
        targets: Targets,
        candidates: list[Candidate],
        end: End,
        arm_timeout: float,
    ) -> None:
        """Joins `candidates`, so that their probes have ids and are described on return. With several of
        them, those that do not answer in time follow later. Candidates that come later are added to them; the
        caller closes them all.

        Raises JcollectError if there is only one and it cannot be joined.
        """
        self._session = session
        self._targets = targets
        self._candidates = candidates
        self._end = end
        self._serving = ""
        self._meanwhile: Callable[[], None] = lambda: None
        self._arm_timeout = arm_timeout
        self._telling: ProcessLines = targets.lines
        self._budgets: Budgets = targets.budgets
        self._crew = new_crew()
        self._leaving = Crew("let go of processes", _LEAVES, share=_SHARE_OF_LEAVES)
        self._has_told_of_files = False
        # Whether lines have to say whom they are about.
        self._names_processes = targets.asked.is_open or len(targets.asked.pids) > 1
        self.followed = [self._follow(candidate) for candidate in candidates]
        self._wait_until(lambda: all(each.has_joined for each in self._staying()), _JOIN_SECONDS)

    def run(self, serving: str, seconds: float | None, meanwhile: Callable[[], None]) -> None:
        """Attaches, and follows until something ends it, at most `seconds` after everything is armed.

        `serving` is the address that the first line reports. `meanwhile` is called again and again.

        Raises JcollectError if there is only one process and it cannot be attached to.
        """
        self._serving = f"; serving {serving}"
        self._meanwhile = meanwhile
        self._wait_until(self._have_begun, _ATTACH_SECONDS)
        if not any(each.has_some for each in self.followed):
            self._say(f"waiting for {self._targets}")
        self._go_on(lambda: not any(each.is_arming for each in self.followed))
        deadline = None if seconds is None else time.monotonic() + seconds
        self._go_on(lambda: deadline is not None and time.monotonic() >= deadline)

    def tell_the_rest(self) -> None:
        """Prints how many lines about processes were left out."""
        self._telling.catch_up(is_over=True)

    @property
    def last_exited(self) -> str:
        """How a line about the end begins, if the exit of the one process is the reason."""
        if self._names_processes or not self._all_exited():
            return ""
        return f"PID {self.followed[0].pid} has exited; "

    def _follow(self, candidate: Candidate) -> Followed:
        budget = self._budgets.of_process(candidate.process.owner)
        return Followed(self._session, candidate, self._arm_timeout, self._telling, budget)

    def _staying(self) -> list[Followed]:
        return [each for each in self.followed if not each.is_leaving]

    def _have_begun(self) -> bool:
        """Returns true if something is attached to, or no process has anything to attach to."""
        if any(each.has_some for each in self.followed):
            return True
        return not self._targets.is_loading and all(each.is_attached for each in self._staying())

    def _wait_until(self, is_over: Callable[[], bool], seconds: float) -> None:
        """Waits until `is_over`; with several processes, at most for `seconds`."""
        deadline = time.monotonic() + seconds if self._names_processes else float("inf")
        self._go_on(lambda: is_over() or time.monotonic() >= deadline)

    def _go_on(self, is_over: Callable[[], bool]) -> None:
        while self._end.going_on() and not is_over() and not self._all_exited():
            self._crew.seen()
            for followed in list(self.followed):
                self._see_to(followed)
            for candidate in self._targets.more():
                self._candidates.append(candidate)
                self.followed.append(self._follow(candidate))
            self._telling.catch_up()
            self._meanwhile()
            self._end.wait(self._pause(), self._crew.descriptor, self._targets.descriptor)

    def _pause(self) -> float:
        if any(followed.is_arming_soon for followed in self.followed):
            return ARMING_SECONDS
        return _TICK_SECONDS

    def _see_to(self, followed: Followed) -> None:
        """Takes the result of its last errand, and starts the next one."""
        if followed.errand is not None:
            if not followed.errand.has_ended:
                return
            errand, followed.errand = followed.errand, None
            if followed.is_leaving:
                self._forget(followed)
                return
            for line in followed.take_lines():
                self._say(line, followed)
            if errand.error is not None:
                self._fail(followed, errand.error)
        if (followed.has_exited and self._names_processes) or followed.is_leaving:
            followed.is_leaving = True
            followed.exited_first = followed.has_exited
            followed.errand = self._leaving.give(followed.leave, followed.group)
        elif followed.is_due():
            followed.errand = self._crew.give(followed.step, followed.group)

    def _fail(self, followed: Followed, error: BaseException) -> None:
        """Handles an error of any kind: one process caused it, and the others are still served."""
        if followed.has_exited:
            return
        if lacks_files(error) and (followed.is_attached or self._names_processes):
            # No process caused this, and it will pass.
            followed.try_later()
            if not self._has_told_of_files:
                self._has_told_of_files = True
                warn(f"{explain(error, 'look at a process').message}; tried again until it can be")
            return
        if not self._names_processes:
            raise error
        problem = explain(error, f"follow PID {followed.pid}")
        followed.is_leaving = True
        whom = f"PID {followed.pid} ({followed.candidate.name})"
        self._telling.warn(followed.process, f"leaving out {whom}: {problem.message}")

    def _forget(self, followed: Followed) -> None:
        self.followed.remove(followed)
        self._candidates.remove(followed.candidate)
        if followed.exited_first:
            self._say("has exited", followed)

    def _all_exited(self) -> bool:
        if self._targets.asked.is_open or self._targets.is_loading:
            return False
        return all(followed.has_exited for followed in self.followed)

    def _say(self, line: str, followed: Followed | None = None) -> None:
        """The first line tells the address."""
        line += self._serving
        if followed is None:
            status(line)
        elif self._names_processes:
            self._telling.say(followed.process, f"PID {followed.pid} ({followed.candidate.name}): {line}")
        else:
            self._telling.say(followed.process, line)
        self._serving = ""
