"""Other agents in the JVM, one of which reports the bytecode that classes end up with."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from conditions import wait_until
from java_target import COMPILER, run


class Digests:
    """Digests of the bytecode that a second agent saw the class get, newest last."""

    def __init__(self, file: Path, class_name: str) -> None:
        self._file = file
        self._class = class_name

    def all(self) -> list[str]:
        lines = self._file.read_text().splitlines() if self._file.exists() else []
        return [line.split()[1] for line in lines if line.split()[0] == self._class]

    def of_a_retransformation(self) -> str:
        """Makes the JVM retransform the class, and returns the digest."""
        request = self._file.with_name(self._file.name + ".retransform")
        request.touch()
        wait_until(lambda: not request.exists(), "the second agent's retransformation")
        return self.all()[-1]


def digest_now(pid: int, jar: Path, class_name: str) -> str:
    """Returns the digest after a retransformation, as seen by an agent that transforms after all others."""
    log = jar.with_name(f"digest-of-{pid}")
    log.unlink(missing_ok=True)
    targets = (jar.parent / f"{jar.stem}.targets").read_text()
    loaded = run(COMPILER.java, "-cp", targets, "LoadAgent", pid, jar, f"{log},{class_name}")
    assert loaded.returncode == 0, loaded
    return Digests(log, class_name).all()[-1]


def agent_jar(name: str, targets: Path, folder: Path) -> Path:
    """Packs the program of that name as an agent."""
    manifest = folder / f"{name}.manifest"
    manifest.write_text(f"Premain-Class: {name}\nAgent-Class: {name}\nCan-Retransform-Classes: true\n")
    jar = folder / f"{name}.jar"
    with zipfile.ZipFile(jar, "w") as archive:
        archive.write(manifest, "META-INF/MANIFEST.MF")
        for compiled in targets.glob(f"{name}*.class"):
            archive.write(compiled, compiled.name)
    (folder / f"{name}.targets").write_text(str(targets))
    return jar


@pytest.fixture
def digest_agent(targets: Path, tmp_path: Path) -> Path:
    return agent_jar("DigestAgent", targets, tmp_path)
