"""Explains why the methods of --select have had no events."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from types import MappingProxyType

from jcollect.console import plural
from jcollect.hub.accounts import Totals
from jcollect.procfs.process import Process
from jcollect.session.candidate import Candidate

# Maximum number of processes that are asked: each may not answer for a while.
_MAX_ASKED = 5


def explain_silence(
    candidates: Iterable[Candidate],
    totals: Totals,
    seconds: float,
    held: bool = False,
    armed: Collection[Candidate] = (),
    unmatched: Mapping[Candidate, str] = MappingProxyType({}),
) -> Iterator[tuple[Process, str]]:
    """Yields sentences about processes, if `totals` has no event of any of them. Their selections must last
    still. With `held`, they had not begun when they were selected in; those that are `armed` had probes.
    `unmatched` has a sentence about each whose selected probes --probe did not match."""
    if totals.delivered or totals.counted or totals.lost:
        return
    selecting = [(each, each.selection) for each in candidates if each.selection is not None]
    for candidate, selection in selecting[:_MAX_ASKED]:
        process = candidate.process
        if problem := unmatched.get(candidate, ""):
            problems = [problem]
        elif not process.has_exited:
            problems = selection.explain()
        elif candidate in armed:
            # Other remarks may have become untrue: more classes have been loaded.
            problems = selection.selected.remarks_if_held
        elif not held:
            problems = selection.selected.remarks
        else:
            problems = selection.selected.remarks_if_held or [_none_loaded(process.pid)]
        for problem in problems:
            yield process, f"no events: {problem}"
        if not problems:
            yield process, f"no events: {_not_called(totals, process.pid, seconds)}"


def _none_loaded(pid: int) -> str:
    return (
        f"PID {pid} loaded no method that --select matches and that can be traced; compare the spelling with "
        "jcollect find while the program runs"
    )


def _not_called(totals: Totals, pid: int, seconds: float) -> str:
    if totals.filtered:
        return f"the selectors' conditions filtered {plural(totals.filtered, 'call')}"
    if totals.throttled:
        return "the probes were throttled to keep the overhead limit"
    return f"PID {pid} did not call the selected methods in these {seconds:.1f} s"
