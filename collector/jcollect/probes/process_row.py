"""Describes a process of this host, for `jcollect ps` and ListProcesses."""

from __future__ import annotations

import pwd
from collections import Counter
from dataclasses import dataclass, field

from jcollect.errors import JcollectError
from jcollect.probes.host import HostProcess
from jcollect.probes.live import read_mapped
from jcollect.probes.probe import STATE_NAMES
from jcollect.probes.scan import scan


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


def read_row(process: HostProcess, collectors: tuple[str, ...] = ()) -> ProcessRow:
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


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
