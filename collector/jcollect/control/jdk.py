"""Finds a Java runtime on our side that can attach to other JVMs: one with the module jdk.attach."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from jcollect.errors import JcollectError

_JVM_FOLDER = Path("/usr/lib/jvm")
# Earlier ones know nothing of containers, or nothing that this project is tried on.
_OLDEST = 17
_VERSION = re.compile(r'^JAVA_VERSION="(?:1\.)?(\d+)', re.MULTILINE)


def find_libjvm() -> Path:
    """libjvm.so of JAVA_HOME, else of the newest runtime that there is. Raises JcollectError."""
    named = os.environ.get("JAVA_HOME")
    homes = [Path(named)] if named else sorted(_homes(), key=_version, reverse=True)
    for home in homes:
        libjvm = home / "lib/server/libjvm.so"
        if _version(home) >= _OLDEST and libjvm.exists() and (home / "lib/libattach.so").exists():
            return libjvm
    where = f"JAVA_HOME={named}" if named else f"neither {_JVM_FOLDER} nor the PATH"
    raise JcollectError(
        f"loading the agent into a running JVM takes a Java runtime {_OLDEST} or later with the module "
        f"jdk.attach here as well, and {where} has {'none' if named else 'one'}; "
        "install openjdk-17-jdk-headless, or set JAVA_HOME to one"
    )


def _homes() -> Iterator[Path]:
    yield from {release.parent.resolve() for release in _JVM_FOLDER.glob("*/release")}
    java = shutil.which("java")
    if java:
        yield Path(java).resolve().parents[1]


def _version(home: Path) -> int:
    try:
        version = _VERSION.search((home / "release").read_text(errors="replace"))
    except OSError:
        return 0
    return int(version[1]) if version else 0
