"""What `jcollect attach` does between attaching and detaching: takes in what appears, and says so."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

from jcollect.commands.end import End
from jcollect.commands.followed import Candidate, Followed
from jcollect.commands.options import status, warn
from jcollect.commands.targets import Targets
from jcollect.errors import JcollectError, explain, lacks_files
from jcollect.stream.session import Session

# Between two looks for processes that have started.
_HOST_SECONDS = 0.4
_TICK_SECONDS = 0.2
_ARMING_SECONDS = 0.003


class Following:
    """Keeps a session attached to all that is wanted of its processes, as they and it come and go."""

    def __init__(
        self,
        session: Session,
        targets: Targets,
        candidates: list[Candidate],
        end: End,
        arm_timeout: float,
    ) -> None:
        """`candidates` are those to begin with: their probes have ids and are described from now on. Those
        that come are added to them; all are the caller's to close."""
        self._session = session
        self._targets = targets
        self._candidates = candidates
        self._end = end
        self._serving = ""
        self._meanwhile: Callable[[], None] = lambda: None
        self._arm_timeout = arm_timeout
        # Whether lines have to say whom they are about.
        self._names_processes = targets.asked.is_open or len(targets.asked.pids) > 1
        self._has_told_of_files = False
        self._looked = time.monotonic()
        self.followed = [Followed(session, candidate, arm_timeout) for candidate in candidates]

    def run(self, serving: str, seconds: float | None, meanwhile: Callable[[], None]) -> None:
        """Attaches, and follows until something ends it; `seconds` at most, from when everything is armed.

        `serving` is the address, which the first line tells. `meanwhile` is called again and again.

        Raises JcollectError where what there is to begin with cannot be attached to.
        """
        self._serving = f"; serving {serving}"
        self._meanwhile = meanwhile
        has_some = [followed.attach() for followed in self.followed]
        if not any(has_some):
            self._say(f"waiting for {self._targets}")
        self._go_on(lambda: not any(followed.is_arming for followed in self.followed))
        deadline = None if seconds is None else time.monotonic() + seconds
        self._go_on(lambda: deadline is not None and time.monotonic() >= deadline)

    @property
    def last_exited(self) -> str:
        """How a line about the end begins, if the exit of the one process is the reason."""
        if self._names_processes or not self._all_exited():
            return ""
        return f"PID {self.followed[0].pid} has exited; "

    def _go_on(self, is_over: Callable[[], bool]) -> None:
        while self._end.going_on() and not is_over() and not self._all_exited():
            for followed in list(self.followed):
                if followed.has_exited and self._names_processes:
                    self._let_go(followed)
                else:
                    with self._unless_no_files():
                        followed.look_if_due()
            if time.monotonic() - self._looked >= _HOST_SECONDS:
                self._look_for_more()
            for followed in self.followed:
                for line in followed.settled():
                    self._say(line, followed)
            self._meanwhile()
            is_arming = any(followed.is_arming for followed in self.followed)
            self._end.wait(_ARMING_SECONDS if is_arming else _TICK_SECONDS)

    @contextlib.contextmanager
    def _unless_no_files(self) -> Iterator[None]:
        """Leaves a look for later, and says so once, where too many files are open."""
        try:
            yield
        except (JcollectError, OSError) as error:
            if not lacks_files(error):
                raise
            if not self._has_told_of_files:
                self._has_told_of_files = True
                warn(f"{explain(error, 'look at a process').message}; tried again until it can be")

    def _all_exited(self) -> bool:
        if self._targets.asked.is_open:
            return False
        return all(followed.has_exited for followed in self.followed)

    def _let_go(self, followed: Followed) -> None:
        followed.leave()
        self.followed.remove(followed)
        self._candidates.remove(followed.candidate)
        self._say("has exited", followed)

    def _look_for_more(self) -> None:
        for candidate in self._targets.more():
            self._candidates.append(candidate)
            followed = Followed(self._session, candidate, self._arm_timeout)
            self.followed.append(followed)
            try:
                followed.attach()
            except JcollectError as error:
                warn(error.message)
        self._looked = time.monotonic()

    def _say(self, line: str, followed: Followed | None = None) -> None:
        """The first line tells the address."""
        if followed is not None and self._names_processes:
            line = f"PID {followed.pid} ({followed.candidate.name}): {line}"
        status(line + self._serving)
        self._serving = ""
