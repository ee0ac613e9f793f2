"""What `jcollect attach` does between attaching and detaching: takes in what appears, and says so."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from jcollect.attach.armed import Arming
from jcollect.commands.end import End
from jcollect.commands.options import plural, status, warn
from jcollect.discovery.maps import mapped_pages
from jcollect.discovery.probes import STATE_NAMES, Probe
from jcollect.stream.session import Addition, Session
from jprobe.v1 import probe_pb2

# A look takes 0.6 ms where the process has a thousand mappings. It is due when the size of the process has
# changed, but not more often than that; and this often although it has not: two changes may add up to none,
# and probes may be held back, retired, or come back.
_LOOK_SECONDS = 0.2
_IDLE_LOOK_SECONDS = 0.5
# Where there are very many mappings, looks become rarer, so that they take no more than this part of a CPU.
_MOST_OF_A_CPU = 1 / 200
_TICK_SECONDS = 0.1
_ARMING_SECONDS = 0.003
_NAMED = 3  # How many probes a warning names.


class Following:
    """Keeps a session attached to all that is wanted of its process, as it comes and goes."""

    def __init__(self, session: Session, end: End, serving: str, waiting: str, arm_timeout: float) -> None:
        """`serving` is the address; `waiting` says what for, where there is nothing to begin with."""
        self._session = session
        self._end = end
        self._serving = f"; serving {serving}"
        self._waiting = waiting
        self._arm_timeout = arm_timeout
        self._arming: list[Arming] = []
        self._looked = time.monotonic()
        self._pause = _LOOK_SECONDS
        self._pages = 0
        self._refusal = session.process.refusal
        self._has_armed = False

    def run(self, seconds: float | None) -> None:
        """Attaches, and follows until something ends it; `seconds` at most, from when everything is armed.

        Raises JcollectError where what there is to begin with cannot be attached to.
        """
        begun = time.monotonic()
        addition = self._session.attach()
        if self._refusal:
            warn(f"PID {self._session.pid} traces nothing: {self._refusal}")
        if not addition.probes:
            self._say_armed(f"waiting for {self._waiting}")
        self._take(addition, begun)
        self._go_on(lambda: not self._arming)
        deadline = None if seconds is None else time.monotonic() + seconds
        self._go_on(lambda: deadline is not None and time.monotonic() >= deadline)

    def _go_on(self, is_over: Callable[[], bool]) -> None:
        while self._end.going_on() and not is_over():
            if self._is_look_due():
                self._look()
            self._arming = [each for each in self._arming if not self._has_settled(each)]
            self._end.wait(_ARMING_SECONDS if self._arming else _TICK_SECONDS)

    def _is_look_due(self) -> bool:
        since = time.monotonic() - self._looked
        if since < self._pause:
            return False
        return since >= _IDLE_LOOK_SECONDS or mapped_pages(self._session.pid) != self._pages

    def _look(self) -> None:
        begun, used = time.monotonic(), time.thread_time()
        self._pages = mapped_pages(self._session.pid)
        self._take(self._session.follow(self._warn), begun)
        refusal = self._session.process.refusal
        if refusal and refusal != self._refusal:
            self._warn(f"PID {self._session.pid} traces nothing any more: {refusal}")
        self._refusal = refusal
        self._looked = time.monotonic()
        self._pause = max(_LOOK_SECONDS, (time.thread_time() - used) / _MOST_OF_A_CPU)

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

    def _has_settled(self, arming: Arming) -> bool:
        try:
            by_state = arming.look()
        except OSError:
            return True  # The process has exited, or made short work of a library: there is nothing to tell.
        if by_state is None:
            return False
        took = time.monotonic() - arming.begun
        armed = by_state.pop(probe_pb2.PROBE_STATE_ARMED, [])
        for state, probes in sorted(by_state.items()):
            self._warn_not_armed(state, probes)
        if armed or not self._has_armed:
            more = "more " if self._has_armed else ""
            methods = len({probe.method_key for probe in armed})
            self._say_armed(
                f"armed {len(armed):,} {more}probe{'' if len(armed) == 1 else 's'} of "
                f"{plural(methods, 'method')} in {took * 1000:.0f} ms"
            )
            self._has_armed = True
        return True

    def _say_armed(self, line: str) -> None:
        """The first line tells the address."""
        status(line + self._serving)
        self._serving = ""

    def _warn(self, message: str) -> None:
        # What goes wrong because the process is exiting is told at the end.
        if self._end.going_on():
            warn(message)

    def _warn_not_armed(self, state: int, probes: list[Probe]) -> None:
        if state == probe_pb2.PROBE_STATE_FAILED:
            reason = "cannot be woven (the JVM's log says why)"
        elif state == probe_pb2.PROBE_STATE_RETIRED:
            reason = "retired: their classes are gone, or they are selected no longer"
        else:
            reason = (
                f"not armed after {self._arm_timeout:g} s ({STATE_NAMES[state]}), "
                "and counted from when they are"
            )
        warn(f"{plural(len(probes), 'probe')} {reason}: {_names(probes)}")


def _names(probes: Sequence[Probe]) -> str:
    """Of a few, and how many more."""
    names = [f"{probe.provider}:{probe.name}" for probe in probes[:_NAMED]]
    more = len(probes) - _NAMED
    return ", ".join([*names, f"and {more:,} more"] if more > 0 else names)
