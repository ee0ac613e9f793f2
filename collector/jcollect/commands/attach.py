"""jcollect attach: traces a process and serves its events."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import click

from jcollect.attach.links import AUTO, PERF_EVENT, UPROBE_MULTI
from jcollect.commands.control import took
from jcollect.commands.end import End
from jcollect.commands.following import Following
from jcollect.commands.options import (
    duration_option,
    max_events_option,
    pid_argument,
    plural,
    probe_option,
    select_option,
    status,
    warn,
)
from jcollect.control.lease import is_selected_by, leased_selection
from jcollect.discovery.globs import matcher
from jcollect.discovery.live import not_retired
from jcollect.discovery.probes import Wanted
from jcollect.discovery.process import (
    NothingYetError,
    TracedProcess,
    check_can_attach,
    check_exists,
    find_process,
    look,
)
from jcollect.errors import JcollectError
from jcollect.rpc.address import Address, default_address, parse_address
from jcollect.rpc.server import Server, check_can_listen
from jcollect.stream.accounts import Totals
from jcollect.stream.hub import Subscription
from jcollect.stream.printer import Printer, drain
from jcollect.stream.session import RING_PAGES, Session

# Of counters these are four rows of 16 MiB (attach/handlers.py).
_MOST_PROBES = 1 << 20


@click.command()
@pid_argument
@click.option(
    "--listen",
    metavar="ADDRESS",
    help="Serve gRPC here: unix:///path/of.sock or host:port. Default: unix:///run/jprobe/PID.sock",
)
@click.option("--insecure", is_flag=True, help="Allow --listen on an address that other machines can reach.")
@select_option
@click.option("-o", "--output", type=click.Choice(["json", "compact"]), help="Print each event as well.")
@probe_option
@click.option("--wait", is_flag=True, help="Where there is nothing to attach to yet, wait for it.")
@duration_option
@max_events_option
@click.option(
    "--max-probes",
    type=click.IntRange(min=1, max=_MOST_PROBES),
    metavar="N",
    help="Have room for so many probes, those that come later included. "
    "Default: twice what there is, at least 16,384.",
)
@click.option("--link", "way", type=click.Choice([AUTO, UPROBE_MULTI, PERF_EVENT]), default=AUTO, hidden=True)
@click.option("--ring-pages", type=click.IntRange(min=1), default=RING_PAGES, hidden=True)
@click.option("--arm-timeout", type=click.FloatRange(min=0), default=5.0, hidden=True)
def attach(
    pid: int,
    listen: str | None,
    insecure: bool,
    selectors: tuple[str, ...],
    output: str | None,
    globs: tuple[str, ...],
    wait: bool,
    duration: float | None,
    max_events: int | None,
    max_probes: int | None,
    way: str,
    ring_pages: int,
    arm_timeout: float,
) -> None:
    """Attach to the probes of the process PID and serve their events over gRPC.

    Probes that appear later are attached to as they come. Ends with Ctrl-C, or when the process exits; a
    JVM's methods are then as they were.

    With --select the probes need not be there: the agent is loaded into the JVM if it has none, gives probes
    to what is selected, and goes when jcollect goes.
    """
    if ring_pages & ring_pages - 1:
        raise JcollectError(f"--ring-pages must be a power of two, and {ring_pages} is not")
    address = parse_address(listen) if listen else default_address(pid)
    command = check_exists(pid)
    check_can_attach(pid)
    # Before the agent is loaded, and a second goes into compiling the handlers.
    check_can_listen(address, insecure)
    end = End(pid)
    with _selection(pid, selectors) as is_selected:
        is_meant = matcher(globs)
        wanted = lambda probe: is_meant(probe) and is_selected(probe)  # noqa: E731
        process = _find(pid, globs, wait or bool(selectors))
        session = Session(process, wanted, end.now, max_events, ring_pages, way, max_probes)
        waiting = _what_for(f"PID {pid} ({command})", globs, selectors)
        try:
            _serve(session, Serving(address, insecure, output, duration, arm_timeout, waiting), end)
        finally:
            session.close()


def _serve(session: Session, serving: Serving, end: End) -> None:
    """From attaching to closed books."""
    server = Server(session, serving.address, serving.insecure)
    try:
        output = serving.output
        printing = _Printing(session.hub.subscribe(()), output, end) if output else None
        session.start()
        begun = time.monotonic()
        try:
            following = Following(session, end, server.address.text, serving.waiting, serving.arm_timeout)
            following.run(serving.duration)
        finally:
            totals = session.detach()
            if printing is not None:
                printing.join()
            server.stop()
        _report_books(session, totals, begun, end)
    finally:
        server.stop()


@contextlib.contextmanager
def _selection(pid: int, selectors: Sequence[str]) -> Iterator[Wanted]:
    """Which probes are meant, as far as it depends on what --select says; it holds until the end."""
    if not selectors:
        yield lambda probe: True
        return
    with leased_selection(pid, selectors) as reply:
        if reply.refusal:
            raise JcollectError(f"PID {pid} traces nothing: {reply.refusal}")
        failed = f"; {len(reply.failed):,} that match cannot be traced" if reply.failed else ""
        status(f"selected {plural(len(reply.methods), 'method')} in {took(reply)}{failed}")
        yield is_selected_by(reply)


def _find(pid: int, globs: Sequence[str], wait: bool) -> TracedProcess:
    """The process, with something to attach to unless we are to wait for it."""
    if wait:
        return look(pid, warn)
    try:
        process = find_process(pid, warn)
        probes = process.probes(globs)
        if not not_retired(probes):
            raise NothingYetError(
                f"PID {pid} has such probes no more: their classes are gone, or they are selected no longer"
            )
        return process
    except NothingYetError as error:
        raise JcollectError(f"{error.message}; add --wait to wait for probes") from None


def _what_for(process: str, globs: Sequence[str], selectors: Sequence[str]) -> str:
    asked = [
        " or ".join(f"--{option} '{each}'" for each in given)
        for option, given in (("probe", globs), ("select", selectors))
        if given
    ]
    return f"probes of {process}" + (f" that match {' and '.join(asked)}" if asked else "")


@dataclass(frozen=True)
class Serving:
    """How to serve: options, and `waiting`, which says what for where there is nothing to begin with."""

    address: Address
    insecure: bool
    output: str | None
    duration: float | None
    arm_timeout: float
    waiting: str


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


def _report_books(session: Session, totals: Totals, begun: float, end: End) -> None:
    exited = f"PID {session.pid} has exited; " if end.exited else ""
    filtered = f" + {totals.filtered:,} filtered" if totals.filtered else ""
    missing = f"; {totals.missing:,} hits are unaccounted for" if totals.missing else ""
    status(
        f"{exited}detached after {time.monotonic() - begun:.1f} s: {totals.hits:,} hits = "
        f"{totals.delivered:,} delivered{filtered} + {totals.lost:,} lost "
        f"(kernel ring {totals.lost_in_ring:,}, collector {totals.lost_in_collector:,}); "
        f"subscribers: {session.hub.served:,} served, {session.hub.lost():,} events lost{missing}"
    )
