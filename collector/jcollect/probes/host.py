"""Finds the processes of this host that can be traced, again and again at little cost.

The file statm of each process is kept open. Reading it takes a microsecond and fails once the process has
exited, even if another process has its PID by then. The memory map is read again only if statm shows that the
process has mapped or executed something.
"""

from __future__ import annotations

import os
import resource
import time
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass, replace

from jcollect.errors import JcollectError, lacks_files
from jcollect.probes.stub_library import find_stub_mappings
from jcollect.procfs.jvm import PATIENCE_SECONDS, Jvm, describe_jvm, is_libjvm
from jcollect.procfs.maps import MappingKey, read_maps
from jcollect.procfs.owner import NOBODYS
from jcollect.procfs.process import Process
from jcollect.procfs.reader_process import cpu_seconds
from jcollect.procfs.reasons import is_passing
from jcollect.procfs.status import read_stat

_STATM_BYTES = 128
# Share of the descriptors that this process may have open. Processes beyond it cost more.
_SHARE_OF_DESCRIPTORS = 0.25
# A child of vfork and of posix_spawn runs in its parent's memory until it executes a program.
_YOUNG_SECONDS = 0.1
# Time after its start or exec during which a process is classified whenever it has mapped something: it may
# become a JVM.
_STARTING_SECONDS = 5.0
# Time in each scan to classify processes that have mapped something later.
_CHANGED_SECONDS = 0.002
# A user can start any number of processes: all of them together get this much of a scan, or a fortieth of a
# core.
_USER_SECONDS = 0.02
_USER_PAUSES = 40
# A map that takes long to read is read less often, so that it takes 0.5% of a core.
_PAUSES = 200
# Kernel threads and zombies have no memory. Number of scans after which each is checked for being the same
# process.
_MEMORYLESS_SCANS = 16
# A process that takes longer than the first limit delays the scan. After the second, its user waits for the
# next scan.
_SLOW_SECONDS = 0.1
_MOST_SLOW_SECONDS = 2.0
# Delay before a process that could not be read is tried again.
_RETRY_SECONDS = 1.0
_WAITING_COSTS = 0.1
_CLOCK_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class HostProcess:
    """A process at one moment: a light value that holds no descriptor. `open` opens the process.

    `start` is in clock ticks since boot: with the PID it distinguishes the process from all others that have
    or had the PID. `uid` is the effective user. `is_jvm` is true if libjvm.so is mapped, `has_stubs` if stub
    libraries are. `jdk` is the version, as in "17.0.15", or empty if unknown. `name` is the main class as in
    jps -l, also the path of a jar or "module/class"; for other programs it is the command name.
    """

    pid: int
    start: int
    uid: int
    is_jvm: bool
    has_stubs: bool
    jdk: str
    name: str

    def open(self) -> Process:
        """Opens the process. Raises JcollectError if it has exited."""
        process = Process.open(self.pid)
        try:
            is_same = process.start_time == self.start
        except OSError:
            is_same = False
        if not is_same:
            process.close()
            raise process.exited()
        return process


class Host:
    """Scans repeatedly, and reads nothing again of a process that has not changed since the last scan.

    For one thread.
    """

    def __init__(self) -> None:
        self._known: dict[int, _Known] = {}
        self._scans = 0
        self._users_paused_until: dict[int, float] = {}

    def scan(self) -> list[HostProcess]:
        """Returns the JVMs and other processes that have stub libraries, by ascending PID, except those that
        this process may not read."""
        now = time.monotonic()
        self._scans += 1
        here = self._here()
        for pid in self._known.keys() - here:
            self._known.pop(pid).close()
        starting: list[_Known] = []
        changed: list[_Known] = []
        for pid in here:
            known = self._known.get(pid)
            if known and not known.has_memory and (self._scans + pid) % _MEMORYLESS_SCANS:
                continue
            if known is None or not known.is_alive():
                known = self._meet(pid, now)
            if known is not None and known.is_due(now):
                is_starting = now < known.starting_until or not known.is_classified
                (starting if is_starting else changed).append(known)
        self._classify_starting(starting, now)
        changed.sort(key=lambda known: known.classified)
        begun = time.monotonic()
        for known in changed:
            known.classify(now)
            if time.monotonic() - begun > _CHANGED_SECONDS:
                break
        found = [known.found for known in self._known.values() if known.found]
        return sorted(found, key=lambda process: process.pid)

    def _classify_starting(self, starting: list[_Known], now: float) -> None:
        """Classifies all processes on the first scan. Later scans begin with those that have waited longest,
        and take as many of each user as its time allows: a user who has used more waits longer."""
        starting.sort(key=lambda known: known.classified)
        taken: defaultdict[int, float] = defaultdict(float)
        waited: defaultdict[int, float] = defaultdict(float)
        for known in starting:
            user = known.owner
            used_up = taken[user] > _USER_SECONDS if self._scans > 1 else waited[user] > _MOST_SLOW_SECONDS
            if now < self._users_paused_until.get(user, now) or used_up:
                continue
            begun = time.monotonic()
            cost = known.classify(now)
            seconds = time.monotonic() - begun
            # On the first scan, only processes that delay it are charged.
            if self._scans > 1 or seconds > _SLOW_SECONDS:
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
        for known in self._known.values():
            known.close()
        self._known.clear()

    def _meet(self, pid: int, now: float) -> _Known | None:
        before = self._known.pop(pid, None)
        if before:
            before.close()
        may_keep = len(self._known) < resource.getrlimit(resource.RLIMIT_NOFILE)[0] * _SHARE_OF_DESCRIPTORS
        known = _Known(pid, may_keep, now)
        if known.is_alive():
            self._known[pid] = known
            return known
        known.close()
        return None


