"""Which processes `jcollect attach` attaches to: given by PID, or all that match, as they come."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from dataclasses import dataclass

from jcollect.commands.control import took
from jcollect.commands.followed import Candidate
from jcollect.commands.options import plural, status, warn
from jcollect.control.lease import is_selected_by, leased_selection
from jcollect.discovery.globs import matcher, names_matcher
from jcollect.discovery.host import Host, HostProcess
from jcollect.discovery.live import not_retired
from jcollect.discovery.probes import Wanted
from jcollect.discovery.process import NothingYetError, TracedProcess, check_exists, find_process, look
from jcollect.errors import JcollectError, NoFilesError, lacks_files


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
    """Finds candidates; for one thread. Each is the caller's to close."""

    def __init__(self, asked: Asked) -> None:
        self.asked = asked
        self._is_meant = matcher(asked.globs)
        self._is_named = names_matcher(() if asked.every else asked.names)
        self._host = Host()
        # Of those that were given by PID.
        self._names: dict[int, str] = {}
        # Processes that were taken, or refused for good: PID and start.
        self._settled: set[tuple[int, int]] = set()

    def first(self) -> list[Candidate]:
        """Those to begin with. Raises JcollectError where one that was asked for by its PID cannot be had."""
        found: list[Candidate] = []
        try:
            known = {process.pid: process for process in self._host.look()}
            for pid in self.asked.pids:
                process = known.get(pid)
                found.append(self._given(pid, process.name if process else ""))
                if process:
                    self._settled.add((process.pid, process.start))
            if self.asked.is_open:
                found += self._matching(list(known.values()))
        except BaseException:
            for candidate in found:
                candidate.close()
            raise
        return found

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

    def more(self) -> list[Candidate]:
        """Those that have come since the last call."""
        try:
            return self._matching(self._host.look()) if self.asked.is_open else []
        except OSError as error:
            if lacks_files(error):
                return []
            raise

    def _given(self, pid: int, name: str) -> Candidate:
        name = name or check_exists(pid)
        self._names[pid] = name
        with contextlib.ExitStack() as lease:
            wanted = self._select(pid, lease)
            process = self._find(pid)
            return Candidate(process, name, wanted, lease.pop_all())

    def _find(self, pid: int) -> TracedProcess:
        """The process, with something to attach to unless we are to wait for it."""
        if self.asked.wait or self.asked.selectors:
            return look(pid, warn)
        try:
            process = find_process(pid, warn)
            probes = process.probes(self.asked.globs)
            if not not_retired(probes):
                raise NothingYetError(
                    f"PID {pid} has such probes no more: their classes are gone, "
                    "or they are selected no longer"
                )
            return process
        except NothingYetError as error:
            raise JcollectError(f"{error.message}; add --wait to wait for probes") from None

    def _matching(self, processes: Sequence[HostProcess]) -> list[Candidate]:
        # Until it is gone: one that has no probes for a while is not told of, and may have some again.
        self._settled = {each for each in self._settled if os.path.exists(f"/proc/{each[0]}")}
        found = []
        for process in processes:
            identity = (process.pid, process.start)
            # What may still get an agent, or probes of its own, is looked at again.
            is_ready = process.has_stubs or (process.is_jvm and bool(self.asked.selectors))
            if identity in self._settled or not is_ready or not self._is_named((process.name,)):
                continue
            self._settled.add(identity)
            try:
                with contextlib.ExitStack() as lease:
                    wanted = self._select(process.pid, lease) if process.is_jvm else self._is_meant
                    traced = look(process.pid, warn)
                    found.append(Candidate(traced, process.name, wanted, lease.pop_all()))
            except NoFilesError:
                self._settled.discard(identity)
            except JcollectError as error:
                # Processes come and go; one that has gone has nothing to be left out.
                if os.path.exists(f"/proc/{process.pid}"):
                    warn(f"leaving out PID {process.pid} ({process.name}): {error.message}")
        return found

    def _select(self, pid: int, lease: contextlib.ExitStack) -> Wanted:
        """Which probes are meant; what --select asks for is selected for as long as the lease holds."""
        if not self.asked.selectors:
            return self._is_meant
        reply = lease.enter_context(leased_selection(pid, self.asked.selectors, warn=warn))
        if reply.refusal:
            raise JcollectError(f"PID {pid} traces nothing: {reply.refusal}")
        failed = f"; {len(reply.failed):,} that match cannot be traced" if reply.failed else ""
        whose = f" of PID {pid}" if self.asked.is_open or len(self.asked.pids) > 1 else ""
        status(f"selected {plural(len(reply.methods), 'method')}{whose} in {took(reply)}{failed}")
        is_selected = is_selected_by(reply)
        return lambda probe: self._is_meant(probe) and is_selected(probe)
