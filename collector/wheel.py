"""Puts the agent's jar into the wheel, for hatchling; an editable install finds it in the checkout."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_JAR = "java-agent/build/libs/jprobe.jar"


class JarHook(BuildHookInterface[Any]):
    """Called before each build of a wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Raises FileNotFoundError where `make build` has not made the jar."""
        if version == "editable":
            return
        if not (Path(self.root) / _JAR).is_file():
            raise FileNotFoundError(
                f"the wheel needs the agent, and there is no {_JAR}; run make build first"
            )
        build_data["force_include"][_JAR] = "jcollect/_agent/jprobe.jar"
