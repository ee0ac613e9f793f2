"""Words parts of the lines about the probes of one process."""

from __future__ import annotations

from collections.abc import Sequence

from jcollect.console import plural
from jcollect.limits import MAX_SHOWN_NAME
from jcollect.probes.probe import Probe, is_mark
from jcollect.shortened import shortened

_NAMED = 3  # Maximum number of probes that a warning names.


def armed_text(probes: Sequence[Probe], more: str = "") -> str:
    """Returns a text about newly armed probes. `more` precedes the noun."""
    of_methods = [probe for probe in probes if not is_mark(probe)]
    marks = len(probes) - len(of_methods)
    methods = plural(len({probe.method_key for probe in of_methods}), "method")
    if not marks:
        return f"armed {plural(len(probes), f'{more}probe')} of {methods}"
    if not of_methods:
        return f"armed {plural(marks, f'{more}USDT probe')}"
    return f"armed {plural(len(of_methods), f'{more}probe')} of {methods}, and {plural(marks, 'USDT probe')}"


def names_of(probes: Sequence[Probe]) -> str:
    """Returns the names of the first few probes, and how many more there are."""
    names = [shortened(f"{probe.provider}:{probe.name}", MAX_SHOWN_NAME) for probe in probes[:_NAMED]]
    more = len(probes) - _NAMED
    return ", ".join([*names, f"and {more:,} more"] if more > 0 else names)


def limit_text(max_percent: float) -> str:
    if not max_percent:
        return ""
    return f"; above {max_percent:.0f}% the most expensive methods are throttled (--max-overhead)"


def refused_text(pid: int, refusal: str, is_run: bool) -> str:
    """Returns a line about an agent that has withdrawn all selections. With `is_run`, this command has
    started the program."""
    again = (
        "run the program again with a larger --max-methods, or with narrower selectors"
        if is_run
        else "end this command, and attach again with narrower selectors"
    )
    begun = f"PID {pid} traces nothing any more, because it has loaded more classes: "
    return f"{begun}{shortened(refusal)}; {again}"
