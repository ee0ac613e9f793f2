"""A selection that ends with its client, even if the client is killed."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Collection, Iterator, Sequence

from jcollect.console import status
from jcollect.control.agent import Agent, find_agent
from jcollect.control.cancel import is_cancelled
from jcollect.control.gateway import ANSWER_SECONDS, Gateway
from jcollect.control.limits import Limits
from jcollect.control.open_gateway import connect, open_gateway
from jcollect.control.selected import Selected, charged_to
from jcollect.errors import JcollectError
from jcollect.probes.live import not_retired
from jcollect.probes.probe import probes_of
from jcollect.procfs.process import Process

_SECONDS = 5.0
# An agent without clients shuts down at once. Whether it has other clients cannot be seen from outside.
_END_SECONDS = 2.0
_POLL_SECONDS = 0.02
# Maximum time at the end to explain why there were no events.
_EXPLAIN_SECONDS = 2.0


class Lease:
    """A selection while its connection lasts. For one thread at a time."""

    def __init__(self, gateway: Gateway, selectors: Sequence[str], selected: Selected) -> None:
        self.selected = selected
        self._gateway = gateway
        self._selectors = selectors
        self._times_ended = 0

    def explain(self) -> list[str]:
        """Returns why selectors trace nothing: now if the agent answers, else when they were selected."""
        try:
            return self._gateway.explain(self._selectors, _EXPLAIN_SECONDS)
        except JcollectError:
            return self.selected.remarks

    def why_ended(self, selectors: Collection[str]) -> str:
        """Returns why the selection has ended before its block did; empty if it has not.

        `selectors` are those in force by the newest stub library. A program that exits also closes its
        connections and unmaps its libraries, so the first time does not count.
        """
        if self._gateway.is_closed:
            why = "its agent was reset (jcollect reset) or has shut down"
        elif not self.selected.is_among(selectors):
            why = "another command has removed its selectors (jcollect unselect)"
        else:
            self._times_ended = 0
            return ""
        self._times_ended += 1
        return why if self._times_ended > 1 else ""


@contextlib.contextmanager
def leased_selection(
    process: Process,
    selectors: Sequence[str],
    seconds: float = ANSWER_SECONDS,
    warn: Callable[[str], None] = lambda message: None,
    limits: Limits = Limits(),  # noqa: B008
    say: Callable[[str], None] = status,
) -> Iterator[Lease]:
    """Selects until the block ends, and loads the agent if it is not there. `say` gets a line if that takes
    long.

    `limits` are asked for until then. At the end the methods are unselected, and an agent that was loaded for
    them has shut down, or `warn` is called because the process delays that. Raises JcollectError if the agent
    cannot be loaded, refuses, or names too many methods.
    """
    with (
        open_gateway(process, seconds=seconds, say=say) as gateway,
        _raised(gateway, limits, warn),
        charged_to(process, gateway.lease(selectors)) as selected,
    ):
        yield Lease(gateway, selectors, selected)
        # The process may have exited, and its agent with it.
        with contextlib.suppress(JcollectError):
            agent = find_agent(process)
            gateway.close()
            if agent is not None and not _is_released(agent, selected) and not _answers(process):
                why = "it is stopped" if process.is_stopped() else "it may be stopped or hanging"
                warn(f"PID {process.pid} has not unselected the methods yet ({why}); it will when it resumes")


@contextlib.contextmanager
def _raised(gateway: Gateway, limits: Limits, warn: Callable[[str], None]) -> Iterator[None]:
    if limits and (remark := limits.remark(gateway.limits(limits, "client").limits)):
        warn(f"PID {gateway.process.pid}: {remark}")
    yield  # They end with the connection.


def _is_released(agent: Agent, selected: Selected) -> bool:
    """Waits until the probes are retired, and the agent has shut down if that was its last selection."""
    every = probes_of(agent.libraries)

    def is_retired() -> bool:
        return not any(map(selected.ends, not_retired(every)))

    # A stopped process does nothing until it resumes.
    _wait(is_retired, 0.0 if agent.process.is_stopped() else _SECONDS)
    if not is_retired():
        return False
    if selected.loaded_later and agent.directory is not None and not not_retired(every):
        _wait(lambda: not agent.has_directory(), _END_SECONDS)
    return True


def _answers(process: Process) -> bool:
    """Returns true if the agent executes commands: then other clients have selected the same methods."""
    try:
        with contextlib.ExitStack() as ended:
            gateway = connect(process, _END_SECONDS)
            if gateway is not None:
                ended.enter_context(gateway).status()
            return True
    except JcollectError:
        return False


def _wait(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline and not is_cancelled():
        time.sleep(_POLL_SECONDS)
