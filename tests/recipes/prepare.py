"""Checks the fetched jars, and compiles the programs of the recipes.

Run as a program, it writes checksums.txt, after a change of versions in build.gradle.
"""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

from java_target import COMPILER, ROOT

HERE = Path(__file__).parent
JARS = ROOT / "build/recipes/jars"
CLASSES = ROOT / "build/recipes/classes"
COMMANDS = HERE / "common/Commands.java"
CHECKSUMS = HERE / "checksums.txt"


def digests() -> dict[str, str]:
    """Returns the SHA-256 of each fetched jar."""
    return {
        str(jar.relative_to(JARS)): hashlib.sha256(jar.read_bytes()).hexdigest()
        for jar in sorted(JARS.glob("*/*.jar"))
    }


def check_jars() -> None:
    """Raises an error if a jar is not the one that the recipes were written for, or is missing."""
    lines = (line.split() for line in CHECKSUMS.read_text().splitlines())
    known = {name: digest for digest, name in lines}
    found = digests()
    wrong = sorted(name for name in known | found if known.get(name) != found.get(name))
    problem = f"{len(wrong)} jars in {JARS} are not those of {CHECKSUMS}, such as {wrong[:1]}"
    assert not wrong, f"{problem}; run: make recipe-jars, and after a change of versions: {__file__}"


def compile_program(name: str) -> str:
    """Compiles a program, with names of parameters, unless it is up to date. Returns its class path."""
    libraries = f"{JARS / name}/*"
    folder = CLASSES / name
    sources = sorted(HERE.glob(f"{name}/*.java"))
    stamp = folder / ".compiled"
    inputs = [*sources, COMMANDS, CHECKSUMS]
    newest = max(file.stat().st_mtime for file in inputs)
    if sources and not (stamp.exists() and stamp.stat().st_mtime > newest):
        options = ["--release", "17", "-g", "-parameters", "-nowarn", "-proc:none", "-encoding", "UTF-8"]
        command = [COMPILER.javac, *options, "-cp", libraries, "-d", folder, *sources, COMMANDS]
        subprocess.run(command, check=True)
        stamp.touch()
    return f"{folder}:{libraries}"


if __name__ == "__main__":
    CHECKSUMS.write_text("".join(f"{digest}  {name}\n" for name, digest in digests().items()))
