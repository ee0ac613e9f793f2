"""Finds a Java runtime on this machine that can attach to other JVMs: one with the module jdk.attach."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from jcollect.errors import JcollectError
from jcollect.printable import printable
from jcollect.trusted_files import untrusted_writer, untrusted_writer_below

_JVM_FOLDER = Path("/usr/lib/jvm")
# Earlier runtimes do not support containers, or were not tried.
_OLDEST = 17
# Parts of its runtime that a JVM reads.
_PARTS = ("lib", "conf")
_MOST_RELEASE_CHARACTERS = 1 << 16
_VERSION = re.compile(r'^JAVA_VERSION="(?:1\.)?(\d+)', re.MULTILINE)


def find_libjvm() -> Path:
    """Returns the libjvm.so of JAVA_HOME, or without JAVA_HOME of the newest installed runtime that is safe.

    It runs with the rights of jcollect, so a runtime that users other than root and its own could have
    changed is rejected. Raises JcollectError.
    """
    named = os.environ.get("JAVA_HOME")
    homes = [Path(named).absolute()] if named else sorted(_homes(), key=_version, reverse=True)
    unsafe = []
    for home in homes:
        libjvm = home / "lib/server/libjvm.so"
        if libjvm.exists() and (home / "lib/libattach.so").exists():
            why = untrusted_writer(libjvm) or _who_could_change_parts(libjvm)
            if why is not None:
                unsafe.append(f"{home} is not safe to run with the rights of jcollect: {printable(why)}")
            elif _version(home) >= _OLDEST:
                return libjvm
    if unsafe:
        raise JcollectError(
            f"loading the agent requires a Java runtime that only root can change, and {unsafe[0]}; "
            "make it root's (chown -R root:root, chmod -R go-w), or set JAVA_HOME to another"
        )
    where = f"JAVA_HOME={named}" if named else f"neither {_JVM_FOLDER} nor the PATH"
    raise JcollectError(
        f"loading the agent into a running JVM requires a Java runtime {_OLDEST} or later with the module "
        f"jdk.attach on this machine, and {where} has {'none' if named else 'one'}; "
        "install openjdk-17-jdk-headless, or set JAVA_HOME to one"
    )


def _who_could_change_parts(libjvm: Path) -> str | None:
    home = libjvm.resolve().parents[2]
    problems = (untrusted_writer_below(home / part) for part in _PARTS if (home / part).exists())
    return next(filter(None, problems), None)


def _homes() -> Iterator[Path]:
    yield from {release.parent.resolve() for release in _JVM_FOLDER.glob("*/release")}
    java = shutil.which("java")
    if java:
        yield Path(java).resolve().parents[1]


def _version(home: Path) -> int:
    release = home / "release"
    try:
        # Others could have put a pipe there, or a file without an end.
        if untrusted_writer(release) is not None:
            return 0
        with release.open(errors="replace") as file:
            version = _VERSION.search(file.read(_MOST_RELEASE_CHARACTERS))
    except OSError:
        return 0
    return int(version[1]) if version else 0
