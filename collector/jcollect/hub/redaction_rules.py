"""The rules of redaction, as plain values. Imports nothing that is slow to import."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class RedactionRules:
    """`patterns` are regular expressions of RE2: what they match is replaced. `types` are globs of Java
    types, whose values are replaced as a whole. `secrets` adds what looks like one."""

    patterns: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    secrets: bool = False

    def __bool__(self) -> bool:
        return bool(self.patterns or self.types or self.secrets)
