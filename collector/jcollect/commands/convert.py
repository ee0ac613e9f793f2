"""jcollect convert: writes recordings in the formats of other tools."""

from __future__ import annotations

import os

import click

from jcollect.cli.options import probe_option
from jcollect.cli.recording_options import files_argument
from jcollect.errors import InvalidCommandError

# The suffixes of outputs; a name that ends with a slash, or a directory, is a CTF trace.
FORMATS = (".jsonl", ".parquet", ".arrow", ".pftrace", ".folded", ".pb.gz")


@click.command()
@files_argument
@click.argument("out", metavar="OUT")
@click.option("--force", is_flag=True, help="Replace OUT if it is a file.")
@probe_option
@click.option("--json-strings", is_flag=True, help="In .jsonl, write 64-bit numbers as strings.")
def convert(
    files: tuple[str, ...], out: str, force: bool, globs: tuple[str, ...], json_strings: bool
) -> None:
    """Convert recordings to OUT, whose suffix determines the format.

    .jsonl: JSON lines. .parquet, .arrow: tables. .pftrace: a trace for ui.perfetto.dev. .folded: stacks for
    flame graphs. .pb.gz: a profile for pprof. A path that ends with /: a directory with a CTF trace.
    """
    suffix = suffix_of(out)
    if json_strings and suffix != ".jsonl":
        raise InvalidCommandError("--json-strings changes JSON, and none is written; give an OUT with .jsonl")
    from jcollect.cli.conversion import convert_recording

    convert_recording(files, out, suffix, globs, force, json_strings)


def suffix_of(out: str) -> str:
    """Returns the format of an output; "/" for a directory. Raises InvalidCommandError."""
    if out.endswith("/"):
        return "/"
    for suffix in FORMATS:
        if os.path.basename(out).endswith(suffix):
            return suffix
    raise InvalidCommandError(
        f"cannot convert to '{out}': its suffix names no format; use {', '.join(FORMATS)}, or end the path "
        "with / for a CTF trace"
    )
