"""Finds the agent in a process by its stub libraries alone."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass

from jcollect.control import stub_directory
from jcollect.errors import JcollectError
from jcollect.probes.sections import read_sections, read_states
from jcollect.probes.stub_library import (
    MalformedLibraryError,
    StubLibrary,
    find_stub_mappings,
    mapped_keys,
    read_stub_library,
)
from jcollect.procfs import capabilities
from jcollect.procfs.apart import apart
from jcollect.procfs.maps import read_maps
from jcollect.procfs.process import Process
from jcollect.procfs.reasons import is_gone, is_passing
from jprobe.v1 import probe_pb2

_RETIRED = probe_pb2.PROBE_STATE_RETIRED


@dataclass(frozen=True)
class Agent:
    """A running agent. It has at least one stub library; they are in the order of their generations."""

    process: Process
    libraries: tuple[StubLibrary, ...]

    @property
    def version(self) -> str:
        return self.libraries[-1].image.manifest.agent_version

    @property
    def selectors(self) -> tuple[str, ...]:
        """Its latest selectors, as far as its stub libraries contain them."""
        return tuple(self.libraries[-1].image.manifest.selectors)

    @property
    def directory(self) -> str | None:
        """The stub directory, as a path from here; None if the libraries are kept in memory."""
        for library in reversed(self.libraries):
            if _has_path(library):
                return os.path.dirname(library.file)
        return None

    def has_directory(self) -> bool:
        """Returns true if its stub directory exists now, or if that cannot be determined. Raises
        JcollectError if the process has exited."""
        if self.directory is None:
            return False
        process = self.process
        try:
            answer = apart(process, stub_directory.exists, process.pid, self.directory, user=process.user)
        except OSError:
            if process.has_exited:
                raise process.exited() from None
            return True
        return bool(answer.content)


def find_agent(process: Process) -> Agent | None:
    """Returns the agent that runs in a process, if there is one. Raises JcollectError if the process cannot
    be read."""
    found = [library for library in agent_libraries(process) if _is_running(library)]
    found.sort(key=lambda library: library.image.manifest.generation)
    return Agent(process, tuple(found)) if found else None


def agent_libraries(process: Process) -> list[StubLibrary]:
    """Returns all stub libraries that agents have made, including those of an agent that was reset. Raises
    JcollectError."""
    try:
        mappings = read_maps(process)
    except OSError as error:
        if process.has_exited:
            raise process.exited() from None
        raise process.explain(error) from None
    if not mappings and process.is_exiting():
        raise process.exited()
    libraries = []
    for mapping in find_stub_mappings(mappings):
        try:
            library = read_stub_library(process, mapping)
        except PermissionError:
            raise JcollectError(
                f"cannot read the stub libraries of PID {process.pid}: needs CAP_DAC_READ_SEARCH or the "
                f"process's own user; {capabilities.advice()}"
            ) from None
        except (MalformedLibraryError, OSError) as error:
            if process.has_exited:
                raise process.exited() from error
            # It is of another version, so its agent cannot be commanded, or it has been unmapped.
            continue
        if library.image.manifest.agent_version:
            libraries.append(library)
    return libraries


def states_of(agent: Agent) -> list[tuple[StubLibrary, bytes]]:
    """Returns the libraries that are still mapped, with their current state bytes in slot order. Raises
    JcollectError if the process has exited, or none is mapped any more."""
    process = agent.process
    try:
        read = read_sections([(library, library.image.states) for library in agent.libraries])
        mapped = mapped_keys(process)
    except OSError as error:
        raise unreadable(process, error) from None
    found: list[tuple[StubLibrary, bytes]] = []
    for library, part in zip(agent.libraries, read, strict=True):
        if isinstance(part, OSError):
            if is_passing(part) or is_gone(part):
                raise unreadable(process, part)
        elif library.key in mapped:
            found.append((library, part))
    if not found:
        raise unreadable(process, ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH)))
    return found


def unreadable(process: Process, error: OSError) -> JcollectError:
    """Returns why the memory of a process's probes cannot be read."""
    return JcollectError(f"cannot read the probes of PID {process.pid}: {error.strerror}; try again")


def is_retired(library: StubLibrary) -> bool:
    """Returns true if it has probes and none of them will fire again. Raises OSError if it is unmapped."""
    slots = len(library.image.manifest.probes)
    (states,) = read_states([library])
    return slots > 0 and all(state == _RETIRED for state in states[:slots])


def _is_running(library: StubLibrary) -> bool:
    """Returns true unless a reset agent has left the library mapped: retired, its file deleted."""
    if _has_path(library):
        return True
    try:
        return not is_retired(library)
    except OSError:
        return False


def _has_path(library: StubLibrary) -> bool:
    """Returns true if it is in a stub directory, and neither in memory nor deleted."""
    pid = library.process.pid
    return not library.file.startswith((f"/proc/{pid}/fd/", f"/proc/{pid}/map_files/"))
