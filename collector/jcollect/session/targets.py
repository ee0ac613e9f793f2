"""Which processes `jcollect attach` attaches to: given by PID, or all that match, as they come."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from jcollect.budget import Budgets
from jcollect.console import plural, warn
from jcollect.control.lease import leased_selection
from jcollect.control.selected import took
from jcollect.crew import Crew, Errand
from jcollect.errors import JcollectError, explain, lacks_files
from jcollect.limits import MAX_TOLD_NAME
from jcollect.probes.globs import matcher, names_matcher
from jcollect.probes.host import Host, HostProcess
from jcollect.probes.live import not_retired
from jcollect.probes.probe import Wanted
from jcollect.probes.process import NothingYetError, TracedProcess, check_exists, find_process, look
from jcollect.procfs.owner import owner_of
from jcollect.procfs.reader_process import cpu_seconds
from jcollect.session.candidate import Candidate
from jcollect.session.loading import Loading
from jcollect.session.process_lines import Telling
from jcollect.told import told

# Interval between two searches for new processes.
_HOST_SECONDS = 0.4
# Maximum time that the start waits for all processes that are already there.
_FIRST_SECONDS = 3.0
_POLL_SECONDS = 0.02
# Maximum time that the end waits until selections are taken back, for all processes together.
_CLOSE_SECONDS = 4.0
# CPU time that one load costs jcollect, in the process that talks to the JVM's attach mechanism.
_LOAD_CPU_SECONDS = 0.05


@dataclass(frozen=True)
class Asked:
    """What the command line asks for."""

    pids: Sequence[int]
    names: Sequence[str]
    every: bool
    globs: Sequence[str]
    selectors: Sequence[str]
    wait: bool

    @property
    def is_open(self) -> bool:
        """Whether processes that start later may be meant."""
        return self.every or bool(self.names)


class Targets:
    """Finds candidates. For one thread. The caller ends each one by `close`.

    Except for a single PID, threads look at processes and load agents: a process that does not answer keeps
    no other one waiting.
    """

    def __init__(self, asked: Asked) -> None:
        self.asked = asked
        self.telling = Telling()
        self.budgets = Budgets()
        self._is_meant = matcher(asked.globs)
        self._is_named = names_matcher(() if asked.every else asked.names)
        self._host = Host()
        self._searching = Crew("look for processes", 1)
        self._search: Errand | None = None
        self._searched = float("-inf")
        self._loading = Loading()
        # Of those that were given by PID.
        self._names: dict[int, str] = {}
        # Processes that were taken, or refused for good: PID and start.
        self._settled: set[tuple[int, int]] = set()

    def first(self) -> list[Candidate]:
        """Returns the candidates to begin with. Raises JcollectError if the only one, or each of several,
        cannot be attached to."""
        found: list[Candidate] = []
        try:
            self._find_first(found)
        except BaseException:
            self.close(found)
            raise
        return found

    def _find_first(self, found: list[Candidate]) -> None:
        self._look_at_host()
        if self._search is not None:
            self._search.wait(_FIRST_SECONDS)
        known = {process.pid: process for process in self._hosts_processes()}
        for pid in self.asked.pids:
            process = known.get(pid)
            self._names[pid] = process.name if process else check_exists(pid)
            if process:
                self._settled.add((process.pid, process.start))
        if len(self.asked.pids) == 1 and not self.asked.is_open:
            (pid,) = self.asked.pids
            found.append(self._load(pid, self._names[pid], is_given=True))
            return
        for pid in self.asked.pids:
            self._loading.begin(pid, self._names[pid], partial(self._load, pid, self._names[pid], True))
        if self.asked.is_open:
            self._begin_matching(list(known.values()))
        deadline = time.monotonic() + _FIRST_SECONDS
        problems: dict[int, JcollectError] = {}
        while self._loading.is_busy and (time.monotonic() < deadline or self._is_vain(found)):
            self._loading.wait(_POLL_SECONDS)
            found += self._loaded(problems)
        found += self._loaded(problems)
        if problems and self._is_vain(found):
            raise next(problems[pid] for pid in self.asked.pids if pid in problems)

    def _is_vain(self, found: Sequence[Candidate]) -> bool:
        """Returns true if there is nothing to serve and nothing more can come."""
        return not found and not self.asked.is_open

    def __str__(self) -> str:
        """As in "probes of PID 4711 (java) that match --probe '*Orders*'"."""
        asked = self.asked
        whose = [f"PID {pid} ({self._names[pid]})" for pid in asked.pids]
        whose += [f"JVMs named '{name}'" for name in asked.names]
        whose += ["any process"] if asked.every else []
        narrowed = [
            " or ".join(f"--{option} '{each}'" for each in given)
            for option, given in (("probe", asked.globs), ("select", asked.selectors))
            if given
        ]
        which = f" that match {' and '.join(narrowed)}" if narrowed else ""
        return f"probes of {' or '.join(whose)}{which}"

    @property
    def is_loading(self) -> bool:
        """Returns true while processes that were found already may still become candidates."""
        return self._loading.is_busy

    @property
    def descriptor(self) -> int:
        """Becomes readable when `more` has something to take."""
        return self._loading.descriptor

    def more(self) -> list[Candidate]:
        """Returns the candidates that have come since the last call. Never waits."""
        if self.asked.is_open:
            if self._search is not None and self._search.has_ended:
                self._begin_matching(self._hosts_processes())
            self._look_at_host()
        return self._loaded({})

    def close(self, candidates: Sequence[Candidate]) -> None:
        """Gives back the leases of these candidates and of those still to come, all at once; waits briefly
        for that."""
        self._searching.close()
        left = self._loading.close(candidates, _CLOSE_SECONDS)
        self.telling.catch_up(is_over=True)
        if left:
            warn(
                f"{left:,} process{'' if left == 1 else 'es'} have not taken back in time what was selected; "
                "their agents do as soon as they can"
            )

    def _look_at_host(self) -> None:
        if self._search is None and time.monotonic() - self._searched >= _HOST_SECONDS:
            self._search = self._searching.give(self._host.look, None)

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
        # A process stays settled until it exits: one that has no probes for a while is not reported, and may
        # get some again.
        self._settled = {each for each in self._settled if os.path.exists(f"/proc/{each[0]}")}
        for process in processes:
            identity = (process.pid, process.start)
            # A process that may still get an agent, or probes of its own, is looked at again.
            is_ready = process.has_stubs or (process.is_jvm and bool(self.asked.selectors))
            if identity in self._settled or not is_ready or not self._is_named((process.name,)):
                continue
            if not self.budgets.may_meet(process.uid):
                continue  # The next search finds it again.
            self._settled.add(identity)
            self._loading.begin(process.pid, process.name, partial(self._load_matching, process))

    def _loaded(self, problems: dict[int, JcollectError]) -> list[Candidate]:
        """Returns the candidates that are ready; reports why others are left out."""
        found = []
        for pid, name, errand in self._loading.ended():
            if errand.error is None:
                found.append(errand.result)
                continue
            if self.asked.is_open and lacks_files(errand.error):
                # The cause will pass, and the next search finds the process again.
                self._settled = {each for each in self._settled if each[0] != pid}
                continue
            # Whatever the error is, one process caused it.
            problem = explain(errand.error, f"attach to PID {pid}")
            problems[pid] = problem
            # Processes come and go; one that has exited is not reported as left out.
            is_told = self.asked.is_open or len(self.asked.pids) > 1
            if is_told and os.path.exists(f"/proc/{pid}"):
                whom = f"PID {pid} ({told(name, MAX_TOLD_NAME)})"
                self.telling.warn(pid, f"leaving out {whom}: {problem.message}")
        return found

    def _load_matching(self, process: HostProcess) -> Candidate:
        return self._load(process.pid, process.name, is_given=False, may_select=process.is_jvm)

    def _load(self, pid: int, name: str, is_given: bool, may_select: bool = True) -> Candidate:
        used = cpu_seconds()
        try:
            with contextlib.ExitStack() as lease:
                wanted = self._select(pid, lease) if may_select else self._is_meant
                process = self._find(pid) if is_given else look(pid, self.telling.about(pid))
                return Candidate(process, name, wanted, lease.pop_all())
        finally:
            loaded = _LOAD_CPU_SECONDS if may_select and self.asked.selectors else 0.0
            self.budgets.meet(owner_of(pid), cpu_seconds() - used + loaded)

    def _find(self, pid: int) -> TracedProcess:
        """The process, with something to attach to unless we are to wait for it."""
        warns = self.telling.about(pid)
        if self.asked.wait or self.asked.selectors:
            return look(pid, warns)
        try:
            process = find_process(pid, warns)
            probes = process.probes(self.asked.globs)
            if not not_retired(probes):
                raise NothingYetError(
                    f"PID {pid} has such probes no more: their classes are gone, "
                    "or they are selected no longer"
                )
            return process
        except NothingYetError as error:
            raise JcollectError(f"{error.message}; add --wait to wait for probes") from None

    def _select(self, pid: int, lease: contextlib.ExitStack) -> Wanted:
        """Which probes are meant; what --select asks for is selected for as long as the lease holds."""
        if not self.asked.selectors:
            return self._is_meant
        leased = leased_selection(pid, self.asked.selectors, warn=self.telling.about(pid))
        selected = lease.enter_context(leased)
        if selected.refusal:
            raise JcollectError(f"PID {pid} traces nothing: {selected.refusal}")
        failed = f"; {selected.failed:,} that match cannot be traced" if selected.failed else ""
        whose = f" of PID {pid}" if self.asked.is_open or len(self.asked.pids) > 1 else ""
        what = f"selected {plural(selected.methods, 'method')}{whose} in {took(selected)}{failed}"
        self.telling.say(pid, what)
        return lambda probe: self._is_meant(probe) and selected.has(probe)
