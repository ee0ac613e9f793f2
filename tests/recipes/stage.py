"""The program that runs: at most one at a time."""

from __future__ import annotations

import pytest

from java_target import Jdk
from recipes.prepare import compile_program
from recipes.recipe import Program, Started


class Stage:
    """Keeps the program of the current recipe running: the next recipe usually traces the same."""

    def __init__(self, folders: pytest.TempPathFactory) -> None:
        self._folders = folders
        self._key: tuple[str, int] | None = None
        self._running: Started | None = None

    def start(self, program: Program, jdk: Jdk) -> Started:
        """Returns the program, running on that JDK."""
        key = (program.name, jdk.version)
        if not self._running or self._key != key:
            self.close()
            class_path = compile_program(program.name)
            self._running = program.start(jdk, class_path, self._folders.mktemp(program.name))
            self._key = key
        return self._running

    def close(self) -> None:
        if self._running:
            self._running.close()
        self._running = None
