"""Writes sums of captured stacks: folded stacks, pprof, speedscope's JSON, and a page with a flame graph."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from typing import Any, BinaryIO

from jcollect import __version__
from jcollect.convert.flame_page import write_page
from jcollect.convert.pprof import Profile
from jcollect.convert.stack_sums import StackSums, Sum
from jcollect.convert.stacks import frame_name

TIME, COUNT = "time", "count"
_SCHEMA = "https://www.speedscope.app/file-format-schema.json"

Write = Callable[[StackSums, str, str, BinaryIO], None]


def _weight(found: Sum, weight: str) -> int:
    return found.nanos if weight == TIME else found.calls


def write_folded(sums: StackSums, title: str, weight: str, out: BinaryIO) -> None:
    """Writes a line per stack, with its time in us or its calls."""
    for stack, found in sorted(sums.sums.items()):
        number = round(found.nanos / 1000) if weight == TIME else found.calls
        if number:
            out.write(f"{';'.join(map(frame_name, stack))} {number}\n".encode(errors="replace"))


def write_pprof(sums: StackSums, title: str, weight: str, out: BinaryIO) -> None:
    """Writes a profile with calls and time; pprof shows the last type if it is not told another."""
    types = {COUNT: ("calls", "count"), TIME: ("time", "nanoseconds")}
    order = (COUNT, TIME) if weight == TIME else (TIME, COUNT)
    profile = Profile([types[each] for each in order], sums.first, max(sums.last - sums.first, 0))
    for stack, found in sums.sums.items():
        profile.add(stack[::-1], [_weight(found, each) for each in order])
    with gzip.GzipFile(fileobj=out, mode="wb", mtime=0) as compressed:
        compressed.write(profile.encode())


def write_speedscope(sums: StackSums, title: str, weight: str, out: BinaryIO) -> None:
    """Writes both weights as profiles, the wanted one first."""
    frames: dict[str, int] = {}
    stacks = [
        ([frames.setdefault(name, len(frames)) for name in stack], found)
        for stack, found in sums.sums.items()
    ]
    profiles: list[dict[str, Any]] = []
    for each in sorted((TIME, COUNT), key=lambda each: each != weight):
        weights = [_weight(found, each) for _, found in stacks]
        profiles.append(
            {
                "type": "sampled",
                "name": f"{title} ({each})",
                "unit": "nanoseconds" if each == TIME else "none",
                "startValue": 0,
                "endValue": sum(weights),
                "samples": [stack for stack, _ in stacks],
                "weights": weights,
            }
        )
    content = {
        "$schema": _SCHEMA,
        "name": title,
        "exporter": f"jcollect {__version__}",
        "activeProfileIndex": 0,
        "shared": {"frames": [{"name": name} for name in frames]},
        "profiles": profiles,
    }
    out.write(json.dumps(content).encode())


def write_html(sums: StackSums, title: str, weight: str, out: BinaryIO) -> None:
    """Writes a page that needs nothing else."""
    write_page(sums.sums, title, weight == TIME, out)


WRITERS: dict[str, Write] = {
    ".html": write_html,
    ".folded": write_folded,
    ".pb.gz": write_pprof,
    ".speedscope.json": write_speedscope,
}
