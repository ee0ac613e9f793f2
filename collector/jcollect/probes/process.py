"""A process to be traced: is it there, what has it mapped by now, may we look."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from jcollect.errors import JcollectError, NoFilesError, lacks_files
from jcollect.limits import MAX_LIBRARIES, MAX_WARNINGS, MAX_WEIGHT
from jcollect.printable import printable
from jcollect.probes.globs import names_matcher
from jcollect.probes.malformed import MalformedLibraryError
from jcollect.probes.probe import Probe, narrow, probes_of
from jcollect.probes.stub_library import StubLibrary, read_stub_libraries, read_stub_mappings
from jcollect.procfs import capabilities as cap
from jcollect.procfs.maps import Mapping, Place, read_maps
from jcollect.procfs.owner import owner_of
from jcollect.procfs.reasons import is_gone, is_passing
from jprobe.v1 import manifest_pb2

# Descriptors for the process, the file while it is linked and the link, and one that other threads may use
# meanwhile.
_TO_ATTACH = 4


class NothingYetError(JcollectError):
    """There is nothing to attach to, but there may be some time."""


@dataclass(frozen=True)
class TracedProcess:
    """A process and what stub libraries it had mapped at one moment, those without probes included."""

    pid: int
    libraries: tuple[StubLibrary, ...] = ()
    # Of libraries that cannot be read, and were warned about.
    unreadable: frozenset[Place] = frozenset()

    def probes(self, globs: Sequence[str]) -> list[Probe]:
        """The probes that the globs mean. Raises JcollectError where there are none."""
        every = probes_of(self.libraries)
        refusal = self.refusal
        if refusal:
            # The agent's probes, if there are any left, are retired.
            every = [probe for probe in every if not probe.library.is_agents]
        if refusal and not every:
            raise JcollectError(f"PID {self.pid} traces nothing: {refusal}")
        if not every:
            raise NothingYetError(self._why_no_probes())
        meant = narrow(every, globs)
        if not meant:
            asked = " or ".join(f"--probe '{glob}'" for glob in globs)
            example = every[0]
            raise NothingYetError(
                f"{asked} matches none of the {len(every):,} probes of PID {self.pid}; "
                f"one of them is {example.provider}:{example.name}, "
                f"of {example.class_name}#{example.method}"
            )
        return meant

    def _why_no_probes(self) -> str:
        agents = [library.image.manifest for library in self.libraries if library.is_agents]
        if not agents:
            return (
                f"PID {self.pid} has stub libraries of its own without probes; "
                "try again when it has added some"
            )
        asked = ", ".join(dict.fromkeys(f"'{s}'" for manifest in agents for s in manifest.selectors))
        reason = f"{asked} matched no loaded class yet" if asked else "it was started without selectors"
        return (
            f"PID {self.pid} has the jprobe agent but no probes: {reason}; "
            "try again when the classes are loaded, or restart with other selectors"
        )

    @property
    def refusal(self) -> str:
        """Why the agent traces nothing at all; empty if it does, or would, or there is none.

        The newest of its libraries knows; probes of earlier ones may still be there, retired.
        """
        agents = [library.image.manifest for library in self.libraries if library.is_agents]
        newest = max(agents, key=lambda manifest: manifest.generation, default=None)
        return newest.refusal if newest else ""

    def untraceable(self, globs: Sequence[str]) -> list[manifest_pb2.Untraceable]:
        """What was selected and has no probes, and is meant by a glob as its class or class#method."""
        is_meant = names_matcher(globs)
        found = [one for library in self.libraries for one in library.image.manifest.untraceable]
        found.sort(key=lambda one: (one.class_name, one.class_loader_id))
        return [
            one for one in found if is_meant((one.class_name, one.method, f"{one.class_name}#{one.method}"))
        ]


def warn_on_stderr(message: str) -> None:
    print(f"jcollect: warning: {message}", file=sys.stderr, flush=True)


