"""Explains why the methods of --select have had no events."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator

from jcollect.console import plural
from jcollect.hub.accounts import Totals
from jcollect.procfs.process import Process
from jcollect.session.candidate import Candidate

# Maximum number of processes that are asked: each may not answer for a while.
_MAX_ASKED = 5


def explain_silence(
    candidates: Iterable[Candidate], attached: Container[Candidate], totals: Totals, seconds: float
) -> Iterator[tuple[Process, str]]:
    """Yields sentences about processes, if `totals` has no event of any of them. Their selections must last
    still. `attached` are those that had probes."""
    if totals.delivered or totals.lost:
        return
    selecting = [each for each in candidates if each.selection is not None]
    for candidate in selecting[:_MAX_ASKED]:
        process, selection = candidate.process, candidate.selection
        assert selection is not None
        if not process.has_exited:
            problems = selection.explain()
        elif candidate in attached:
            problems = []
        else:
            # What was true when the methods were selected may not be true of the classes loaded since.
            problems = [
                f"PID {process.pid} exited before a method had probes; jcollect find explains a selector "
                "while the program runs"
            ]
        for problem in problems:
            yield process, f"no events: {problem}"
        if not problems:
            yield process, f"no events: {_not_called(totals, process.pid, seconds)}"


def _not_called(totals: Totals, pid: int, seconds: float) -> str:
    if totals.filtered:
        return f"the selectors' conditions filtered {plural(totals.filtered, 'call')}"
    if totals.throttled:
        return "the probes were throttled to keep the overhead limit"
    return f"PID {pid} did not call the selected methods in these {seconds:.1f} s"
