"""jcollect attach: traces processes and serves their events."""

from __future__ import annotations

import os
import sys
import threading
import time
from dataclasses import dataclass

import click

from jcollect.attach.links import AUTO, PERF_EVENT, UPROBE_MULTI
from jcollect.commands.end import End
from jcollect.commands.following import Following
from jcollect.commands.options import (
    check_no_loss,
    duration_option,
    fail_on_loss_option,
    max_events_option,
    probe_option,
    select_option,
    status,
)
from jcollect.commands.targets import Asked, Targets
from jcollect.discovery.globs import matcher
from jcollect.discovery.process import check_can_attach, check_exists
from jcollect.errors import JcollectError
from jcollect.rpc.address import Address, collector_address, parse_address
from jcollect.rpc.server import Server, check_can_listen
from jcollect.stream.accounts import Totals
from jcollect.stream.hub import Subscription
from jcollect.stream.printer import Printer, drain
from jcollect.stream.session import OPEN_CAPACITY, RING_PAGES, Session, ids_for

# Of counters these are four rows of 16 MiB (attach/handlers.py).
_MOST_PROBES = 1 << 20


@click.command()
@click.argument("pids", nargs=-1, type=click.IntRange(min=1), metavar="[PID...]")
@click.option(
    "--name",
    "names",
    multiple=True,
    metavar="GLOB",
    help="All JVMs whose main class matches, those that start later included; as jcollect ps shows it. "
    "Repeatable.",
)
@click.option("--all", "every", is_flag=True, help="Every process that has probes, or comes to have some.")
@click.option(
    "--listen",
    metavar="ADDRESS",
    help="Serve gRPC here: unix:///path/of.sock or host:port. Default: unix:///run/jprobe/PID.sock for one "
    "PID, else unix:///run/jprobe/collector.sock",
)
@click.option("--insecure", is_flag=True, help="Allow --listen on an address that other machines can reach.")
@select_option
@click.option("-o", "--output", type=click.Choice(["json", "compact"]), help="Print each event as well.")
@probe_option
@click.option("--wait", is_flag=True, help="Where there is nothing to attach to yet, wait for it.")
@duration_option
@max_events_option
@fail_on_loss_option
@click.option(
    "--max-probes",
    type=click.IntRange(min=1, max=_MOST_PROBES),
    metavar="N",
    help="Have room for so many probes, those that come later included. Default: twice what there is, at "
    "least 16,384; with --name or --all 131,072.",
)
@click.option("--link", "way", type=click.Choice([AUTO, UPROBE_MULTI, PERF_EVENT]), default=AUTO, hidden=True)
@click.option("--ring-pages", type=click.IntRange(min=1), default=RING_PAGES, hidden=True)
@click.option("--arm-timeout", type=click.FloatRange(min=0), default=5.0, hidden=True)
def attach(
    pids: tuple[int, ...],
    names: tuple[str, ...],
    every: bool,
    listen: str | None,
    insecure: bool,
    selectors: tuple[str, ...],
    output: str | None,
    globs: tuple[str, ...],
    wait: bool,
    duration: float | None,
    max_events: int | None,
    fail_on_loss: bool,
    max_probes: int | None,
    way: str,
    ring_pages: int,
    arm_timeout: float,
) -> None:
    """Attach to the probes of processes and serve their events over gRPC: of the PIDs given, of all JVMs of a
    --name, or of --all.

    Probes that appear later are attached to as they come, and so are processes that match. Ends with Ctrl-C,
    or when all PIDs given have exited; a JVM's methods are then as they were.

    With --select the probes need not be there: the agent is loaded into JVMs that have none, gives probes
    to what is selected, and goes when jcollect goes.
    """
    if not pids and not names and not every:
        raise click.UsageError("attach takes PIDs, --name GLOB or --all; jcollect ps lists what there is")
    if ring_pages & ring_pages - 1:
        raise JcollectError(f"--ring-pages must be a power of two, and {ring_pages} is not")
    asked = Asked(tuple(dict.fromkeys(pids)), names, every, globs, selectors, wait)
    address = parse_address(listen) if listen else collector_address(asked.pids, asked.is_open)
    for pid in asked.pids:
        check_exists(pid)
    check_can_attach(asked.pids)
    # Before the agent is loaded, and a second goes into compiling the handlers.
    check_can_listen(address, insecure)
    end = End()
    targets = Targets(asked)
    candidates = targets.first()
    try:
        capacity = (
            OPEN_CAPACITY if asked.is_open else ids_for([c.process for c in candidates], matcher(globs))
        )
        session = Session(end.now, max_events, ring_pages, way, max_probes or capacity)
        serving = Serving(address, insecure, output, duration, arm_timeout, fail_on_loss)
        try:
            following = Following(session, targets, candidates, end, arm_timeout)
            _serve(session, following, serving, end)
        finally:
            session.close()
    finally:
        for candidate in candidates:
            candidate.close()


@dataclass(frozen=True)
class Serving:
    """How to serve: options."""

    address: Address
    insecure: bool
    output: str | None
    duration: float | None
    arm_timeout: float
    fail_on_loss: bool


def _serve(session: Session, following: Following, serving: Serving, end: End) -> None:
    """From attaching to closed books."""
    server = Server(session, serving.address, serving.insecure)
    try:
        output = serving.output
        printing = _Printing(session.hub.subscribe((), peer="stdout"), output, end) if output else None
        session.start()
        begun = time.monotonic()
        try:
            following.run(server.address.text, serving.duration)
        finally:
            totals = session.detach()
            if printing is not None:
                printing.join()
            server.stop()
        _report_books(session, totals, begun, following.last_exited)
        if serving.fail_on_loss:
            check_no_loss(totals.lost + totals.missing + session.hub.lost())
    finally:
        server.stop()


class _Printing:
    """A subscriber like any other, which prints on stdout."""

    def __init__(self, subscription: Subscription, output: str, end: End) -> None:
        self._subscription = subscription
        self._printer = Printer(output, sys.stdout.buffer)
        self._end = end
        self._error: OSError | None = None
        self._thread = threading.Thread(target=self._run, name="printer", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            drain(self._printer, self._subscription.messages())
        except OSError as error:
            self._error = error
            self._subscription.close()
            self._end.now()

    def join(self) -> None:
        """Until everything is printed. Who closed the pipe has seen enough: that is no error."""
        self._thread.join()
        if isinstance(self._error, BrokenPipeError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        elif self._error is not None:
            raise JcollectError(f"cannot write events to stdout: {self._error.strerror}")


def _report_books(session: Session, totals: Totals, begun: float, exited: str) -> None:
    filtered = f" + {totals.filtered:,} filtered" if totals.filtered else ""
    missing = f"; {totals.missing:,} hits are unaccounted for" if totals.missing else ""
    status(
        f"{exited}detached after {time.monotonic() - begun:.1f} s: {totals.hits:,} hits = "
        f"{totals.delivered:,} delivered{filtered} + {totals.lost:,} lost "
        f"(kernel ring {totals.lost_in_ring:,}, collector {totals.lost_in_collector:,}); "
        f"subscribers: {session.hub.served:,} served, {session.hub.lost():,} events lost{missing}"
    )
