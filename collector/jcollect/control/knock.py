"""Asks an agent that runs for its control gateway by a file in its stub directory, and loads nothing.

The agent looks for it every second, or every three in a program that nobody traces: loading it again, which
does the same, is answered sooner.
"""

from __future__ import annotations

import contextlib
import time

from jcollect.control import stub_directory
from jcollect.control.agent import Agent
from jcollect.control.endpoint import find_endpoint
from jcollect.control.target import Target
from jcollect.errors import JcollectError
from jcollect.printable import printable
from jcollect.procfs.apart import apart

_FILE = "control.wanted"
_POLL_SECONDS = 0.05


def knock(agent: Agent, target: Target, seconds: float) -> bool:
    """Returns true if the gateway is open now. Raises JcollectError where the file cannot be made."""
    if agent.directory is None:
        return False
    pid = agent.pid
    file = (pid, agent.directory, _FILE)
    try:
        apart(pid, stub_directory.create, *file, user=target.user)
    except OSError as error:
        raise JcollectError(
            f"cannot ask PID {pid} for its gateway by {printable(agent.directory)}/{_FILE}: {error.strerror}"
        ) from None
    deadline = time.monotonic() + seconds
    while find_endpoint(agent, target) is None:
        if time.monotonic() > deadline:
            with contextlib.suppress(OSError):
                apart(pid, stub_directory.remove, *file, user=target.user)
            return False
        time.sleep(_POLL_SECONDS)
    return True
