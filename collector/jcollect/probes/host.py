"""The processes of this host that can be traced, found again and again at little cost.

Of each process the file statm is kept open: to read it takes a microsecond, and it fails once the process is
gone, even if another one has its PID by then. Only where it says that something was mapped or executed is the
memory map read again.
"""

from __future__ import annotations

import os
import resource
import time
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass, replace

from jcollect.probes.stub_library import find_stub_mappings
from jcollect.procfs.identity import Identity
from jcollect.procfs.jvm import PATIENCE_SECONDS, Jvm, describe_jvm, is_libjvm, is_perfdata
from jcollect.procfs.maps import Mapping, read_maps
from jcollect.procfs.owner import owner_of
from jcollect.procfs.reader_process import cpu_seconds
from jcollect.procfs.reasons import is_passing
from jcollect.procfs.status import effective_user, only_user

_STATM_BYTES = 128
# Of the descriptors that this process may have, what is taken here; further processes cost more.
_SHARE_OF_DESCRIPTORS = 0.25
# A child of vfork and of posix_spawn runs in its parent's memory until it executes a program.
_YOUNG_SECONDS = 0.1
# So long after its start or exec a process is looked at whenever it has mapped something: a JVM may begin.
_STARTING_SECONDS = 5.0
# Of those that have mapped something later, as many as can be read in this time, for each look.
_CHANGED_SECONDS = 0.002
# A user can start any number of processes: all of them together get this much of a scan, or a fortieth of a
# core.
_USER_SECONDS = 0.02
_USER_PAUSES = 40
# A map that takes long to read is read the less often: it takes half a percent of a core.
_PAUSES = 200
# What has no memory, kernel threads and zombies, never will have any; every so many looks it is seen whether
# it is still the same.
_MEMORYLESS_LOOKS = 16
# A process that needs this long blocks us; after this much of it, its user has to wait for the next scan.
_SLOW_SECONDS = 0.1
_MOST_SLOW_SECONDS = 2.0
# Delay before a process that could not be read is tried again.
_RETRY_SECONDS = 1.0
_WAITING_COSTS = 0.1
_CLOCK_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class HostProcess:
    """A process at one moment.

    `start` is field 22 of /proc/PID/stat, in clock ticks since boot: with the PID it tells the process from
    every other that has or had the PID. `is_jvm`: it has libjvm.so mapped. `has_stubs`: it has stub libraries
    mapped. `jdk` is the version, as in "17.0.15", empty where unknown. `name` is the main class, as jps -l
    says it, also a jar's path or "module/class"; of what is no JVM, its command name.
    """

    pid: int
    start: int
    uid: int
    is_jvm: bool
    has_stubs: bool
    jdk: str
    name: str


class Host:
    """Asked again and again; what was looked at before and has not changed is not read again.

    For one thread.
    """

    def __init__(self) -> None:
        self._known: dict[int, _Process] = {}
        self._looks = 0
        self._users_paused_until: dict[int, float] = {}

    def look(self) -> list[HostProcess]:
        """JVMs, and others that have stub libraries, by ascending PID; without those that may not be read."""
        now = time.monotonic()
        self._looks += 1
        here = self._here()
        for pid in self._known.keys() - here:
            self._known.pop(pid).close()
        starting: list[_Process] = []
        changed: list[_Process] = []
        for pid in here:
            process = self._known.get(pid)
            if process and not process.has_memory and (self._looks + pid) % _MEMORYLESS_LOOKS:
                continue
            if process is None or not process.is_alive():
                process = self._meet(pid, now)
            if process is not None and process.is_due(now):
                is_starting = now < process.starting_until or not process.is_classified
                (starting if is_starting else changed).append(process)
        self._classify_starting(starting, now)
        changed.sort(key=lambda process: process.classified)
        begun = time.monotonic()
        for process in changed:
            process.classify(now)
            if time.monotonic() - begun > _CHANGED_SECONDS:
                break
        found = [process.found for process in self._known.values() if process.found]
        return sorted(found, key=lambda process: process.pid)

    def _classify_starting(self, starting: list[_Process], now: float) -> None:
        """Classifies all processes on the first scan. Later scans begin with those that have waited longest,
        and take as many of each user as its time allows: a user who has used more waits longer."""
        starting.sort(key=lambda process: process.classified)
        taken: defaultdict[int, float] = defaultdict(float)
        waited: defaultdict[int, float] = defaultdict(float)
        for process in starting:
            user = process.uid
            used_up = taken[user] > _USER_SECONDS if self._looks > 1 else waited[user] > _MOST_SLOW_SECONDS
            if now < self._users_paused_until.get(user, now) or used_up:
                continue
            begun = time.monotonic()
            cost = process.classify(now)
            seconds = time.monotonic() - begun
            # On the first scan, only processes that block us are charged.
            if self._looks > 1 or seconds > _SLOW_SECONDS:
                taken[user] += cost
                waited[user] += seconds
        self._users_paused_until = {
            user: until for user, until in self._users_paused_until.items() if until > now
        }
        for user, seconds in taken.items():
            if seconds > _USER_SECONDS:
                self._users_paused_until[user] = now + _USER_PAUSES * seconds

    def _here(self) -> set[int]:
        """Returns all PIDs, or the known ones if too few descriptors are left to list them."""
        try:
            return {int(name) for name in os.listdir("/proc") if name.isdecimal()}
        except OSError as error:
            if not is_passing(error):
                raise
            return set(self._known)

    def close(self) -> None:
        """Gives the descriptors back."""
        for process in self._known.values():
            process.close()
        self._known.clear()

    def _meet(self, pid: int, now: float) -> _Process | None:
        before = self._known.pop(pid, None)
        if before:
            before.close()
        may_keep = len(self._known) < resource.getrlimit(resource.RLIMIT_NOFILE)[0] * _SHARE_OF_DESCRIPTORS
        process = _Process(pid, may_keep, now)
        if process.is_alive():
            self._known[pid] = process
            return process
        process.close()
        return None


