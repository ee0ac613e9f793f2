"""The rights of a client."""

from __future__ import annotations

from dataclasses import dataclass

# Lists, status, histograms, and events without captured values.
VIEW = "view"
# Captured values too.
VALUES = "values"
# Changing what is traced: selecting, unselecting, and settings of gates.
COMMAND = "command"

NOTHING = frozenset[str]()
READING = frozenset((VIEW, VALUES))
EVERYTHING = READING | {COMMAND}


@dataclass(frozen=True)
class Caller:
    """The client that a call comes from. `name` is for messages and the audit log."""

    name: str
    rights: frozenset[str]

    def has(self, right: str) -> bool:
        return right in self.rights