def find_process(pid: int, warn: Callable[[str], None] = warn_on_stderr) -> TracedProcess:
    """Reads what a process offers, by an agent or by itself. Raises JcollectError when it offers nothing."""
    command = check_exists(pid)
    process = look(pid, warn)
    if process.libraries:
        return process
    if process.unreadable:
        raise JcollectError(
            f"no stub library of PID {pid} can be read; do jprobe.jar and jcollect have the same version?"
        )
    if is_jvm(pid):
        raise NothingYetError(
            f"PID {pid} ({command}) is a JVM without the jprobe agent; "
            "attach to it with --select, give it probes with jcollect select, or start it with "
            "java -javaagent:jprobe.jar"
        )
    raise NothingYetError(
        f"PID {pid} ({command}) is not a JVM: it has no libjvm.so mapped, and no probes of its own; "
        "give the PID of a java process, or of one that makes its probes itself"
    )


def look(pid: int, warn: Callable[[str], None]) -> TracedProcess:
    """What a process offers now, be it nothing at all. Raises JcollectError where it cannot be read."""
    try:
        return look_again(TracedProcess(pid), warn)
    except OSError as error:
        raise explain(pid, error) from None


def look_again(before: TracedProcess, warn: Callable[[str], None]) -> TracedProcess:
    """Returns the process as it is now, without reading again what was read before.

    Raises OSError if it has exited or cannot be read now, and TimeoutError if it blocks us.
    """
    known = {library.place: library for library in before.libraries}
    mappings = read_stub_mappings(before.pid)
    libraries = [known[mapping.place] for mapping in mappings if mapping.place in known]
    weight = sum(library.image.weight for library in libraries)
    unreadable = {mapping.place for mapping in mappings} & before.unreadable
    refused: dict[Mapping, str] = {}
    fresh: list[StubLibrary] = []
    new = [each for each in mappings if each.place not in known and each.place not in unreadable]
    if new:
        _check_descriptors_left()
    for number, (mapping, library) in enumerate(read_stub_libraries(before.pid, new)):
        if len(libraries) >= MAX_LIBRARIES:
            refused.update(dict.fromkeys(new[number:], f"the process has {MAX_LIBRARIES:,} others"))
            break
        if isinstance(library, OSError):
            if is_passing(library):
                raise library
            refused[mapping] = library.strerror or "?"
        elif isinstance(library, MalformedLibraryError):
            refused[mapping] = str(library)
        elif weight + library.image.weight > MAX_WEIGHT:
            refused[mapping] = "with it the process has too many probes"
        else:
            weight += library.image.weight
            libraries.append(library)
            fresh.append(library)
    if refused:
        still_mapped = set(read_stub_mappings(before.pid))
        refused = {mapping: reason for mapping, reason in refused.items() if mapping in still_mapped}
        unreadable.update(mapping.place for mapping in refused)
        _tell_refused(before.pid, refused, warn)
    _tell_skipped(before.pid, fresh, warn)
    libraries.sort(key=lambda library: library.place.start)
    return TracedProcess(before.pid, tuple(libraries), frozenset(unreadable))


def _check_descriptors_left() -> None:
    """Raises OSError if too few are left. Readers use none of ours, but attaching to what they have read
    does."""
    taken: list[int] = []
    try:
        while len(taken) < _TO_ATTACH:
            taken.append(os.open("/proc/self", os.O_PATH | os.O_CLOEXEC))
    finally:
        for each in taken:
            os.close(each)


# Maximum length of a path in a warning, in characters.
_MAX_TOLD_PATH = 500


def _tell_refused(pid: int, refused: dict[Mapping, str], warn: Callable[[str], None]) -> None:
    for mapping, reason in islice(refused.items(), MAX_WARNINGS):
        path = printable(mapping.path[:_MAX_TOLD_PATH])
        warn(f"skipping the stub library {path} of PID {pid}: {reason}")
    if len(refused) > MAX_WARNINGS:
        warn(f"skipping {len(refused) - MAX_WARNINGS:,} more stub libraries of PID {pid}")


