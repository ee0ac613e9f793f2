"""Says which JVMs run while --name matches none of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from jcollect.console import status
from jcollect.limits import MAX_SHOWN_NAME
from jcollect.probes.host import HostProcess
from jcollect.shortened import shortened

# Time without a match after which the names of the JVMs are printed.
_SECONDS = 3.0
_NAMED = 5


class MissingName:
    """Prints one line if none of the processes has a name that matches for a few seconds. For one thread."""

    def __init__(self, names: Sequence[str], matches: Callable[[Sequence[str]], bool]) -> None:
        """`names` are globs, of which `matches` tries all."""
        self._names = names
        self._matches = matches
        self._is_over = not names
        self._since = time.monotonic()

    def look_at(self, processes: Sequence[HostProcess]) -> None:
        """Takes the result of a search for processes."""
        if self._is_over:
            return
        if any(self._matches((each.name,)) for each in processes):
            self._is_over = True
        elif time.monotonic() - self._since >= _SECONDS:
            self._is_over = True
            status(missing_text(self._names, processes))


def missing_text(names: Sequence[str], processes: Sequence[HostProcess]) -> str:
    """Returns a line about globs that match none of these processes."""
    wanted = " or ".join(f"'{shortened(name, MAX_SHOWN_NAME)}'" for name in names)
    running = list(dict.fromkeys(each.name for each in processes if each.is_jvm))
    if not running:
        return f"no JVM named {wanted} runs, and no other one that jcollect may read; still waiting"
    shown = ", ".join(shortened(name, MAX_SHOWN_NAME) for name in running[:_NAMED])
    more = f" and {len(running) - _NAMED:,} more" if len(running) > _NAMED else ""
    return f"no JVM named {wanted} runs; the JVMs that do: {shown}{more}; still waiting"
