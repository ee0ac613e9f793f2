"""A process to be traced: is it there, is it a JVM, does it have the agent, may we look."""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from jcollect.discovery.globs import names_matcher
from jcollect.discovery.maps import Mapping, read_maps
from jcollect.discovery.probes import Probe, narrow, probes_of
from jcollect.discovery.stub_library import (
    MalformedLibraryError,
    StubLibrary,
    find_stub_mappings,
    read_stub_library,
)
from jcollect.errors import JcollectError
from jprobe.v1 import manifest_pb2

# linux/capability.h
_CAP_SYS_PTRACE = 19
_CAP_SYS_ADMIN = 21
_CAP_PERFMON = 38
_CAP_BPF = 39


@dataclass(frozen=True)
class TracedProcess:
    """A JVM with the agent and its stub libraries, those without probes included."""

    pid: int
    libraries: tuple[StubLibrary, ...]

    def probes(self, globs: Sequence[str]) -> list[Probe]:
        """The probes that the globs mean. Raises JcollectError where there are none."""
        refusal = self.refusal
        if refusal:
            raise JcollectError(f"PID {self.pid} traces nothing: {refusal}")
        every = probes_of(self.libraries)
        if not every:
            selectors = dict.fromkeys(s for lib in self.libraries for s in lib.image.manifest.selectors)
            asked = ", ".join(f"'{selector}'" for selector in selectors)
            reason = f"{asked} matched no loaded class yet" if asked else "it was started without selectors"
            raise JcollectError(
                f"PID {self.pid} has the jprobe agent but no probes: {reason}; "
                "try again when the classes are loaded, or restart with other selectors"
            )
        meant = narrow(every, globs)
        if not meant:
            asked = " or ".join(f"--probe '{glob}'" for glob in globs)
            example = every[0]
            raise JcollectError(
                f"{asked} matches none of the {len(every):,} probes of PID {self.pid}; "
                f"one of them is {example.provider}:{example.name}, "
                f"of {example.class_name}#{example.method}"
            )
        return meant

    @property
    def refusal(self) -> str:
        """Why the agent traces nothing at all; empty if it does, or would.

        Probes of earlier generations may still be there, retired; a later one that has probes revokes it.
        """
        for library in sorted(self.libraries, key=lambda library: -library.image.manifest.generation):
            manifest = library.image.manifest
            if manifest.refusal or manifest.probes:
                return manifest.refusal
        return ""

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
    """Reads what the agent in a JVM offers. Raises JcollectError when the PID is no such process."""
    command = check_exists(pid)
    mappings = _read_maps(pid)
    if not any(mapping.path.endswith("/libjvm.so") for mapping in mappings):
        raise JcollectError(
            f"PID {pid} ({command}) is not a JVM: it has no libjvm.so mapped; give the PID of a java process"
        )
    libraries = []
    broken = []
    for mapping in find_stub_mappings(mappings):
        try:
            libraries.append(read_stub_library(pid, mapping))
        except (MalformedLibraryError, OSError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            broken.append(mapping.path)
            warn(f"skipping the stub library {mapping.path} of PID {pid}: {reason}")
    if not libraries and broken:
        raise JcollectError(
            f"no stub library of PID {pid} can be read; do jprobe.jar and jcollect have the same version?"
        )
    if not libraries:
        raise JcollectError(
            f"PID {pid} ({command}) is a JVM without the jprobe agent; "
            "start it with java -javaagent:jprobe.jar=probes=<selector>"
        )
    return TracedProcess(pid, tuple(libraries))


def check_can_attach(pid: int) -> None:
    """Raises JcollectError unless we hold the capabilities that attaching needs."""
    held = _effective_capabilities()
    admin = held >> _CAP_SYS_ADMIN & 1
    needed = (
        ("CAP_BPF", held >> _CAP_BPF & 1 or admin),
        ("CAP_PERFMON", held >> _CAP_PERFMON & 1 or admin),
        ("CAP_SYS_PTRACE", held >> _CAP_SYS_PTRACE & 1),
    )
    if not all(has for _, has in needed):
        raise JcollectError(
            f"cannot attach to PID {pid}: needs CAP_BPF, CAP_PERFMON and CAP_SYS_PTRACE; run with sudo"
        )


def _effective_capabilities() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            return int(line.split()[1], 16)
    return 0


def check_exists(pid: int) -> str:
    """The command name of a process. Raises JcollectError when there is none with that PID."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(errors="replace")
    except OSError:
        raise JcollectError(f"there is no process with PID {pid}; jps lists the JVMs") from None
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    group = int(fields.get("Tgid", pid))
    if group != pid:
        raise JcollectError(f"{pid} is a thread of the process {group}; give the PID {group}")
    return fields.get("Name", "?")


def _read_maps(pid: int) -> list[Mapping]:
    try:
        return read_maps(pid)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EPERM):
            raise JcollectError(
                f"cannot read the memory map of PID {pid}: needs CAP_SYS_PTRACE or the process's own user; "
                "run with sudo"
            ) from None
        raise JcollectError(f"PID {pid} has exited while its memory map was read") from None
