"""What a running JVM is, read from outside: which program it runs, and which JDK it is of."""

from __future__ import annotations

import os
import re
from typing import NamedTuple

from jcollect.procfs.apart import apart
from jcollect.procfs.hsperfdata import MAX_PERFDATA_BYTES, texts_of
from jcollect.procfs.identity import Identity, can_become
from jcollect.procfs.java_process import name_and_version, read_command_line, words_of_line
from jcollect.procfs.mapped_file import MappedFiles
from jcollect.procfs.maps import Mapping

# The longest that a class file or a path has; a command line may be longer.
_MAX_NAME = 4096
_MAX_VERSION = 64
# A scan of all processes cannot wait longer for one of them.
PATIENCE_SECONDS = 1.0
_PERFDATA_PATH = re.compile(r"/hsperfdata_[^/]+/\d+$")


class Jvm(NamedTuple):
    """`name` and `jdk` as in HostProcess, empty where unknown; whether HotSpot itself has said so."""

    name: str
    jdk: str
    is_certain: bool


def is_libjvm(mapping: Mapping) -> bool:
    return mapping.path.endswith("/libjvm.so")


def is_perfdata(mapping: Mapping) -> bool:
    return _PERFDATA_PATH.search(mapping.path) is not None


def describe_jvm(pid: int, user: Identity, libjvm: Mapping, perfdata: Mapping | None) -> Jvm:
    """Describes a JVM as far as it can be read; leaves empty what cannot.

    `user` is the result of only_user from before the mappings were read. The process may execute another
    user's program after that, and its files are still read as `user`.
    """
    texts = perf_texts(pid, user, perfdata) if perfdata else {}
    # What jps takes: the first word, also of a path with spaces.
    name = texts.get("sun.rt.javaCommand", "").partition(" ")[0]
    jdk = texts.get("java.property.java.version", "")
    is_certain = bool(name and jdk)
    if not is_certain:
        found = _name_and_version(pid, user, libjvm)
        name, jdk = name or found[0], jdk or found[1]
    return Jvm(name[:_MAX_NAME], jdk[:_MAX_VERSION], is_certain)


def command_line(pid: int) -> list[str]:
    """Returns the arguments, which the process keeps in its memory; none if it has exited."""
    try:
        return words_of_line(apart(pid, read_command_line, pid, seconds=PATIENCE_SECONDS, aside=True).content)
    except OSError:
        return []


def perf_texts(pid: int, user: Identity, mapping: Mapping) -> dict[str, str]:
    """Returns HotSpot's texts about itself, by name; none if they cannot be read."""
    try:
        # Reads the mapped file itself, because containers that share a /tmp may have others of the same name.
        file = MappedFiles(pid, PATIENCE_SECONDS).read(mapping, MAX_PERFDATA_BYTES)
        # HotSpot maps no file of another user's.
        return texts_of(file.content or b"") if file.uid == user.uid else {}
    except OSError:
        return {}


def _name_and_version(pid: int, user: Identity, libjvm: Mapping) -> tuple[str, str]:
    # If we are not root, we have no more rights than any other user.
    try:
        if not can_become(user):
            # Drops the capabilities by which this process may read more than its user may.
            user = Identity(os.geteuid(), os.getegid())
        answer = apart(
            pid,
            name_and_version,
            pid,
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
