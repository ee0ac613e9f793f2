"""Finds the agent in a process, by its stub libraries alone."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from jcollect.errors import JcollectError
from jcollect.probes.live import LiveProbe, read_live, read_states
from jcollect.probes.probe import Probe
from jcollect.probes.process import check_exists
from jcollect.probes.stub_library import (
    MalformedLibraryError,
    StubLibrary,
    find_stub_mappings,
    read_stub_library,
)
from jcollect.procfs.maps import read_maps
from jprobe.v1 import probe_pb2

_RETIRED = probe_pb2.PROBE_STATE_RETIRED


@dataclass(frozen=True)
class Agent:
    """An agent that runs; its stub libraries in the order of their generations, at least one."""

    pid: int
    libraries: tuple[StubLibrary, ...]

    @property
    def version(self) -> str:
        return self.libraries[-1].image.manifest.agent_version

    @property
    def selectors(self) -> tuple[str, ...]:
        """What it was last asked for, as far as stub libraries tell."""
        return tuple(self.libraries[-1].image.manifest.selectors)

    @property
    def directory(self) -> str | None:
        """The stub directory, as a path from here; None where the libraries are kept in memory."""
        for library in reversed(self.libraries):
            if _has_path(library):
                return os.path.dirname(library.file)
        return None


def find_agent(pid: int) -> Agent | None:
    """The agent that runs in a process, if one does. Raises JcollectError when the process cannot be read."""
    found = [library for library in agent_libraries(pid) if _is_alive(library)]
    found.sort(key=lambda library: library.image.manifest.generation)
    return Agent(pid, tuple(found)) if found else None


def agent_libraries(pid: int) -> list[StubLibrary]:
    """All stub libraries that agents have made, those of one that has been reset included."""
    check_exists(pid)
    try:
        mappings = read_maps(pid)
    except PermissionError:
        raise JcollectError(
            f"cannot read the memory map of PID {pid}: needs CAP_SYS_PTRACE or the process's own user; "
            "run with sudo"
        ) from None
    except OSError:
        raise JcollectError(f"PID {pid} has exited") from None
    libraries = []
    for mapping in find_stub_mappings(mappings):
        try:
            library = read_stub_library(pid, mapping)
        except PermissionError:
            raise JcollectError(
                f"cannot read the stub libraries of PID {pid}: needs CAP_DAC_READ_SEARCH or the process's "
                "own user; run with sudo"
            ) from None
        except (MalformedLibraryError, OSError) as error:
            if os.path.exists(f"/proc/{pid}"):
                # Of another version, or unmapped meanwhile: not for us to command.
                continue
            raise JcollectError(f"PID {pid} has exited") from error
        if library.image.manifest.agent_version:
            libraries.append(library)
    return libraries


def read_live_of(pid: int, probes: Sequence[Probe]) -> list[LiveProbe]:
    """The probes as they are now. Raises JcollectError when the process has gone, or their memory."""
    try:
        return read_live(probes)
    except OSError as error:
        raise JcollectError(f"cannot read the probes of PID {pid}: {error.strerror}; try again") from None


def is_retired(library: StubLibrary) -> bool:
    """Whether it has probes and none of them will fire again. Raises OSError once it is unmapped."""
    slots = len(library.image.manifest.probes)
    (states,) = read_states([library])
    return slots > 0 and all(state == _RETIRED for state in states[:slots])


def _is_alive(library: StubLibrary) -> bool:
    # An agent that has been reset may leave libraries mapped: retired, their files deleted.
    if _has_path(library):
        return True
    try:
        return not is_retired(library)
    except OSError:
        return False


def _has_path(library: StubLibrary) -> bool:
    """Whether it lies in a stub directory, and not in memory or deleted."""
    return not library.file.startswith((f"/proc/{library.pid}/fd/", f"/proc/{library.pid}/map_files/"))
