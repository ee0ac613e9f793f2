"""Determines from outside whether a process is a JVM, which program it runs, and which JDK it belongs to."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import NamedTuple

from jcollect.procfs.apart import apart
from jcollect.procfs.hsperfdata import MAX_PERFDATA_BYTES, texts_of
from jcollect.procfs.identity import Identity, can_become
from jcollect.procfs.java_process import name_and_version, read_command_line, words_of_line
from jcollect.procfs.mapped_file import MappedFiles
from jcollect.procfs.maps import Mapping, read_maps
from jcollect.procfs.process import Process

# Maximum length of a class name or a path; a command line may be longer.
_MAX_NAME = 4096
_MAX_VERSION = 64
# A scan of all processes cannot wait longer for one of them.
PATIENCE_SECONDS = 1.0
_PERFDATA_PATH = re.compile(r"/hsperfdata_[^/]+/\d+$")
_LIBJVM = b"/libjvm.so"
# The agent of a debugger.
_LIBJDWP = b"/libjdwp.so"


class Jvm(NamedTuple):
    """`name` and `jdk` as in HostProcess, empty if unknown. `is_certain` is true if HotSpot published both.
    `is_attachable` is false if HotSpot published that tools cannot attach to it."""

    name: str = ""
    jdk: str = ""
    is_certain: bool = False
    is_attachable: bool = True


def is_jvm(process: Process) -> bool:
    """Returns true if HotSpot is mapped. Raises JcollectError if the process cannot be read."""
    return _has_mapped(process, _LIBJVM)


def has_debugger(process: Process) -> bool:
    """Returns true if a debugger's agent (JDWP) is mapped. Raises JcollectError if that cannot be read."""
    return _has_mapped(process, _LIBJDWP)


def _has_mapped(process: Process, library: bytes) -> bool:
    try:
        return any(mapping.path.endswith(library.decode()) for mapping in read_maps(process, library))
    except OSError as error:
        raise process.explain(error) from None


def is_libjvm(mapping: Mapping) -> bool:
    return mapping.path.endswith(_LIBJVM.decode())


def is_perfdata(mapping: Mapping) -> bool:
    return _PERFDATA_PATH.search(mapping.path) is not None


def describe_jvm(process: Process, mappings: Sequence[Mapping]) -> Jvm:
    """Describes a JVM by its mappings, as far as it can be read; leaves empty what cannot be read.

    Its files are read with the rights of the user that it had when it was opened, even if it executes another
    user's program. Raises JcollectError if it had several users then.
    """
    user = process.user
    libjvm = next(filter(is_libjvm, mappings), None)
    perfdata = next(filter(is_perfdata, mappings), None)
    texts = _perf_texts(process, user, perfdata) if perfdata else {}
    # The first word, as jps prints it, even of a path with spaces.
    name = texts.get("sun.rt.javaCommand", "").partition(" ")[0]
    jdk = texts.get("java.property.java.version", "")
    is_certain = bool(name and jdk)
    if libjvm and not is_certain:
        found = _name_and_version(process, user, libjvm)
        name, jdk = name or found[0], jdk or found[1]
    # The first capability is attaching, as "0" or "1".
    is_attachable = not texts.get("sun.rt.jvmCapabilities", "").startswith("0")
    return Jvm(name[:_MAX_NAME], jdk[:_MAX_VERSION], is_certain, is_attachable)


def command_line(process: Process) -> list[str]:
    """Returns the arguments, which the process keeps in its memory; none if it has exited."""
    try:
        answer = apart(process, read_command_line, process.pid, seconds=PATIENCE_SECONDS, aside=True)
    except OSError:
        return []
    return words_of_line(answer.content)


def _perf_texts(process: Process, user: Identity, mapping: Mapping) -> dict[str, str]:
    """Returns the texts that HotSpot publishes about itself, by name; none if they cannot be read."""
    try:
        # Reads the mapped file itself, because containers that share a /tmp may have others of the same name.
        file = MappedFiles(process, PATIENCE_SECONDS).read(mapping, MAX_PERFDATA_BYTES)
    except OSError:
        return {}
    # HotSpot maps no file of another user.
    return texts_of(file.content or b"") if file.uid == user.uid else {}


def _name_and_version(process: Process, user: Identity, libjvm: Mapping) -> tuple[str, str]:
    # This process has no more rights than any other user if it lacks root's capabilities.
    try:
        if not can_become(user):
            # Drops the capabilities by which this process may read more than its user may.
            user = Identity(os.geteuid(), os.getegid())
        answer = apart(
            process,
            name_and_version,
            process.pid,
            libjvm.path,
            _MAX_NAME,
            user=user,
            seconds=PATIENCE_SECONDS,
            aside=True,
        )
    except OSError:
        return "", ""
    name, _, jdk = answer.content.decode(errors="replace").partition("\0")
    return name, jdk
