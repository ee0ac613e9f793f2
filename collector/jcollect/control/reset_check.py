"""Checks from outside whether an agent that was reset has left anything behind."""

from __future__ import annotations

import time
from collections.abc import Iterator

from jcollect.control.agent import Agent, agent_libraries, is_retired
from jcollect.errors import JcollectError
from jcollect.printable import printable
from jcollect.probes.stub_library import StubLibrary

_SECONDS = 5.0
_POLL_SECONDS = 0.02


def check_reset_complete(agent: Agent) -> None:
    """Waits at most 5 s until the libraries are retired or unmapped and the stub directory is removed.

    Raises JcollectError that names what is left.
    """
    deadline = time.monotonic() + _SECONDS
    while left := list(_left(agent)):
        if time.monotonic() > deadline:
            raise JcollectError(
                f"the agent in PID {agent.process.pid} reports that it has shut down, but has left "
                f"{', '.join(left)}; see the program's stderr"
            )
        time.sleep(_POLL_SECONDS)


def _left(agent: Agent) -> Iterator[str]:
    if agent.directory and agent.has_directory():
        yield f"the directory {printable(agent.directory)}"
    before = {library.bias for library in agent.libraries}
    for library in agent_libraries(agent.process):
        if library.bias in before and not _is_released(library):
            generation = library.image.manifest.generation
            yield f"the stub library of generation {generation} in use"


def _is_released(library: StubLibrary) -> bool:
    try:
        return not library.image.manifest.probes or is_retired(library)
    except OSError:
        return True
