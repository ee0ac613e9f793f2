"""Finds the processes that `jcollect attach` attaches to: given by PID, or matching as they start."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Sequence
from functools import partial

from jcollect.budget import Budgets
from jcollect.console import warn
from jcollect.control.lease import Lease, leased_selection
from jcollect.control.selected import selected_text
from jcollect.errors import JcollectError, explain, lacks_files
from jcollect.limits import MAX_SHOWN_NAME
from jcollect.probes.globs import matcher, names_matcher
from jcollect.probes.host import Host, HostProcess
from jcollect.probes.live import not_retired
from jcollect.probes.probe import Probe, Wanted
from jcollect.probes.scan import NothingYetError, Scan, scan, scan_traceable
from jcollect.procfs.process import Process
from jcollect.procfs.reader_process import cpu_seconds
from jcollect.procfs.status import is_descendant
from jcollect.session.candidate import Candidate
from jcollect.session.loading import Loading
from jcollect.session.marks import find_marks
from jcollect.session.missing_name import MissingName
from jcollect.session.options import TargetOptions
from jcollect.session.process_lines import ProcessLines
from jcollect.shortened import shortened, with_clause
from jcollect.worker_pool import Task, WorkerPool

# Interval between two searches for new processes.
_HOST_SECONDS = 0.4
# Maximum time that the start waits for all processes that are already there.
_FIRST_SECONDS = 3.0
_POLL_SECONDS = 0.02
# Maximum time at the end to unselect in all processes together.
_CLOSE_SECONDS = 4.0
# CPU time of one load in the process that attaches to the JVM.
_LOAD_CPU_SECONDS = 0.05


class Targets:
    """Finds candidates. For one thread. The caller closes each of them.

    Except for a single PID, threads scan processes and load agents, so that a process that does not answer
    delays no other one.
    """

    def __init__(self, options: TargetOptions, processes: Sequence[Process]) -> None:
        """`processes` are those that are given by PID."""
        self.options = options
        self.lines = ProcessLines()
        self.budgets = Budgets()
        self._matches = matcher(options.globs)
        is_any = options.every or options.below is not None
        self._matches_name = names_matcher(() if is_any else options.names)
        self._missing_name = MissingName(() if is_any else options.names, self._matches_name)
        self._host = Host()
        self._searching = WorkerPool("look for processes", 1)
        self._search: Task | None = None
        self._searched = float("-inf")
        self._loading = Loading()
        self._given = {process: process.name for process in processes}  # With their names.
        # PIDs and start times of processes that were loaded, or permanently rejected.
        self._settled: set[tuple[int, int]] = set()

    def first(self) -> list[Candidate]:
        """Returns the candidates to begin with. Raises JcollectError if the only one, or all of them,
        cannot be attached to."""
        found: list[Candidate] = []
        try:
            self._find_first(found)
        except BaseException:
            self.close(found)
            raise
        return found

    def _find_first(self, found: list[Candidate]) -> None:
        self._search_host()
        if self._search is not None:
            self._search.wait(_FIRST_SECONDS)
        known = {each.pid: each for each in self._hosts_processes()}
        for process in self._given:
            if on_host := known.get(process.pid):
                self._given[process] = on_host.name
                self._settled.add((on_host.pid, on_host.start))
        if len(self._given) == 1 and not self.options.is_open:
            ((process, name),) = self._given.items()
            found.append(self._load(process, name, is_given=True))
            return
        for process, name in self._given.items():
            self._loading.begin(process, name, partial(self._load, process, name, True))
        if self.options.is_open:
            self._begin_matching(list(known.values()))
        deadline = time.monotonic() + _FIRST_SECONDS
        problems: dict[Process, JcollectError] = {}
        while self._loading.is_busy and (time.monotonic() < deadline or self._is_hopeless(found)):
            self._loading.wait(_POLL_SECONDS)
            found += self._loaded(problems)
        found += self._loaded(problems)
        if problems and self._is_hopeless(found):
            raise next(problems[process] for process in self._given if process in problems)

    def _is_hopeless(self, found: Sequence[Candidate]) -> bool:
        """Returns true if there is nothing to serve and nothing more can come."""
        return not found and not self.options.is_open

    def __str__(self) -> str:
        """Returns a text such as "probes of PID 4711 (java) that match --probe '*Orders*'"."""
        options = self.options
        whose = [f"PID {process.pid} ({name})" for process, name in self._given.items()]
        whose += [f"JVMs named '{name}'" for name in options.names]
        whose += ["any process"] if options.every else []
        whose += [f"JVMs that PID {options.below} starts"] if options.below is not None else []
        narrowed = [
            " or ".join(f"--{option} '{each}'" for each in given)
            for option, given in (("probe", options.globs), ("select", options.selectors))
            if given
        ]
        which = f" that match {' and '.join(narrowed)}" if narrowed else ""
        return f"probes of {' or '.join(whose)}{which}"

    @property
    def is_loading(self) -> bool:
        """True while processes that were found may still become candidates."""
        return self._loading.is_busy

    @property
    def descriptor(self) -> int:
        """Becomes readable when `more` has something to take."""
        return self._loading.descriptor

    def more(self) -> list[Candidate]:
        """Returns the candidates that have come since the last call. Never waits."""
        if self.options.is_open:
            if self._search is not None and self._search.has_ended:
                self._begin_matching(self._hosts_processes())
            self._search_host()
        return self._loaded({})

    def close(self, candidates: Sequence[Candidate]) -> None:
        """Closes these candidates and those still being loaded, side by side; waits briefly for that."""
        self._searching.close()
        left = self._loading.close(candidates, _CLOSE_SECONDS)
        self.lines.catch_up(is_over=True)
        if left:
            warn(
                f"{left:,} process{'' if left == 1 else 'es'} did not unselect the methods in time; "
                "their agents will do so as soon as they can"
            )

    def _search_host(self) -> None:
        if self._search is None and time.monotonic() - self._searched >= _HOST_SECONDS:
            self._search = self._searching.submit(self._host.scan, None)

    def _hosts_processes(self) -> list[HostProcess]:
        """Returns what the last search found, if it has ended."""
        if self._search is None or not self._search.has_ended:
            return []
        search, self._search = self._search, None
        self._searched = time.monotonic()
        if search.error is not None and lacks_files(search.error):
            return []
        if search.error is not None:
            raise explain(search.error, "look for processes")
        found: list[HostProcess] = search.result
        return found

    def _begin_matching(self, processes: Sequence[HostProcess]) -> None:
        self._missing_name.look_at(processes)
        # A process stays settled until it exits: one that has no probes for a while is not reported, and may
        # get some again.
        self._settled = {each for each in self._settled if os.path.exists(f"/proc/{each[0]}")}
        for each in processes:
            identity = (each.pid, each.start)
            # A process that may still get an agent or probes of its own is checked again.
            is_ready = each.has_stubs or (each.is_jvm and bool(self.options.selectors))
            if identity in self._settled or not is_ready or not self._matches_name((each.name,)):
                continue
            if not self._is_below(each):
                continue
            if not self.budgets.allows_new(each.uid):
                continue  # The next search finds it again.
            with contextlib.suppress(JcollectError):  # It has exited, or the next search finds it again.
                process = each.open()
                self._settled.add(identity)
                load = partial(self._load, process, each.name, is_given=False, may_select=each.is_jvm)
                self._loading.begin(process, each.name, load)

    def _is_below(self, each: HostProcess) -> bool:
        """Returns false if only descendants of a process count, and this is none with an agent."""
        top = self.options.below
        return top is None or (each.has_stubs and is_descendant(each.pid, top))

    def _loaded(self, problems: dict[Process, JcollectError]) -> list[Candidate]:
        """Returns the candidates that are ready; reports why others are left out."""
        found = []
        for process, name, task in self._loading.ended():
            if task.error is None:
                found.append(task.result)
                continue
            self._leave_out(process, name, task.error, problems)
            process.close()
        return found

    def _leave_out(
        self, process: Process, name: str, error: BaseException, problems: dict[Process, JcollectError]
    ) -> None:
        if self.options.is_open and lacks_files(error):
            # The cause is temporary, and the next search finds the process again.
            self._settled = {each for each in self._settled if each[0] != process.pid}
            return
        # Whatever the error is, one process caused it.
        problem = explain(error, f"attach to PID {process.pid}")
        problems[process] = problem
        # Processes come and go; one that has exited is not reported as left out.
        if self._names_processes and not process.has_exited:
            whom = f"PID {process.pid} ({shortened(name, MAX_SHOWN_NAME)})"
            self.lines.warn(process, f"leaving out {whom}: {problem.message}")

    @property
    def _names_processes(self) -> bool:
        return self.options.is_open or len(self.options.pids) > 1

    def _load(self, process: Process, name: str, is_given: bool, may_select: bool = True) -> Candidate:
        used = cpu_seconds()
        try:
            with contextlib.ExitStack() as lease:
                selection = self._select(process, lease) if may_select else None
                wanted = self._matches if selection is None else self._wanted(selection)
                if self.options.only_marks:
                    wanted = _nothing
                found = self._scan_given(process) if is_given else scan(process, self.lines.about(process))
                marks = self._marks(process)
                return Candidate(found, name, wanted, lease.pop_all(), selection, self.options.globs, marks)
        finally:
            loaded = _LOAD_CPU_SECONDS if may_select and self.options.selectors else 0.0
            self.budgets.charge_new(process.owner, cpu_seconds() - used + loaded)

    def _scan_given(self, process: Process) -> Scan:
        """Scans a process. Raises JcollectError if it has no probes yet and they are not waited for."""
        warn_of_it = self.lines.about(process)
        if self.options.wait or self.options.selectors or self.options.has_marks:
            return scan(process, warn_of_it)
        try:
            found = scan_traceable(process, warn_of_it)
            if not not_retired(found.probes(self.options.globs)):
                raise NothingYetError(
                    f"all matching probes of PID {process.pid} are retired: their classes were unloaded or "
                    "their methods unselected"
                )
            return found
        except NothingYetError as error:
            raise JcollectError(with_clause(error.message, "add --wait to wait for probes")) from None

    def _marks(self, process: Process) -> list[Probe]:
        """Returns the wanted USDT probes besides those of jprobe. Raises JcollectError."""
        options = self.options
        warn_of_it = self.lines.about(process)
        return find_marks(process, options.jvm, options.usdt, warn_of_it, options.pauses)

    def _wanted(self, selection: Lease) -> Wanted:
        return lambda probe: self._matches(probe) and selection.selected.has(probe)

    def _select(self, process: Process, stack: contextlib.ExitStack) -> Lease | None:
        """Selects the methods of --select for as long as the stack holds, and reports what they are; None
        without --select."""
        if not self.options.selectors:
            return None
        options = self.options
        leased = leased_selection(
            process,
            options.selectors,
            warn=self.lines.about(process),
            limits=options.limits,
            say=partial(self.lines.say, process),
        )
        lease = stack.enter_context(leased)
        selected = lease.selected
        if selected.refusal:
            raise JcollectError(f"PID {process.pid} traces nothing: {selected.refusal}")
        whose = f" of PID {process.pid}" if self._names_processes else ""
        self.lines.say(process, selected_text(selected, whose, options.held))
        for selector in selected.without_effect:
            self.lines.warn(
                process, f"'{selector}' has no effect{whose}: an earlier --select decides for its methods"
            )
        for remark in selected.remarks_if_held if options.held else selected.remarks:
            self.lines.warn(process, f"{f'PID {process.pid}: ' if self._names_processes else ''}{remark}")
        return lease


def _nothing(probe: Probe) -> bool:
    return False
