"""jcollect record: writes events to a file, from which they can be replayed and converted."""

from __future__ import annotations

from dataclasses import replace

import click

from jcollect.cli.access_options import client_access_options
from jcollect.cli.attach_options import Recorded
from jcollect.cli.options import (
    address_argument,
    duration_option,
    fail_on_loss_option,
    max_events_option,
    max_overhead_option,
    probe_option,
    select_option,
)
from jcollect.cli.own_collector import run_own_collector
from jcollect.cli.privileges import narrow_to_client
from jcollect.cli.recording_options import check_can_create, recording_options
from jcollect.cli.redaction_options import redaction_options
from jcollect.cli.stream_options import check_begins_now, stream_options
from jcollect.cli.tracing_options import explain_option, mark_options, own_lane_option
from jcollect.errors import JcollectError
from jcollect.hub.redaction_rules import RedactionRules
from jcollect.hub.stream_options import StreamOptions
from jcollect.rpc.address import is_number
from jcollect.rpc.client_access import ClientAccess
from jcollect.rpc.find import CollectorAddress, collector_of, find_collector
from jcollect.stop_request import StopRequest


@click.command()
@address_argument
@client_access_options
@recording_options
@select_option
@max_overhead_option
@own_lane_option
@explain_option
@mark_options
@probe_option
@duration_option
@max_events_option
@fail_on_loss_option
@stream_options
@redaction_options
def record(
    address: str,
    access: ClientAccess,
    path: str,
    force: bool,
    rotate_size: int | None,
    rotate_every: float | None,
    keep: int | None,
    selectors: tuple[str, ...],
    max_overhead: int | None,
    lane: str | None,
    explain: frozenset[str],
    jvm: tuple[str, ...],
    usdt: tuple[str, ...],
    globs: tuple[str, ...],
    duration: float | None,
    max_events: int | None,
    fail_on_loss: bool,
    stream: StreamOptions,
    redaction: RedactionRules,
) -> None:
    """Record events to a file, for jcollect replay and jcollect convert.

    ADDRESS|PID is the address of a collector, or a PID. If a collector is attached to the PID, the command
    records what that streams. Otherwise, and with --select, it attaches to the PID itself.
    """
    if keep is not None and rotate_size is None and rotate_every is None:
        raise click.UsageError("--keep needs --rotate-size or --rotate-every")
    output = Recorded(path, rotate_size, rotate_every, keep, force)
    check_can_create(path, force, output.is_rotating)
    collector = None if selectors or jvm or usdt else _running(address, access)
    if collector is None:
        check_begins_now(stream)
        run_own_collector(
            address,
            output,
            selectors=selectors,
            globs=globs,
            duration=duration,
            max_events=max_events,
            max_overhead=max_overhead,
            lane=lane,
            fail_on_loss=fail_on_loss,
            stream=stream,
            redaction=redaction,
            explain=explain,
            jvm=jvm,
            usdt=usdt,
        )
        return
    if lane is not None or max_overhead is not None or redaction or explain:
        option = "--redact" if redaction else "--explain" if explain else "--max-overhead"
        option = option if lane is None else "--lane"
        raise click.UsageError(
            f"{option} is for a collector of this command's own, and one already runs at "
            f"{collector.address.text}; give that the option"
        )
    narrow_to_client()
    from jcollect.cli.record_stream import record_stream

    record_stream(collector, output, globs, duration, max_events, fail_on_loss, stream)


def _running(address: str, access: ClientAccess) -> CollectorAddress | None:
    """Returns the collector to record from; None if the command has to attach itself. Raises
    JcollectError."""
    stop = StopRequest()
    with stop.first_signal_interrupts():
        if not is_number(address):
            return find_collector(address, access)
        try:
            found = collector_of(int(address), access)
            return found and replace(found, access=access)
        except JcollectError as error:
            raise JcollectError(f"cannot record PID {address}: {error.message}") from None
