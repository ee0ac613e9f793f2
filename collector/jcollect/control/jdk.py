"""Finds a Java runtime on our side that can attach to other JVMs: one with the module jdk.attach."""

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
# Earlier ones know nothing of containers, or nothing that this project is tried on.
_OLDEST = 17
# Parts of its runtime that a JVM reads.
_PARTS = ("lib", "conf")
_MOST_RELEASE_CHARACTERS = 1 << 16
_VERSION = re.compile(r'^JAVA_VERSION="(?:1\.)?(\d+)', re.MULTILINE)


def find_libjvm() -> Path:
    """Returns the libjvm.so of JAVA_HOME, or else of the newest installed runtime that is safe to run.

    It runs with rights of ours, so a runtime that users other than root and us could have changed is
    rejected. Raises JcollectError.
    """
    named = os.environ.get("JAVA_HOME")
    homes = [Path(named).absolute()] if named else sorted(_homes(), key=_version, reverse=True)
    unsafe = []
    for home in homes:
        libjvm = home / "lib/server/libjvm.so"
        if libjvm.exists() and (home / "lib/libattach.so").exists():
            why = untrusted_writer(libjvm) or _who_could_change_parts(libjvm)
            if why is not None:
                unsafe.append(f"{home} is not safe to run with our rights: {printable(why)}")
            elif _version(home) >= _OLDEST:
                return libjvm
    if unsafe:
        raise JcollectError(
            f"loading the agent takes a Java runtime that nobody but root can change, and {unsafe[0]}; "
            "make it root's (chown -R root:root, chmod -R go-w), or set JAVA_HOME to another"
        )
    where = f"JAVA_HOME={named}" if named else f"neither {_JVM_FOLDER} nor the PATH"
    raise JcollectError(
        f"loading the agent into a running JVM takes a Java runtime {_OLDEST} or later with the module "
        f"jdk.attach here as well, and {where} has {'none' if named else 'one'}; "
        "install openjdk-17-jdk-headless, or set JAVA_HOME to one"
    )


def _who_could_change_parts(libjvm: Path) -> str | None:
    home = libjvm.resolve().parents[2]
    told = (untrusted_writer_below(home / part) for part in _PARTS if (home / part).exists())
    return next(filter(None, told), None)


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