def _tell_skipped(pid: int, libraries: list[StubLibrary], warn: Callable[[str], None]) -> None:
    """Of probes, in libraries that are read for the others' sake."""
    told = (fault for library in libraries for fault in library.image.faults.told)
    for probe, reason in islice(told, MAX_WARNINGS):
        warn(f"skipping the probe {probe} of PID {pid}: {reason}")
    count = sum(library.image.faults.count for library in libraries)
    if count > MAX_WARNINGS:
        warn(f"skipping {count - MAX_WARNINGS:,} more probes of PID {pid}")


def is_jvm(pid: int) -> bool:
    """Whether HotSpot is mapped. Raises JcollectError where the process cannot be read."""
    try:
        return any(mapping.path.endswith("/libjvm.so") for mapping in read_maps(pid, b"/libjvm.so"))
    except OSError as error:
        raise explain(pid, error) from None


def has_debugger(pid: int) -> bool:
    """Whether a JVM has a debugger's agent (JDWP). Raises JcollectError where it cannot be read."""
    try:
        return any(mapping.path.endswith("/libjdwp.so") for mapping in read_maps(pid, b"/libjdwp.so"))
    except OSError as error:
        raise explain(pid, error) from None


def check_can_attach(pids: Sequence[int]) -> None:
    """Raises JcollectError unless this process holds the capabilities that attaching needs."""
    is_admin = cap.holds(cap.SYS_ADMIN)
    can_trace = all(cap.holds(each) or is_admin for each in (cap.BPF, cap.PERFMON))
    whom = f" to PID {', '.join(map(str, pids))}" if pids else ""
    if not can_trace or not cap.holds(cap.SYS_PTRACE):
        raise JcollectError(
            f"cannot attach{whom}: needs CAP_BPF, CAP_PERFMON and CAP_SYS_PTRACE; run with sudo"
        )
    others = [pid for pid in pids if owner_of(pid) != os.geteuid()]
    if others and not cap.holds(cap.DAC_READ_SEARCH):
        raise JcollectError(
            f"cannot attach to PID {others[0]}: a program of another user needs CAP_DAC_READ_SEARCH as well; "
            "run with sudo"
        )


def check_exists(pid: int) -> str:
    """The command name of a process. Raises JcollectError when there is none with that PID."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(errors="replace")
    except OSError as error:
        if not is_gone(error):
            raise explain(pid, error) from None
        raise JcollectError(f"there is no process with PID {pid}; jps lists the JVMs") from None
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    group = int(fields.get("Tgid", pid))
    if group != pid:
        raise JcollectError(f"{pid} is a thread of the process {group}; give the PID {group}")
    return fields.get("Name", "?")


def is_stopped(pid: int) -> bool:
    """Whether it was stopped by a signal, or by a debugger. What is frozen in a control group is not told."""
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] in (b"T", b"t")
    except OSError:
        return False


def explain(pid: int, error: OSError, what: str = "memory map") -> JcollectError:
    """Returns the error for a process that cannot be read; `what` names the part that was to be read."""
    if error.errno in (errno.EACCES, errno.EPERM):
        return JcollectError(
            f"cannot read the {what} of PID {pid}: needs CAP_SYS_PTRACE or the process's own user; "
            "run with sudo"
        )
    if lacks_files(error):
        return NoFilesError(f"read the {what} of PID {pid}")
    if error.errno == errno.EFBIG:
        return JcollectError(f"cannot read the {what} of PID {pid}: it is too large")
    if error.errno == errno.ETIMEDOUT:
        return JcollectError(
            f"cannot read the {what} of PID {pid}: the process, or a file system that it uses, holds up "
            "whoever reads it; try again when that answers"
        )
    if is_gone(error):
        return JcollectError(f"PID {pid} has exited while its {what} was read")
    return JcollectError(f"cannot read the {what} of PID {pid}: {error.strerror or error}; try again")