class _Known:
    """A process from the first scan that finds it until it exits."""

    def __init__(self, pid: int, may_keep_descriptor: bool, now: float) -> None:
        self._pid = pid
        self.owner = _owner_now(pid)  # At the time of the first scan: the user who is charged.
        self._statm: int | None = None
        if may_keep_descriptor:
            with suppress(OSError):
                self._statm = os.open(f"/proc/{self._pid}/statm", os.O_RDONLY | os.O_CLOEXEC)
        self._memory = b""  # Current content of statm.
        self._seen = b""  # Its content when the process was classified.
        self.has_memory = True
        self._paused_until = now
        self.starting_until = now + _STARTING_SECONDS
        self.classified = now
        self.found: HostProcess | None = None
        self._jvm: tuple[MappingKey, Jvm] | None = None

    def is_alive(self) -> bool:
        """Returns true if it is still the same process, and records its memory."""
        try:
            if self._statm is not None:
                self._memory = os.pread(self._statm, _STATM_BYTES, 0)
            else:
                with open(f"/proc/{self._pid}/statm", "rb", buffering=0) as statm:
                    self._memory = statm.read(_STATM_BYTES)
                if self.found and self.found.start != read_stat(self._pid).start_time:
                    return False
        except OSError as error:
            return is_passing(error) and bool(self._memory)
        return bool(self._memory)

    def is_due(self, now: float) -> bool:
        """Returns true if it may have become something else."""
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
        """Determines what kind of process it is; returns the cost of that, as `_cost` does."""
        begun, used = time.monotonic(), cpu_seconds()
        self.classified = now
        try:
            with Process.open(self._pid) as process:
                age = time.clock_gettime(time.CLOCK_BOOTTIME) - process.start_time / _CLOCK_TICKS
                if age < _YOUNG_SECONDS:
                    return 0.0  # The process stays due.
                memory = self._memory
                self.found = self._find(process)
                self._seen = memory
        except (OSError, ValueError, JcollectError) as error:
            if lacks_files(error) or (isinstance(error, OSError) and is_passing(error)):
                # The process stays due, and what is known about it stays.
                self._paused_until = now + _RETRY_SECONDS
                return _cost(begun, used)
            self.found, self._seen = None, self._memory  # It has exited, or this process may not read it.
        cost = _cost(begun, used)
        self._paused_until = now + _PAUSES * cost
        return cost

    def _find(self, process: Process) -> HostProcess | None:
        mappings = read_maps(process, b"/libjvm.so", b"/hsperfdata_", b"jprobe-", seconds=PATIENCE_SECONDS)
        libjvm = next(filter(is_libjvm, mappings), None)
        has_stubs = bool(find_stub_mappings(mappings))
        if not libjvm and not has_stubs:
            self._jvm = None
            return None
        found = HostProcess(
            pid=process.pid,
            start=process.start_time,
            uid=process.effective_uid,
            is_jvm=libjvm is not None,
            has_stubs=has_stubs,
            jdk="",
            name=process.name,
        )
        if libjvm and process.has_one_user:
            if self._jvm is None or self._jvm[0] != libjvm.key or not self._jvm[1].is_certain:
                self._jvm = (libjvm.key, describe_jvm(process, mappings))
            jvm = self._jvm[1]
            found = replace(found, jdk=jvm.jdk, name=jvm.name or process.name)
        # `process` was the one with this PID when it was opened: it is the known one if that is alive.
        return found if self.is_alive() else None

    def close(self) -> None:
        if self._statm is not None:
            os.close(self._statm)
            self._statm = None


def _owner_now(pid: int) -> int:
    try:
        with Process.open(pid) as process:
            return process.owner
    except JcollectError:
        return NOBODYS


def _cost(begun: float, used: float) -> float:
    """Returns the CPU time since then in seconds, or a tenth of the elapsed time if that is more."""
    return max(cpu_seconds() - used, _WAITING_COSTS * (time.monotonic() - begun))


def _size_and_text(statm: bytes) -> tuple[int, int]:
    """Returns the numbers of mapped pages, and of pages of the program's code: an exec of another program
    changes it."""
    words = statm.split(maxsplit=4)
    return int(words[0]), int(words[3])
