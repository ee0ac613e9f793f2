"""jcollect ps: the JVMs of this host, and whatever else has probes."""

from __future__ import annotations

import os
import pwd
from collections import Counter
from dataclasses import asdict, dataclass, field

import click

from jcollect.cli.replies import echo_json, json_option
from jcollect.cli.tables import print_table
from jcollect.console import plural, status, warn
from jcollect.errors import JcollectError
from jcollect.probes.host import Host, HostProcess
from jcollect.probes.live import read_live
from jcollect.probes.probe import STATE_NAMES, probes_of
from jcollect.probes.scan import scan
from jcollect.rpc.address import pid_of
from jcollect.rpc.find import ask_collectors

# Characters of a problem in a column; all of it with --json.
_MOST_SHOWN = 60


@dataclass(frozen=True)
class _Row:
    """What is known of a process. `agent` is its version, empty where there is none; `libraries` are paths;
    `probes` counts by state; `collectors` are the addresses of those that are attached to it."""

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


@click.command()
@json_option
def ps(as_json: bool) -> None:
    """List the JVMs of this host, of every user, and other processes that have probes.

    NAME is the main class; jcollect attach --name matches it.
    """
    attached = _attached()
    rows = [_row(process, attached.get(process.pid, ())) for process in Host().scan()]
    if as_json:
        echo_json([asdict(row) for row in rows])
        return
    if rows:
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
    jvms = sum(row.is_jvm for row in rows)
    with_agent = sum(row.is_jvm and bool(row.agent) for row in rows)
    others = len(rows) - jvms
    also = (
        f"; {plural(others, 'other process')} with probes".replace("processs", "processes") if others else ""
    )
    needs = "" if os.geteuid() == 0 else "; those of other users are seen with sudo"
    status(f"{plural(jvms, 'JVM')}, {with_agent:,} with the agent{also}{needs}")


def _attached() -> dict[int, tuple[str, ...]]:
    """The collectors' addresses by PID. Of those that do not answer it is told that they do not."""
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


def _row(process: HostProcess, attached: tuple[str, ...]) -> _Row:
    problems: list[str] = []
    agent = ""
    libraries: tuple[str, ...] = ()
    states: Counter[str] = Counter()
    if process.has_stubs:
        try:
            with process.open() as opened:
                found = scan(opened, problems.append)
                live = read_live(probes_of(found.libraries))
        except (JcollectError, OSError):
            problems.append("it has exited, or its memory cannot be read")
        else:
            libraries = tuple(library.file for library in found.libraries)
            states.update(STATE_NAMES[each.state] for each in live)
            versions = [each.image.manifest.agent_version for each in found.libraries if each.is_agents]
            agent = versions[-1] if versions else ""
    order = {name: number for number, name in STATE_NAMES.items()}
    return _Row(
        pid=process.pid,
        user=_user(process.uid),
        jdk=process.jdk,
        name=process.name,
        is_jvm=process.is_jvm,
        agent=agent,
        libraries=libraries,
        probes=dict(sorted(states.items(), key=lambda item: order[item[0]])),
        collectors=attached,
        problem="; ".join(problems),
    )


def _probes(row: _Row) -> str:
    """As in "24 dormant, 3 armed"."""
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
