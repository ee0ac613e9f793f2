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

# Part of the folders that the wheel has anyway; generated, so they can be missing.
_GENERATED = (
    "bpf/include/jprobe/layout.h",
    "collector/jcollect/layout/__init__.py",
    "collector/jprobe/v1/collector_pb2.py",
)


class BuiltHook(BuildHookInterface[Any]):
    """Adds the files before each build of a wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Raises FileNotFoundError if a file has not been built."""
        if version == "editable":
            return
        for file in (*_BUILT, *_GENERATED):
            if not (Path(self.root) / file).is_file():
                raise FileNotFoundError(
                    f"a part of the wheel is missing: there is no {file}; run make build first"
                )
        build_data["force_include"].update(_BUILT)
