"""Executes the commands of a collector's clients in the agents of its processes.

Each command runs in a thread of its own and has a deadline: an agent that does not answer delays neither
events nor other processes.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from typing import Protocol, TypeVar

from jcollect.control.cancel import Cancellation
from jcollect.control.open_gateway import open_agents_gateway, open_gateway
from jcollect.errors import JcollectError
from jcollect.probes.host import Host
from jcollect.probes.probe import Probe
from jcollect.probes.process_row import ProcessRow, read_row
from jcollect.procfs import capabilities as cap
from jcollect.procfs.process import Process
from jcollect.session.commands import Command, Outcome, Select, Unselect, select, set_gates, unselect
from jcollect.session.selections import Selections
from jcollect.worker_pool import WorkerPool

_MOST_COMMANDS = 4
# Time in addition to that of the command: the gateway itself observes that one.
_MARGIN_SECONDS = 2.0
_LIST_SECONDS = 10.0
# A scan of the host costs CPU time: clients share one per second.
_LISTED_SECONDS = 1.0

_Result = TypeVar("_Result")


class NotTracedError(JcollectError):
    """The collector does not trace the process."""


class BusyError(JcollectError):
    """Other commands are being executed."""


class LateError(JcollectError):
    """A command has not ended in time."""


class TracedProcess(Protocol):
    """The part of a tracee that commands use."""

    @property
    def process(self) -> Process: ...
    def reconsider(self) -> None: ...


class Commander:
    """For any thread."""

    def __init__(self, traced: Callable[[], Iterable[TracedProcess]]) -> None:
        """`traced` returns the processes that the collector traces."""
        self._traced = traced
        self._lock = threading.Lock()
        self._selections: dict[int, Selections] = {}
        self._running: dict[int, Cancellation] = {}
        self._is_listing = False
        self._rows: list[ProcessRow] = []
        self._listed = float("-inf")
        self._is_closed = False
        # The limit is kept here, so that further ones are rejected and do not wait.
        self._pool = WorkerPool("execute commands", _MOST_COMMANDS + 1, share=_MOST_COMMANDS + 1)

    def execute(self, pid: int, command: Command, seconds: float) -> Outcome:
        """Executes a command. Raises JcollectError, also NotTracedError, BusyError, LateError."""
        tracee = self._tracee(pid)
        process = _same(tracee.process)
        try:
            cancellation = self._begin(process)
        except BaseException:
            process.close()
            raise

        def run() -> Outcome:
            try:
                with cancellation.applied():
                    return self._run(self._of(process), command, seconds)
            finally:
                with self._lock:
                    del self._running[pid]

        outcome = self._wait(run, process.owner, seconds + _MARGIN_SECONDS, f"PID {pid}", cancellation)
        tracee.reconsider()
        return outcome

    def processes(self) -> list[ProcessRow]:
        """Lists the processes of this host that can be traced, at most a second old. Raises
        JcollectError."""
        with self._lock:
            if time.monotonic() - self._listed < _LISTED_SECONDS:
                return self._rows
            if self._is_listing or self._is_closed:
                raise BusyError("another call lists the processes; try again")
            self._is_listing = True

        def run() -> list[ProcessRow]:
            host = Host()
            try:
                rows = [read_row(process) for process in host.scan()]
                with self._lock:
                    self._rows, self._listed = rows, time.monotonic()
                return rows
            finally:
                host.close()
                with self._lock:
                    self._is_listing = False

        return self._wait(run, None, _LIST_SECONDS, "the list of processes", Cancellation())

    def has_selected(self, process: Process, probe: Probe) -> bool:
        """Returns true if a client has selected the method of a probe through this collector."""
        found = self._selections.get(process.pid)
        return found is not None and found.has(probe)

    def forget(self, process: Process) -> None:
        """Ends the leases in a process that is not traced any more."""
        with self._lock:
            found = self._selections.pop(process.pid, None)
            running = self._running.get(process.pid)
        if running is not None:
            running.cancel()
        if found is not None:
            found.close()

    def close(self) -> None:
        """Ends all leases. Running commands are cancelled."""
        with self._lock:
            self._is_closed = True
            every, self._selections = list(self._selections.values()), {}
            running = list(self._running.values())
        self._pool.close()
        for cancellation in running:
            cancellation.cancel()
        for each in every:
            each.close()

    def is_traced(self, pid: int) -> bool:
        return any(each.process.pid == pid for each in self._traced())

    def _tracee(self, pid: int) -> TracedProcess:
        for each in self._traced():
            if each.process.pid == pid and not each.process.has_exited:
                return each
        raise NotTracedError(
            f"this collector does not trace PID {pid}; name a process that it is attached to, or attach to "
            f"it with jcollect attach {pid}"
        )

    def _begin(self, process: Process) -> Cancellation:
        """Reserves the process for a command. Raises BusyError."""
        with self._lock:
            if process.pid in self._running:
                raise BusyError(f"another command is being executed in PID {process.pid}; try again")
            if len(self._running) >= _MOST_COMMANDS or self._is_closed:
                raise BusyError(f"the collector is executing {_MOST_COMMANDS} other commands; try again")
            cancellation = self._running[process.pid] = Cancellation()
            return cancellation

    def _of(self, process: Process) -> Selections:
        with self._lock:
            if self._is_closed:
                raise JcollectError("the collector is exiting")
            found = self._selections.get(process.pid)
            if found is None or found.process.has_exited:
                found = self._selections[process.pid] = Selections(process)
            else:
                process.close()
            return found

    def _run(self, selections: Selections, command: Command, seconds: float) -> Outcome:
        try:
            if isinstance(command, Select):
                return _select(selections, command, seconds)
            gateway = selections.gateway or open_agents_gateway(selections.process, seconds=seconds)
            try:
                if isinstance(command, Unselect):
                    outcome = unselect(gateway, command)
                    selections.remove(outcome.reply)
                    return outcome
                return set_gates(selections.process, gateway, command)
            finally:
                if gateway is not selections.gateway:
                    gateway.close()
        except JcollectError as error:
            raise _with_privileges(error) from None

    def _wait(
        self,
        run: Callable[[], _Result],
        owner: int | None,
        seconds: float,
        whom: str,
        cancellation: Cancellation,
    ) -> _Result:
        task = self._pool.submit(run, owner)
        if not task.wait(seconds):
            cancellation.cancel()
            raise LateError(
                f"{whom} has not answered within {seconds:g} s; the command may still be executed"
            )
        if task.error is not None:
            raise task.error
        result: _Result = task.result
        return result


def _select(selections: Selections, command: Select, seconds: float) -> Outcome:
    held = None if command.keep else selections.gateway
    gateway = held or open_gateway(selections.process, seconds=seconds, say=lambda line: None)
    is_taken = False
    try:
        selections.make_room(gateway)
        outcome = select(gateway, command)
        is_taken = not command.keep
        selections.add(outcome.reply, gateway if is_taken else None)
        return outcome
    finally:
        if not is_taken and gateway is not held:
            gateway.close()


def _same(process: Process) -> Process:
    """Opens a traced process once more: the command may outlast its tracing. Raises NotTracedError."""
    try:
        opened = Process.open(process.pid)
        if opened.start_time == process.start_time and not process.has_exited:
            return opened
        opened.close()
    except (JcollectError, OSError):
        pass
    raise NotTracedError(f"PID {process.pid} has exited")


def _with_privileges(error: JcollectError) -> JcollectError:
    """Adds what the collector lacks: it has given up what its own options do not need."""
    if cap.holds(cap.SYS_ADMIN) or "network namespace" not in error.message:
        return error
    return JcollectError(
        f"{error.message}; the collector gave up CAP_SYS_ADMIN when it started: start it with --select, or "
        "use jcollect select on its machine"
    )
