"""Reads what a JVM's command line and its JDK's files reveal about it. The functions run apart, as the JVM's
user, because an argument file may be a link to anything."""

from __future__ import annotations

import os
import re

from jcollect.procfs.files import read_file
from jcollect.procfs.java_command import main_class

_MAX_COMMAND_BYTES = 1 << 20
_MAX_FILE_BYTES = 1 << 16
_MAX_ARGUMENT_FILES = 16
_JAVA_VERSION = re.compile(r'^JAVA_VERSION="([^"]*)"', re.MULTILINE)


def name_and_version(pid: int, libjvm: str, most: int) -> bytes:
    """Returns the main class and the version of the JDK, empty where unknown, separated by a NUL."""
    texts = (_name(pid), _version(pid, libjvm))
    return b"\0".join(text.replace("\0", "")[:most].encode(errors="replace") for text in texts)


def read_command_line(pid: int) -> bytes:
    """Returns the arguments, each ended by a NUL. The process keeps them in its memory. Raises OSError."""
    with open(f"/proc/{pid}/cmdline", "rb", buffering=0) as stream:
        return stream.read(_MAX_COMMAND_BYTES)


def words_of_line(content: bytes) -> list[str]:
    return [word.decode(errors="replace") for word in content.removesuffix(b"\0").split(b"\0")]


def _name(pid: int) -> str:
    try:
        words = words_of_line(read_command_line(pid))
    except OSError:
        return ""
    if os.path.basename(words[0]) not in ("java", "javaw"):
        return ""
    left = iter(range(_MAX_ARGUMENT_FILES))

    def read_argument_file(path: str) -> str:
        if next(left, None) is None:
            raise OSError(f"more than {_MAX_ARGUMENT_FILES} argument files")
        return read_file(pid, path, _MAX_FILE_BYTES).decode(errors="replace")

    return main_class(words[1:], read_argument_file)


def _version(pid: int, libjvm: str) -> str:
    # The path is <home>/lib/server/libjvm.so; up to JDK 8 <home>/jre/lib/amd64/server/libjvm.so.
    folder = os.path.dirname(libjvm)
    for _ in range(4):
        folder = os.path.dirname(folder)
        try:
            content = read_file(pid, f"{folder}/release", _MAX_FILE_BYTES)
        except OSError:
            continue
        found = _JAVA_VERSION.search(content.decode(errors="replace"))
        if found:
            return found[1]
    return ""
