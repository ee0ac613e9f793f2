"""jcollect replay: prints a recording, or serves it as a collector would."""

from __future__ import annotations

import click

from jcollect.cli.argument_types import Format
from jcollect.cli.options import (
    check_json_strings,
    check_no_loss,
    fail_on_loss_option,
    json_strings_option,
    max_events_option,
    probe_option,
)
from jcollect.cli.recording_options import Speed, files_argument
from jcollect.errors import InvalidCommandError


@click.command()
@files_argument
@click.option("-o", "--output", type=Format(), help="Format of the events. Default: compact.")
@json_strings_option
@probe_option
@click.option(
    "--speed",
    type=Speed(),
    metavar="N|max",
    help="Replay N times as fast as the events were recorded, or as fast as possible. Default: max; with "
    "--listen 1.",
)
@max_events_option
@fail_on_loss_option
@click.option(
    "--listen",
    metavar="ADDRESS",
    help="Serve the recording at ADDRESS instead, as jcollect attach serves events: unix:///path/of.sock, or "
    "host:port with --insecure.",
)
@click.option("--insecure", is_flag=True, help="Allow host:port for --listen, as in jcollect attach.")
def replay(
    files: tuple[str, ...],
    output: str | None,
    json_strings: bool,
    globs: tuple[str, ...],
    speed: float | str | None,
    max_events: int | None,
    fail_on_loss: bool,
    listen: str | None,
    insecure: bool,
) -> None:
    """Print the events of recordings, or serve them.

    FILE is a recording of jcollect record. Several are replayed one after the other: the files of a rotation,
    in their order.
    """
    check_json_strings(json_strings, output)
    factor = speed if isinstance(speed, float) else None
    if listen is None:
        if insecure:
            raise click.UsageError("--insecure needs --listen")
        from jcollect.cli.replay_output import print_recording

        lost = print_recording(files, output or "compact", json_strings, globs, factor, max_events)
        if fail_on_loss:
            check_no_loss(lost)
        return
    if output or globs or max_events is not None or fail_on_loss:
        raise InvalidCommandError(
            "-o, --probe, --max-events and --fail-on-loss are for printing; with --listen, give them "
            "to the client"
        )
    from jcollect.cli.replay_output import serve_recording

    serve_recording(files, 1.0 if speed is None else factor, listen, insecure)
