"""USDT probes that a process has besides those of jprobe: those of its JVM, and marks of any file that it has
mapped."""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Callable, Sequence

from jcollect.errors import JcollectError
from jcollect.printable import printable
from jcollect.probes.faults import Faults
from jcollect.probes.malformed import MalformedLibraryError
from jcollect.probes.probe import Probe
from jcollect.probes.usdt import read_usdt_probes
from jcollect.procfs.jvm import command_line, is_libjvm
from jcollect.procfs.maps import Mapping, read_maps
from jcollect.procfs.process import Process
from jcollect.session.marks_of_jvm import JVM_EVENTS, PAUSES

Warn = Callable[[str], None]
# Maximum number of files of one process that are searched for marks.
MOST_FILES = 1024


def find_marks(
    process: Process, jvm: Sequence[str], usdt: Sequence[str], warn: Warn, pauses: bool = False
) -> list[Probe]:
    """Returns the probes of these kinds of JVM_EVENTS, and those that one of the globs of "provider:name"
    matches. With `pauses`, those of PAUSES as well, if the process is a JVM that has them. Raises
    JcollectError if one of the kinds or globs finds nothing, or the process cannot be read."""
    if not jvm and not usdt and not pauses:
        return []
    try:
        mappings = read_maps(process)
        found = []
        try:
            kinds = tuple(dict.fromkeys((*jvm, *(PAUSES if pauses else ()))))
            found = _jvm_probes(process, mappings, kinds, warn) if kinds else []
        except JcollectError as error:
            if jvm:
                raise
            warn(f"{error.message}; pauses of its JVM are not known")
        return found + (_marks(process, mappings, usdt, warn) if usdt else [])
    except OSError as error:
        raise process.explain(error, "USDT probes") from None


def _jvm_probes(
    process: Process, mappings: Sequence[Mapping], kinds: Sequence[str], warn: Warn
) -> list[Probe]:
    library = next((mapping for mapping in mappings if is_libjvm(mapping)), None)
    if library is None:
        raise JcollectError(
            f"cannot trace the JVM of PID {process.pid}: it is no JVM; --usdt attaches to other programs"
        )
    probes = _read(process, library.path, warn)
    if not any(probe.provider == "hotspot" for probe in probes):
        raise JcollectError(
            f"cannot trace the JVM of PID {process.pid}: its {library.path} has no USDT probes; "
            "run a JDK that was built with --enable-dtrace, such as those of Debian and Temurin"
        )
    _check_flags(process, kinds, probes, warn)
    globs = [glob for kind in kinds for glob in JVM_EVENTS[kind].globs]
    return [probe for probe in probes if _matches(probe, globs)]


def _check_flags(process: Process, kinds: Sequence[str], probes: Sequence[Probe], warn: Warn) -> None:
    """Warns of flags that are missing, without which probes do not fire."""
    # Only JDKs before 18 have the probes of the flag that they have later split up.
    words = command_line(process)
    for kind in kinds:
        events = JVM_EVENTS[kind]
        flags = [flag for flag in (events.flag, events.later_flag) if flag]
        if flags and not any(f"-XX:+{flag}" in words for flag in flags):
            first, later = flags
            warn(
                f"PID {process.pid}: probes of {kind} events do not fire unless the JVM was started with "
                f"-XX:+{first} (JDK 17) or -XX:+{later} (later JDKs)"
            )


def _marks(
    process: Process,
    mappings: Sequence[Mapping],
    globs: Sequence[str],
    warn: Warn,
    is_needed: bool = True,
) -> list[Probe]:
    """`is_needed`: an error if a glob matches nothing."""
    found: list[Probe] = []
    paths = dict.fromkeys(
        mapping.path
        for mapping in mappings
        if "x" in mapping.access and mapping.path.startswith("/") and not mapping.deleted
    )
    for path in list(paths)[:MOST_FILES]:
        found += [probe for probe in _read(process, path, warn) if _matches(probe, globs)]
    for glob in globs if is_needed else ():
        if not any(_matches(probe, [glob]) for probe in found):
            raise JcollectError(
                f"cannot attach to PID {process.pid}: no file that it has mapped has a USDT probe like "
                f"--usdt '{glob}'; jcollect probes {process.pid} --usdt lists them"
            )
    return found


def marks_of(process: Process, warn: Warn) -> list[Probe]:
    """Returns all USDT probes of the files that a process has mapped, except those of jprobe's own stub
    libraries. Raises JcollectError."""
    try:
        return _marks(process, read_maps(process), ("*",), warn, is_needed=False)
    except OSError as error:
        raise process.explain(error, "USDT probes") from None


def _read(process: Process, path: str, warn: Warn) -> list[Probe]:
    """Returns the probes of a file; none if it cannot be read, or has none."""
    if os.path.basename(os.path.dirname(path)).startswith("jprobe-"):
        return []
    faults = Faults()
    try:
        probes = read_usdt_probes(process, path, faults)
    except (OSError, MalformedLibraryError):
        return []
    if faults.count:
        name, reason = faults.first[0]
        warn(
            f"PID {process.pid}: cannot use {faults.count:,} of the USDT probes of {printable(path)}, such "
            f"as {name}: {reason}"
        )
    return probes


def _matches(probe: Probe, globs: Sequence[str]) -> bool:
    name = f"{probe.provider}:{probe.name}"
    return any(fnmatch.fnmatchcase(name, glob) for glob in globs)
