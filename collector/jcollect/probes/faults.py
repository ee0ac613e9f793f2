"""Records the faults of single probes of a stub library. Only faulty probes are skipped."""

from __future__ import annotations

from jcollect.limits import MAX_SHOWN_NAME, MAX_WARNINGS
from jcollect.printable import printable


class Faults:
    """Counts all faults and keeps the first few, because every probe of a library may be faulty."""

    def __init__(self) -> None:
        self.count = 0
        # Names of probes, each with the reason as a clause.
        self.first: list[tuple[str, str]] = []

    def add(self, probe: str, reason: str) -> None:
        self.count += 1
        if len(self.first) < MAX_WARNINGS:
            self.first.append((_shown(probe), reason))


def _shown(name: str) -> str:
    cut = name if len(name) <= MAX_SHOWN_NAME else f"{name[:MAX_SHOWN_NAME]}…"
    return printable(cut)
