"""Runs `jcollect convert`: chooses the writer, and reports what was written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import BinaryIO

from jcollect.console import plural, status, warn
from jcollect.convert.backwards import Backwards
from jcollect.convert.new_file import check_is_new, new_file
from jcollect.convert.source import Source
from jcollect.hub.items import Loss
from jcollect.sinks.terminal import lost_text, stage_name

_Write = Callable[[BinaryIO], int]


def convert_recording(
    paths: Sequence[str], out: str, suffix: str, globs: Sequence[str], force: bool, json_strings: bool
) -> None:
    """Writes OUT as a whole, or not at all. Raises JcollectError."""
    if suffix == "/":
        from jcollect.convert.ctf import write_ctf

        source = Source(paths, globs)
        _report(write_ctf(source, out), "event", out, source.warnings, source.lost)
        return
    check_is_new(out, force)
    forwards, backwards, write = _writer(paths, suffix, globs, json_strings)
    with new_file(out, force) as file:
        written = write(file)
    what = "call" if suffix in (".folded", ".pb.gz") else "event"
    read = forwards or backwards
    assert read is not None
    _report(written, what, out, read.warnings, read.lost)


def _writer(
    paths: Sequence[str], suffix: str, globs: Sequence[str], json_strings: bool
) -> tuple[Source | None, Backwards | None, _Write]:
    """Returns what is read, and the function that writes it. Each imports what only it needs."""
    if suffix in (".jsonl", ".parquet", ".arrow"):
        source = Source(paths, globs)
        if suffix == ".jsonl":
            from jcollect.convert.lines import write_lines

            return source, None, lambda file: write_lines(source, file, json_strings)
        from jcollect.convert import tables

        write = tables.write_parquet if suffix == ".parquet" else tables.write_arrow
        return source, None, lambda file: write(source, file)
    if suffix == ".pftrace":
        from jcollect.convert.perfetto import PerfettoWriter, import_perfetto

        import_perfetto()
        backwards = Backwards(paths, globs)
        return None, backwards, lambda file: PerfettoWriter(backwards, file).write()
    from jcollect.convert import stacks

    backwards = Backwards(paths, globs)
    write_stacks = stacks.write_folded if suffix == ".folded" else stacks.write_pprof
    return None, backwards, lambda file: write_stacks(backwards, file)


def _report(written: int, what: str, out: str, warnings: Sequence[str], lost: dict[int, int]) -> None:
    for line in warnings:
        warn(line)
    named = {stage_name(Loss(stage, events, {})): events for stage, events in lost.items()}
    status(f"converted {plural(written, what)} to {out}; {lost_text(named)}")
