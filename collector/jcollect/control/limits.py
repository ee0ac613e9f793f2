"""The limits that a client of an agent asks for: methods with probes, and the length of captured strings.

Imports nothing that is slow to import.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jprobe.v1 import control_pb2

# The agent checks the same bounds (LimitSettings.java).
MOST_METHODS = 1_000_000
MOST_BYTES = 1_024


@dataclass(frozen=True)
class Limits:
    """None stands for one that is not asked for."""

    max_methods: int | None = None
    string_limit: int | None = None

    def __bool__(self) -> bool:
        return self.max_methods is not None or self.string_limit is not None

    def __str__(self) -> str:
        """The form that the agent takes."""
        parts = (("max-methods", self.max_methods), ("string-limit", self.string_limit))
        return ",".join(f"{name}={value}" for name, value in parts if value is not None)

    def remark(self, limits: control_pb2.Limits) -> str:
        """Returns why larger limits hold than these; empty if these hold."""
        parts = []
        if self.max_methods is not None and limits.max_methods != self.max_methods:
            parts.append(f"max-methods is {limits.max_methods:,}")
        if self.string_limit is not None and limits.string_limit != self.string_limit:
            parts.append(f"string-limit is {limits.string_limit:,} bytes")
        if not parts:
            return ""
        return (
            f"{' and '.join(parts)}: the largest value that the agent or a client asks for "
            "holds, and methods that have probes keep them"
        )


def limits_text(limits: control_pb2.Limits) -> str:
    """Returns the limits in force, and the agent's own where a client has raised them."""
    methods = f"max-methods {limits.max_methods:,}"
    if limits.max_methods != limits.agents_max_methods:
        methods += f" (the agent's own: {limits.agents_max_methods:,})"
    strings = f"string-limit {limits.string_limit:,} bytes"
    if limits.string_limit != limits.agents_string_limit:
        strings += f" (the agent's own: {limits.agents_string_limit:,})"
    return f"{methods}, {strings}"
