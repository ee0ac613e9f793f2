"""jcollect flame: makes a flame graph of the stacks of traced calls."""

from __future__ import annotations

import os
from dataclasses import replace

import click

from jcollect.cli.access_options import client_access_options
from jcollect.cli.attach_options import Flame
from jcollect.cli.options import (
    address_argument,
    duration_option,
    fail_on_loss_option,
    max_overhead_option,
    probe_option,
    select_option,
)
from jcollect.cli.own_collector import run_own_collector
from jcollect.cli.privileges import narrow_to_client
from jcollect.cli.tracing_options import own_lane_option
from jcollect.errors import InvalidCommandError, JcollectError
from jcollect.hub.stream_options import StreamOptions
from jcollect.rpc.address import is_number
from jcollect.rpc.client_access import ClientAccess
from jcollect.rpc.find import collector_of, find_collector
from jcollect.stop_request import StopRequest

FORMATS = (".html", ".folded", ".pb.gz", ".speedscope.json")
# Entry events have no duration, and their calls end with another event.
_ENDS = ("*__return", "*__throw")


@click.command()
@address_argument
@client_access_options
@select_option
@click.option(
    "-o",
    "--output",
    "path",
    type=click.Path(dir_okay=False),
    default="flame.html",
    show_default=True,
    metavar="FILE",
    help="Write to FILE. Its suffix is the format: .html (a page with the flame graph), .folded, .pb.gz "
    "(pprof) or .speedscope.json.",
)
@click.option("--force", is_flag=True, help="Replace FILE if it is a file.")
@click.option(
    "--weight",
    type=click.Choice(["time", "count"]),
    default="time",
    show_default=True,
    help="Width of a frame: the time that its calls took, or their number.",
)
@click.option("--lines", is_flag=True, help="Distinguish the lines of a method.")
@duration_option
@max_overhead_option
@own_lane_option
@probe_option
@fail_on_loss_option
def flame(
    address: str,
    access: ClientAccess,
    selectors: tuple[str, ...],
    path: str,
    force: bool,
    weight: str,
    lines: bool,
    duration: float | None,
    max_overhead: int | None,
    lane: str | None,
    globs: tuple[str, ...],
    fail_on_loss: bool,
) -> None:
    """Make a flame graph of the stacks of traced calls: who calls the methods, and how much time the calls
    take.

    ADDRESS|PID is a PID, the address of a collector, or the file of a recording. With --select, the command
    attaches to the PID itself, and captures the stack of each call that passes the selector. Without it, the
    probes must capture stacks: 'Class#method(stack)'. Ends with Ctrl-C or --duration, and then writes FILE.
    """
    from jcollect.convert.new_file import check_is_new

    output = Flame(path, suffix_of(path), weight, lines, force)
    check_is_new(path, force)
    if selectors:
        from jcollect.cli.selector_additions import with_stack

        run_own_collector(
            address,
            output,
            selectors=tuple(map(with_stack, selectors)),
            globs=globs or _ENDS,
            duration=duration,
            max_events=None,
            max_overhead=max_overhead,
            lane=lane,
            fail_on_loss=fail_on_loss,
        )
        return
    if lane is not None or max_overhead is not None:
        option = "--lane" if lane is not None else "--max-overhead"
        raise click.UsageError(f"{option} needs --select; without it, no collector is started")
    narrow_to_client()
    if not is_number(address) and os.path.isfile(address):
        from jcollect.cli.flame_output import flame_of_recording

        if duration is not None:
            raise click.UsageError("--duration is for programs that run; a recording is read to its end")
        flame_of_recording([address], output, globs)
        return
    stop = StopRequest()
    with stop.first_signal_interrupts():
        if is_number(address):
            found = collector_of(int(address), access)
            if found is None:
                raise JcollectError(
                    f"cannot make a flame graph of PID {address}: no collector is attached to it; give "
                    "--select 'Class#method'"
                )
            collector = replace(found, access=access)
        else:
            collector = find_collector(address, access)
    from jcollect.cli.flame_output import flame_of_collector

    flame_of_collector(collector, output, globs, duration, fail_on_loss, StreamOptions())


def suffix_of(path: str) -> str:
    """Returns the format of an output. Raises InvalidCommandError."""
    for suffix in FORMATS:
        if os.path.basename(path).endswith(suffix):
            return suffix
    raise InvalidCommandError(
        f"cannot write a flame graph to '{path}': its suffix names no format; use {', '.join(FORMATS)}"
    )
