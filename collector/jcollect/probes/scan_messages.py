"""Words what a scan of one process reports: the reasons why it has no probes, and warnings."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from itertools import islice

from jcollect.errors import JcollectError
from jcollect.limits import MAX_WARNINGS
from jcollect.printable import printable
from jcollect.probes import nearest
from jcollect.probes.probe import Probe
from jcollect.probes.stub_library import StubLibrary
from jcollect.procfs.maps import Mapping
from jcollect.procfs.process import Process
from jcollect.shortened import shortened

# Maximum length of a path in a warning, in characters.
_MAX_TOLD_PATH = 500
# Maximum number of selectors in an error.
_MAX_SELECTORS = 5
_MAX_SELECTOR = 200


class NothingYetError(JcollectError):
    """The process has no matching probe yet, but may get some."""


def nothing_readable(process: Process) -> JcollectError:
    return JcollectError(
        f"cannot read any stub library of PID {process.pid}: jprobe.jar and jcollect may have different "
        "versions"
    )


def no_agent(process: Process) -> NothingYetError:
    return NothingYetError(
        f"PID {process.pid} ({process.name}) is a JVM without the jprobe agent; "
        "attach to it with --select, give it probes with jcollect select, or start it with "
        "java -javaagent:jprobe.jar"
    )


def no_jvm(process: Process) -> NothingYetError:
    return NothingYetError(
        f"PID {process.pid} ({process.name}) is not a JVM: it has no libjvm.so mapped, and no user-defined "
        "probes; give the PID of a java process, or of a program that defines its own probes"
    )


def no_probes(process: Process, libraries: Sequence[StubLibrary]) -> NothingYetError:
    agents = [library.image.manifest for library in libraries if library.is_agents]
    if not agents:
        return NothingYetError(
            f"PID {process.pid} has stub libraries of its own without probes; "
            "try again when it has added some"
        )
    newest = max(agents, key=lambda manifest: manifest.generation)
    selectors = [f"'{shortened(each, _MAX_SELECTOR)}'" for each in newest.selectors]
    begun = f"PID {process.pid} has the jprobe agent but no probes: "
    if not selectors:
        return NothingYetError(
            f"{begun}nothing is selected; attach to it with --select, or give it probes with jcollect select"
        )
    more = len(selectors) - _MAX_SELECTORS
    asked = ", ".join(selectors[:_MAX_SELECTORS]) + (f" and {more:,} more" if more > 0 else "")
    plural_end = "" if len(selectors) > 1 else "s"
    return NothingYetError(
        f"{begun}{asked} trace{plural_end} no method of the classes loaded so far; to see why, run "
        f"jcollect find {process.pid} {shlex.quote(shortened(newest.selectors[0], _MAX_SELECTOR))}, "
        f"or jcollect probes {process.pid} --all"
    )


def no_match(process: Process, probes: Sequence[Probe], globs: Sequence[str]) -> NothingYetError:
    return NothingYetError(unmatched(globs, probes, "", f" of PID {process.pid}"))


def unmatched(globs: Sequence[str], probes: Sequence[Probe], which: str, whose: str) -> str:
    """Returns a sentence about globs that match none of these probes."""
    asked = " or ".join(f"--probe '{glob}'" for glob in globs)
    example = probes[0]
    near = nearest.hint(globs, probes) or (
        f"; one of them is {example.provider}:{example.name}, of {example.class_name}#{example.method}"
    )
    return f"{asked} matches none of the {len(probes):,} {which}probes{whose}{near}"


def report_refused(process: Process, refused: dict[Mapping, str], warn: Callable[[str], None]) -> None:
    """Warns of libraries that cannot be read, each with the reason."""
    for mapping, reason in islice(refused.items(), MAX_WARNINGS):
        path = printable(mapping.path[:_MAX_TOLD_PATH])
        warn(f"skipping the stub library {path} of PID {process.pid}: {reason}")
    if len(refused) > MAX_WARNINGS:
        warn(f"skipping {len(refused) - MAX_WARNINGS:,} more stub libraries of PID {process.pid}")


def report_skipped(process: Process, libraries: Sequence[StubLibrary], warn: Callable[[str], None]) -> None:
    """Warns of the faulty probes of libraries whose other probes are used."""
    told = (fault for library in libraries for fault in library.image.faults.first)
    for probe, reason in islice(told, MAX_WARNINGS):
        warn(f"skipping the probe {probe} of PID {process.pid}: {reason}")
    count = sum(library.image.faults.count for library in libraries)
    if count > MAX_WARNINGS:
        warn(f"skipping {count - MAX_WARNINGS:,} more probes of PID {process.pid}")
