"""A build hook for hatchling: adds the build results to a wheel, the agent's jar and the native libraries.

An editable install uses them from the checkout.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_BUILT = {
    "java-agent/build/libs/jprobe.jar": "jcollect/_agent/jprobe.jar",
    **{
        f"build/native/linux-{machine}/{name}.so": f"jcollect/_native/linux-{machine}/{name}.so"
        for machine in ("x86_64", "aarch64")
        for name in ("drain", "last_resort")
    },
}


class BuiltHook(BuildHookInterface[Any]):
    """Adds the files before each build of a wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Raises FileNotFoundError if a file has not been built."""
        if version == "editable":
            return
        for file, path_in_wheel in _BUILT.items():
            if not (Path(self.root) / file).is_file():
                raise FileNotFoundError(
                    f"a part of the wheel is missing: there is no {file}; run make build first"
                )
            build_data["force_include"][file] = path_in_wheel
