"""Asks a running agent for its control gateway by a file in its stub directory, without loading it again.

The agent polls for the file every second, or every three seconds while its program is not traced. Loading the
agent again has the same effect sooner.
"""

from __future__ import annotations

import contextlib
import time

from jcollect.control import stub_directory
from jcollect.control.agent import Agent
from jcollect.control.endpoint import find_endpoint
from jcollect.errors import JcollectError
from jcollect.printable import printable
from jcollect.procfs.apart import apart

_FILE = "control.wanted"
_POLL_SECONDS = 0.05


def request_gateway(agent: Agent, seconds: float) -> bool:
    """Returns true once the gateway is open, false if it does not open in time. Raises JcollectError if the
    file cannot be created."""
    if agent.directory is None:
        return False
    process = agent.process
    file = (process.pid, agent.directory, _FILE)
    try:
        apart(process, stub_directory.create, *file, user=process.user)
    except OSError as error:
        raise JcollectError(
            f"cannot ask the agent in PID {process.pid} to open its gateway: cannot create "
            f"{printable(agent.directory)}/{_FILE}: {error.strerror}"
        ) from None
    deadline = time.monotonic() + seconds
    while find_endpoint(agent) is None:
        if time.monotonic() > deadline:
            with contextlib.suppress(OSError):
                apart(process, stub_directory.remove, *file, user=process.user)
            return False
        time.sleep(_POLL_SECONDS)
    return True
