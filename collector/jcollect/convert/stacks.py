"""Recordings as stacks with their self time: folded stacks for flame graphs, and pprof profiles.

Events have no stacks. A stack here has the traced methods that were running, as their calls enclose each
other.
"""

from __future__ import annotations

import gzip
from typing import BinaryIO

from jcollect.console import warn
from jcollect.convert.backwards import Backwards, Lost
from jcollect.convert.calls import Nesting
from jcollect.convert.pprof import Profile
from jcollect.view.formats import location_text

# Distinct stacks. Beyond, calls count for their method alone.
MOST_STACKS = 1 << 20


class _Sum:
    """Calls of one stack, and the time in ns that they took without the calls that they made."""

    __slots__ = ("calls", "nanos")

    def __init__(self) -> None:
        self.calls = self.nanos = 0


class Stacks:
    """Sums up all calls of a recording by stack: names, the outermost first."""

    def __init__(self, source: Backwards) -> None:
        """Raises JcollectError."""
        self.sums: dict[tuple[str, ...], _Sum] = {}
        self.calls = 0
        self.first = self.last = 0
        self.left_out = 0
        for item in Nesting(source).batches():
            if isinstance(item, Lost):
                continue
            names = {number: frame_name(location_text(probe)) for number, probe in source.probes.items()}
            for call in item[1]:
                callers = tuple(names[each] for each in call.callers)
                own = self._sum((*callers, names[call.probe]))
                own.calls += 1
                own.nanos += call.end - call.start
                if callers:
                    self._sum(callers).nanos -= call.end - call.start
                self.calls += 1
                self.last = max(self.last, call.end)
                self.first = min(self.first or call.start, call.start)
        if self.left_out:
            warn(
                f"there are more than {MOST_STACKS:,} distinct stacks; {self.left_out:,} calls count for "
                "their method alone"
            )

    def _sum(self, stack: tuple[str, ...]) -> _Sum:
        found = self.sums.get(stack)
        if found is None:
            if len(self.sums) >= MOST_STACKS and len(stack) > 1:
                self.left_out += 1
                return self._sum(stack[-1:])
            found = self.sums[stack] = _Sum()
        return found


def frame_name(name: str) -> str:
    """Returns the name of a method as a frame: semicolons separate frames, a line ends one, and a terminal
    may print it."""
    return "".join("_" if each == ";" or not each.isprintable() else each for each in name)


def write_folded(source: Backwards, out: BinaryIO) -> int:
    """Writes a line per stack, with its self time in us, and returns the number of calls."""
    stacks = Stacks(source)
    for stack, found in sorted(stacks.sums.items()):
        micros = round(max(found.nanos, 0) / 1000)
        if micros:
            out.write(f"{';'.join(stack)} {micros}\n".encode(errors="replace"))
    return stacks.calls


def write_pprof(source: Backwards, out: BinaryIO) -> int:
    """Writes a profile with calls and self time, and returns the number of calls."""
    stacks = Stacks(source)
    profile = Profile(
        (("calls", "count"), ("time", "nanoseconds")), stacks.first, max(stacks.last - stacks.first, 0)
    )
    for stack, found in stacks.sums.items():
        profile.add(stack[::-1], (found.calls, max(found.nanos, 0)))
    with gzip.GzipFile(fileobj=out, mode="wb", mtime=0) as compressed:
        compressed.write(profile.encode())
    return stacks.calls
