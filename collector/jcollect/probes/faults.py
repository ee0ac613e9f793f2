"""What is wrong with single probes of a stub library, so that they are skipped and the others are not."""

from __future__ import annotations

from jcollect.limits import MAX_SHOWN_NAME, MAX_WARNINGS
from jcollect.printable import printable


class Faults:
    """Counts all and keeps the first: a library may have as many as it has probes."""

    def __init__(self) -> None:
        self.count = 0
        # The probe's name, and why it is skipped, as a clause.
        self.told: list[tuple[str, str]] = []

    def add(self, probe: str, reason: str) -> None:
        self.count += 1
        if len(self.told) < MAX_WARNINGS:
            self.told.append((_shown(probe), reason))


def _shown(name: str) -> str:
    cut = name if len(name) <= MAX_SHOWN_NAME else f"{name[:MAX_SHOWN_NAME]}…"
    return printable(cut)
