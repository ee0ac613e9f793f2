"""Recordings as JSON lines: docs/event-format.md."""

from __future__ import annotations

from typing import BinaryIO

from jcollect.convert.source import Source
from jcollect.hub.items import Schema, Stacks
from jcollect.sources.columns import Batch
from jcollect.view.line_formats import line_format
from jcollect.view.lines import LineFormatter


def write_lines(source: Source, out: BinaryIO, json_strings: bool) -> int:
    """Writes a line per event, and returns their number. With `json_strings`, 64-bit numbers are strings."""
    formatter = LineFormatter(line_format("json", json_strings))
    written = 0
    for item in source.items():
        if isinstance(item, Schema):
            formatter.add(item.probes)
        elif isinstance(item, Stacks):
            formatter.add_stacks(item.stacks)
        elif isinstance(item, Batch):
            for lines in formatter.lines(item.columns):
                out.write("\n".join([*lines, ""]).encode())
                written += len(lines)
    return written
