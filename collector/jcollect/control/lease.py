"""A selection for as long as somebody needs it, and no longer even if that somebody is killed."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence

from jcollect.control.agent import Agent, find_agent
from jcollect.control.cancel import is_cancelled
from jcollect.control.ensure import connect, ensure_agent
from jcollect.control.gateway import ANSWER_SECONDS
from jcollect.control.selected import Selected, kept
from jcollect.control.target import exists
from jcollect.errors import JcollectError
from jcollect.probes.live import not_retired
from jcollect.probes.probe import probes_of
from jcollect.probes.process import is_stopped

_SECONDS = 5.0
# An agent that nobody needs ends at once; whether other clients need it cannot be told from outside.
_END_SECONDS = 2.0
_POLL_SECONDS = 0.02


@contextlib.contextmanager
def leased_selection(
    pid: int,
    selectors: Sequence[str],
    seconds: float = ANSWER_SECONDS,
    warn: Callable[[str], None] = lambda message: None,
) -> Iterator[Selected]:
    """Selects, loading the agent if it is not there, until the block ends.

    When it has ended, the selection is taken back, and an agent that was loaded for it is gone; or `warn` is
    told that the process lets that wait. Raises JcollectError where the agent cannot be had or refuses, or
    names too many methods.
    """
    with ensure_agent(pid, seconds=seconds) as gateway, kept(pid, gateway.lease(selectors)) as selected:
        yield selected
        # The process may have exited, and its agent with it.
        with contextlib.suppress(JcollectError):
            agent = find_agent(pid)
            gateway.close()
            if agent is not None and not _is_let_go(agent, selected) and not _answers(pid):
                why = "it is stopped" if is_stopped(pid) else "it may be stopped, or hang"
                warn(f"PID {pid} has not taken back what was selected ({why}); it will when it goes on")


def _is_let_go(agent: Agent, selected: Selected) -> bool:
    """Waits until the probes are retired, and the agent has ended if that was its last selection."""
    every = probes_of(agent.libraries)

    def is_retired() -> bool:
        return not any(map(selected.ends, not_retired(every)))

    # One that is stopped does nothing before it goes on.
    _wait(is_retired, 0.0 if is_stopped(agent.pid) else _SECONDS)
    if not is_retired():
        return False
    if selected.loaded_later and agent.directory is not None and not not_retired(every):
        directory = agent.directory
        _wait(lambda: not exists(agent.pid, directory), _END_SECONDS)
    return True


def _answers(pid: int) -> bool:
    """Whether the agent carries out commands: then others have selected the same since, and it stays."""
    try:
        with contextlib.ExitStack() as ended:
            gateway = connect(pid, _END_SECONDS)
            if gateway is not None:
                ended.enter_context(gateway).status()
            return True
    except JcollectError:
        return False


def _wait(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline and not is_cancelled():
        time.sleep(_POLL_SECONDS)
