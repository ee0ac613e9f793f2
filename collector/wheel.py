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
_GENERATED = ("bpf/include/jprobe/layout.h", "collector/jcollect/layout/__init__.py")

# What protoc writes for each file of proto/.
_MESSAGES = ("_pb2.py", "_pb2.pyi", "_pb2_grpc.py")

# In messages of protoc 26 or later, which reject versions of protobuf that pyproject.toml permits.
_VERSION_CHECK = b"ValidateProtobufRuntimeVersion"


class BuiltHook(BuildHookInterface[Any]):
    """Adds the files before each build of a wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Raises FileNotFoundError if a file has not been built, ValueError if a later protoc made it."""
        if version == "editable":
            return
        root = Path(self.root)
        protos = [file.relative_to(root / "proto") for file in sorted(root.glob("proto/**/*.proto"))]
        messages = [f"collector/{proto.with_suffix('')}{suffix}" for proto in protos for suffix in _MESSAGES]
        for file in (*_BUILT, *_GENERATED, *messages):
            if not (root / file).is_file():
                raise FileNotFoundError(
                    f"a part of the wheel is missing: there is no {file}; run make build first"
                )
        for file in messages:
            if _VERSION_CHECK in (root / file).read_bytes():
                raise ValueError(
                    f"{file} requires a newer protobuf than pyproject.toml declares; remove it, and "
                    "run make build with Python 3.11 or 3.12, for which the Makefile has protoc 25"
                )
        build_data["force_include"].update(_BUILT)
