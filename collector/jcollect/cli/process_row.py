"""Prints the processes of this host, for `jcollect ps`."""

from __future__ import annotations

from collections.abc import Sequence

from jcollect.cli.tables import print_table
from jcollect.console import warn
from jcollect.probes.process_row import ProcessRow
from jcollect.rpc.address import pid_of
from jcollect.rpc.find import ask_collectors

# Maximum number of characters of a problem in a column. --json prints all of it.
_MOST_SHOWN = 60


def collectors_by_pid() -> dict[int, tuple[str, ...]]:
    """Returns the addresses of collectors by the PIDs that they are attached to. Warns about collectors that
    do not answer."""
    found: dict[int, tuple[str, ...]] = {}
    for each in ask_collectors():
        for process in each.status.processes if each.status else ():
            found[process.pid] = (*found.get(process.pid, ()), each.address.text)
        if each.silence is not None:
            warn(each.silence.message)
            pid = pid_of(each.address)
            if pid:
                found[pid] = (*found.get(pid, ()), f"{each.address.text} (no answer)")
    return found


def print_rows(rows: Sequence[ProcessRow]) -> None:
    print_table(
        ("PID", "USER", "JDK", "AGENT", "LIBRARIES", "PROBES", "COLLECTOR", "NAME"),
        [
            (
                str(row.pid),
                row.user,
                (row.jdk or "?") if row.is_jvm else "-",
                row.agent or "-",
                str(len(row.libraries)),
                _probes(row),
                ", ".join(row.collectors) or "-",
                row.name,
            )
            for row in rows
        ],
        right=frozenset({0, 4}),
    )


def _probes(row: ProcessRow) -> str:
    """Returns the probes by state, as in "24 dormant, 3 armed", or the problem."""
    if row.problem:
        first, *others = row.problem.split("; ")
        short = first if len(first) <= _MOST_SHOWN else f"{first[: _MOST_SHOWN - 1]}…"
        return f"? ({short}{f'; {len(others):,} more with --json' if others else ''})"
    return ", ".join(f"{count:,} {state}" for state, count in row.probes.items()) or "-"
