"""What a running JVM is, read from outside: which program it runs, and which JDK it is of."""

from __future__ import annotations

import os
import re
from typing import NamedTuple

from jcollect.discovery.deadline import within
from jcollect.discovery.hsperfdata import MAX_PERFDATA_BYTES, texts_of
from jcollect.discovery.java_command import main_class
from jcollect.discovery.mapped_file import MappedFiles
from jcollect.discovery.maps import Mapping
from jcollect.discovery.regular_file import read_regular

# The longest that a class file or a path has; a command line may be longer.
_MAX_NAME = 4096
_MAX_FILE_BYTES = 1 << 16
_MAX_COMMAND_BYTES = 1 << 20
# Whoever looks at all processes has others to look at.
_PATIENCE_SECONDS = 0.5
_JAVA_VERSION = re.compile(r'^JAVA_VERSION="([^"]*)"', re.MULTILINE)
_MAX_VERSION = 64
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


def describe_jvm(pid: int, libjvm: Mapping, perfdata: Mapping | None) -> Jvm:
    """What there is to know of a JVM; nothing that cannot be read is an error."""
    texts = perf_texts(pid, perfdata) if perfdata else {}
    # What jps takes: the first word, also of a path with spaces.
    name = texts.get("sun.rt.javaCommand", "").partition(" ")[0]
    jdk = texts.get("java.property.java.version", "")
    is_certain = bool(name and jdk)
    return Jvm(
        (name or _name_in_command_line(pid))[:_MAX_NAME],
        (jdk or _version_in_release_file(pid, libjvm.path))[:_MAX_VERSION],
        is_certain,
    )


def perf_texts(pid: int, mapping: Mapping) -> dict[str, str]:
    """HotSpot's texts about itself, by name; none where they cannot be read."""
    try:
        # The mapped file itself: containers that share a /tmp may have others of the same name.
        return texts_of(MappedFiles(pid).read(mapping, MAX_PERFDATA_BYTES)[1])
    except OSError:
        return {}


def _name_in_command_line(pid: int) -> str:
    words = command_line(pid)
    if not words or os.path.basename(words[0]) not in ("java", "javaw"):
        return ""

    def read_argument_file(path: str) -> str:
        base = f"/proc/{pid}/root" if path.startswith("/") else f"/proc/{pid}/cwd/"
        return read_regular(base + path, _MAX_FILE_BYTES).decode(errors="replace")

    return main_class(words[1:], read_argument_file)


def command_line(pid: int) -> list[str]:
    """Its words, which it keeps in its memory; none of a process that is gone."""

    def read() -> bytes:
        with open(f"/proc/{pid}/cmdline", "rb", buffering=0) as stream:
            return stream.read(_MAX_COMMAND_BYTES)

    try:
        content = within(pid, read, _PATIENCE_SECONDS)
    except OSError:
        return []
    return [word.decode(errors="replace") for word in content.removesuffix(b"\0").split(b"\0")]


def _version_in_release_file(pid: int, libjvm: str) -> str:
    # <home>/lib/server/libjvm.so; up to JDK 8 <home>/jre/lib/amd64/server/libjvm.so.
    folder = os.path.dirname(libjvm)
    for _ in range(4):
        folder = os.path.dirname(folder)
        try:
            content = read_regular(f"/proc/{pid}/root{folder}/release", _MAX_FILE_BYTES)
        except (OSError, ValueError):
            continue
        found = _JAVA_VERSION.search(content.decode(errors="replace"))
        if found:
            return found[1]
    return ""
