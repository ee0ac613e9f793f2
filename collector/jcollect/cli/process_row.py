"""Describes a process of this host, for `jcollect ps`."""

from __future__ import annotations

import pwd
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from jcollect.cli.tables import print_table
from jcollect.console import warn
from jcollect.errors import JcollectError
from jcollect.probes.host import HostProcess
from jcollect.probes.live import read_mapped
from jcollect.probes.probe import STATE_NAMES
from jcollect.probes.scan import scan
from jcollect.rpc.address import pid_of
from jcollect.rpc.find import ask_collectors

# Maximum number of characters of a problem in a column. --json prints all of it.
_MOST_SHOWN = 60


@dataclass(frozen=True)
class ProcessRow:
    """A process. `agent` is the version of its agent, or empty; `libraries` are paths; `probes` counts by
    state; `collectors` are the addresses of the collectors that are attached to it."""

    pid: int
    user: str
    jdk: str
    name: str
    is_jvm: bool
    agent: str = ""
    libraries: tuple[str, ...] = ()
    probes: dict[str, int] = field(default_factory=dict)
    collectors: tuple[str, ...] = ()
    problem: str = ""


def read_row(process: HostProcess, collectors: tuple[str, ...]) -> ProcessRow:
    """Reads the probes of a process. Records problems instead of raising."""
    problems: list[str] = []
    agent = ""
    libraries: tuple[str, ...] = ()
    states: Counter[str] = Counter()
    if process.has_stubs:
        try:
            with process.open() as opened:
                found = scan(opened, problems.append)
                live = read_mapped(opened, found.every)
        except (JcollectError, OSError):
            problems.append("it has exited, or its memory cannot be read")
        else:
            libraries = tuple(library.file for library in found.libraries)
            states.update(STATE_NAMES[each.state] for each in live)
            versions = [each.image.manifest.agent_version for each in found.libraries if each.is_agents]
            agent = versions[-1] if versions else ""
    order = {name: number for number, name in STATE_NAMES.items()}
    return ProcessRow(
        pid=process.pid,
        user=_user(process.uid),
        jdk=process.jdk,
        name=process.name,
        is_jvm=process.is_jvm,
        agent=agent,
        libraries=libraries,
        probes=dict(sorted(states.items(), key=lambda item: order[item[0]])),
        collectors=collectors,
        problem="; ".join(problems),
    )


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


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
