"""Connects to the gateway of an agent, and loads the agent first if the process has none."""

from __future__ import annotations

import time
from collections.abc import Callable

from jcollect import __version__
from jcollect.console import status
from jcollect.control.agent import Agent, find_agent
from jcollect.control.endpoint import find_endpoint
from jcollect.control.gateway import ANSWER_SECONDS, Gateway
from jcollect.control.loading import load_agent
from jcollect.control.refusal import NoThreadsError
from jcollect.control.request_gateway import request_gateway
from jcollect.control.standard_error import would_block
from jcollect.errors import JcollectError
from jcollect.procfs.jvm import describe_jvm
from jcollect.procfs.maps import read_maps
from jcollect.procfs.process import Process


def open_gateway(
    process: Process,
    *,
    may_load: bool = True,
    seconds: float = ANSWER_SECONDS,
    say: Callable[[str], None] = status,
) -> Gateway:
    """Returns a connection to the agent in a process, and loads the agent if it is not there. Raises
    JcollectError. `say` gets a line if loading takes long.

    Without `may_load`, no agent is loaded, nor is an agent that runs asked to open its gateway. `seconds` is
    the limit until the first command is answered, and for each later command.
    """
    begun = time.monotonic()
    gateway = connect(process, seconds)
    if gateway is None:
        if not may_load:
            raise JcollectError(f"cannot command PID {process.pid}: {_why_not(find_agent(process))}")
        _turn_gateway_on(process, begun + seconds, say)
        gateway = connect(process, seconds, time.monotonic() - begun)
    if gateway is None:
        raise JcollectError(
            f"cannot command PID {process.pid}: its agent runs without a control gateway, perhaps because it "
            "cannot create a stub directory; see the program's stderr"
        )
    return gateway


def open_agents_gateway(
    process: Process, *, may_load: bool = True, seconds: float = ANSWER_SECONDS
) -> Gateway:
    """Does the same for commands that are of no use to a new agent. Raises JcollectError if the process has
    no agent."""
    if find_agent(process) is None:
        pid = process.pid
        raise JcollectError(f"there is no jprobe agent in PID {pid}; jcollect select {pid} SELECTOR loads it")
    return open_gateway(process, may_load=may_load, seconds=seconds)


def connect(process: Process, seconds: float = ANSWER_SECONDS, spent: float = 0.0) -> Gateway | None:
    """Returns a connection to the agent's gateway if one is open. The first command has used up `spent`
    seconds already. Raises JcollectError."""
    agent = find_agent(process)
    endpoint = find_endpoint(agent) if agent else None
    return Gateway(process, endpoint, seconds, spent) if endpoint else None


def _turn_gateway_on(process: Process, deadline: float, say: Callable[[str], None]) -> None:
    """Loads the agent. If loading would block or end the JVM, an agent that runs is asked by a file."""
    agent = find_agent(process)
    if agent is None or agent.version != __version__:
        load_agent(process, deadline - time.monotonic(), say)
        return
    try:
        jvm = describe_jvm(process, read_maps(process))
    except OSError as error:
        raise process.explain(error) from None
    if would_block(process, jvm) and request_gateway(agent, deadline - time.monotonic()):
        return
    try:
        load_agent(process, deadline - time.monotonic(), say)
    except NoThreadsError:
        if not request_gateway(agent, deadline - time.monotonic()):
            raise


def _why_not(agent: Agent | None) -> str:
    if agent is None:
        return "it has no jprobe agent; load it by leaving out --no-load"
    return (
        "its agent's control gateway is off; start the program with control=on in the agent's options, "
        "or leave out --no-load"
    )
