"""The way to a gateway: of the agent that is there, or of one that is loaded for it."""

from __future__ import annotations

import time

from jcollect import __version__
from jcollect.control.agent import Agent, find_agent
from jcollect.control.endpoint import find_endpoint
from jcollect.control.gateway import ANSWER_SECONDS, Gateway
from jcollect.control.knock import knock
from jcollect.control.loading import load_agent
from jcollect.control.refusal import NoThreadsError
from jcollect.control.standard_error import would_wait
from jcollect.control.target import read_target
from jcollect.errors import JcollectError
from jcollect.procfs.maps import read_maps


def ensure_agent(pid: int, *, may_load: bool = True, seconds: float = ANSWER_SECONDS) -> Gateway:
    """A connection to the agent in a process, which is loaded if it is not there. Raises JcollectError.

    `may_load`: without, neither is an agent loaded, nor one that is there asked for its gateway by the
    same way. `seconds` is the limit until the first command is answered, and for each later one.
    """
    begun = time.monotonic()
    gateway = connect(pid, seconds)
    if gateway is None:
        if not may_load:
            raise JcollectError(f"cannot command PID {pid}: {_why_not(find_agent(pid), pid)}")
        _open_gateway(pid, begun + seconds)
        gateway = connect(pid, seconds, time.monotonic() - begun)
    if gateway is None:
        raise JcollectError(
            f"cannot command PID {pid}: its agent runs and has no control gateway, as where no stub "
            "directory can be made; see the program's stderr"
        )
    return gateway


def _open_gateway(pid: int, deadline: float) -> None:
    """Loads the agent; one that runs is asked by a file where the JVM would wait for ever at that, or end."""
    agent = find_agent(pid)
    if agent is None or agent.version != __version__:
        load_agent(pid, deadline - time.monotonic())
        return
    target = read_target(pid)
    if would_wait(target, read_maps(pid)) and knock(agent, target, deadline - time.monotonic()):
        return
    try:
        load_agent(pid, deadline - time.monotonic())
    except NoThreadsError:
        if not knock(agent, target, deadline - time.monotonic()):
            raise


def command_agent(pid: int, *, may_load: bool = True, seconds: float = ANSWER_SECONDS) -> Gateway:
    """As ensure_agent, for commands that are of no use to a new agent: there has to be one."""
    if find_agent(pid) is None:
        raise JcollectError(f"there is no jprobe agent in PID {pid}; jcollect select {pid} SELECTOR loads it")
    return ensure_agent(pid, may_load=may_load, seconds=seconds)


def connect(pid: int, seconds: float = ANSWER_SECONDS, spent: float = 0.0) -> Gateway | None:
    """A connection to the agent's gateway, if one is open. `spent` seconds of the first command's are over.
    Raises JcollectError."""
    agent = find_agent(pid)
    endpoint = find_endpoint(agent, read_target(pid)) if agent else None
    return Gateway(pid, endpoint, seconds, spent) if endpoint else None


def _why_not(agent: Agent | None, pid: int) -> str:
    if agent is None:
        return "it has no jprobe agent; load it by leaving out --no-load"
    return (
        "its agent's control gateway is off; start the program with control=on in the agent's options, "
        "or leave out --no-load"
    )