class _Process:
    """One process, from when it was first seen until it is gone."""

    def __init__(self, pid: int, may_keep_descriptor: bool, now: float) -> None:
        self._pid = pid
        self.uid = owner_of(pid)  # Owner when the process was first seen: the user who is charged.
        self._statm: int | None = None
        if may_keep_descriptor:
            with suppress(OSError):
                self._statm = os.open(f"/proc/{pid}/statm", os.O_RDONLY | os.O_CLOEXEC)
        self._memory = b""  # As statm has it now.
        self._seen = b""  # And when it was classified.
        self.has_memory = True
        self._paused_until = now
        self.starting_until = now + _STARTING_SECONDS
        self.classified = now
        self.found: HostProcess | None = None
        self._jvm: tuple[Mapping, Jvm] | None = None

    def is_alive(self) -> bool:
        """Whether it is still the same process; takes note of its memory."""
        try:
            if self._statm is not None:
                self._memory = os.pread(self._statm, _STATM_BYTES, 0)
            else:
                self._memory = _read(self._pid, "statm")
                if self.found and self.found.start != _start_and_name(self._pid)[0]:
                    return False
        except OSError as error:
            return is_passing(error) and bool(self._memory)
        return bool(self._memory)

    def is_due(self, now: float) -> bool:
        """Whether it may have become something else."""
        if self._memory == self._seen and not self._is_uncertain(now):
            return False
        size, text = _size_and_text(self._memory)
        self.has_memory = size > 0
        if not self.has_memory:
            self.found, self._seen = None, self._memory
            return False
        old_size, old_text = _size_and_text(self._seen) if self._seen else (0, 0)
        if text != old_text:
            self._jvm = None
            self.starting_until = now + _STARTING_SECONDS
        elif now < self._paused_until or (size == old_size and not self._is_uncertain(now)):
            return False
        return True

    def _is_uncertain(self, now: float) -> bool:
        return self._jvm is not None and not self._jvm[1].is_certain and now < self.starting_until

    @property
    def is_classified(self) -> bool:
        return bool(self._seen)

    def classify(self, now: float) -> float:
        """Determines what the process is; returns what this has cost, as `_cost` has it."""
        begun, used = time.monotonic(), cpu_seconds()
        self.classified = now
        try:
            start, command = _start_and_name(self._pid)
            if time.clock_gettime(time.CLOCK_BOOTTIME) - start / _CLOCK_TICKS < _YOUNG_SECONDS:
                return 0.0  # The process stays due.
            memory = self._memory
            self.found = self._find(start, command)
            self._seen = memory
        except (OSError, ValueError) as error:
            if isinstance(error, OSError) and is_passing(error):
                # The process stays due, and what is known about it stays.
                self._paused_until = now + _RETRY_SECONDS
                return _cost(begun, used)
            self.found, self._seen = None, self._memory  # Gone, or not ours to read.
        cost = _cost(begun, used)
        self._paused_until = now + _PAUSES * cost
        return cost

    def _find(self, start: int, command: str) -> HostProcess | None:
        user = _only_user(self._pid)
        mappings = read_maps(self._pid, b"/libjvm.so", b"/hsperfdata_", b"jprobe-", seconds=PATIENCE_SECONDS)
        libjvm = next(filter(is_libjvm, mappings), None)
        has_stubs = bool(find_stub_mappings(mappings))
        if not libjvm and not has_stubs:
            self._jvm = None
            return None
        found = HostProcess(self._pid, start, effective_user(self._pid).uid, False, has_stubs, "", command)
        if libjvm and user is None:
            found = replace(found, is_jvm=True)
        elif libjvm and user is not None:
            known = self._jvm
            if known is None or known[0].place != libjvm.place or not known[1].is_certain:
                perfdata = next(filter(is_perfdata, mappings), None)
                self._jvm = known = (libjvm, describe_jvm(self._pid, user, libjvm, perfdata))
            found = replace(found, is_jvm=True, jdk=known[1].jdk, name=known[1].name or command)
        # What was read of several files was that of one process if it is still there.
        return found if self.is_alive() else None

    def close(self) -> None:
        if self._statm is not None:
            os.close(self._statm)
            self._statm = None


def _only_user(pid: int) -> Identity | None:
    try:
        return only_user(pid)
    except PermissionError:
        return None


def _cost(begun: float, used: float) -> float:
    """Returns the CPU time since then in seconds, or a tenth of the time that has passed."""
    return max(cpu_seconds() - used, _WAITING_COSTS * (time.monotonic() - begun))


def _size_and_text(statm: bytes) -> tuple[int, int]:
    """Pages mapped, and pages of the program's code, which an exec of another program changes."""
    words = statm.split(maxsplit=4)
    return int(words[0]), int(words[3])


def _start_and_name(pid: int) -> tuple[int, str]:
    """Fields 22 and 2 of proc_pid_stat(5). The name may hold anything, blanks and parentheses too."""
    before, _, after = _read(pid, "stat").rpartition(b")")
    return int(after.split()[19]), before.partition(b"(")[2].decode(errors="replace")


def _read(pid: int, name: str) -> bytes:
    with open(f"/proc/{pid}/{name}", "rb", buffering=0) as stream:
        return stream.read(4096)
