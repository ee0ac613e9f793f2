"""jcollect attach: traces a process and serves its events."""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
import time
from types import FrameType

import click

from jcollect.attach.links import AUTO, PERF_EVENT, UPROBE_MULTI
from jcollect.commands.options import (
    duration_option,
    max_events_option,
    pid_argument,
    plural,
    probe_option,
    status,
    warn,
)
from jcollect.discovery.probes import STATE_NAMES, Probe
from jcollect.discovery.process import check_can_attach, check_exists, find_process
from jcollect.errors import JcollectError
from jcollect.rpc.address import default_address, parse_address
from jcollect.rpc.server import Server, check_can_listen
from jcollect.stream.accounts import Totals
from jcollect.stream.hub import Subscription
from jcollect.stream.printer import Printer, drain
from jcollect.stream.session import RING_PAGES, Session
from jprobe.v1 import probe_pb2

_NAMED = 3  # How many probes a warning names.


@click.command()
@pid_argument
@click.option(
    "--listen",
    metavar="ADDRESS",
    help="Serve gRPC here: unix:///path/of.sock or host:port. Default: unix:///run/jprobe/PID.sock",
)
@click.option("--insecure", is_flag=True, help="Allow --listen on an address that other machines can reach.")
@click.option("-o", "--output", type=click.Choice(["json", "compact"]), help="Print each event as well.")
@probe_option
@duration_option
@max_events_option
@click.option("--link", "way", type=click.Choice([AUTO, UPROBE_MULTI, PERF_EVENT]), default=AUTO, hidden=True)
@click.option("--ring-pages", type=click.IntRange(min=1), default=RING_PAGES, hidden=True)
@click.option("--arm-timeout", type=click.FloatRange(min=0), default=5.0, hidden=True)
def attach(
    pid: int,
    listen: str | None,
    insecure: bool,
    output: str | None,
    globs: tuple[str, ...],
    duration: float | None,
    max_events: int | None,
    way: str,
    ring_pages: int,
    arm_timeout: float,
) -> None:
    """Attach to the probes of the JVM PID and serve their events over gRPC.

    Ends with Ctrl-C, or when the JVM exits; its methods are then as they were.
    """
    if ring_pages & ring_pages - 1:
        raise JcollectError(f"--ring-pages must be a power of two, and {ring_pages} is not")
    address = parse_address(listen) if listen else default_address(pid)
    check_exists(pid)
    check_can_attach(pid)
    probes = find_process(pid, warn).probes(globs)
    # Before a second goes into compiling the handlers.
    check_can_listen(address, insecure)
    end = _End(pid)
    session = Session(pid, probes, end.now, max_events, ring_pages, way)
    try:
        server = Server(session, address, insecure)
        try:
            printing = _Printing(session.hub.subscribe(()), output, end) if output else None
            session.start()
            begun = time.monotonic()
            try:
                session.attach()
                _report_armed(session, server, begun, arm_timeout, end)
                end.wait(duration)
            finally:
                totals = session.detach()
                if printing is not None:
                    printing.join()
                server.stop()
            _report_books(session, totals, begun, end)
        finally:
            server.stop()
    finally:
        session.close()


class _End:
    """Everything that ends an attachment: signals, the process's exit, a limit reached."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._event = threading.Event()
        try:
            self._process = os.pidfd_open(pid)
        except ProcessLookupError:
            raise JcollectError(f"PID {pid} has exited") from None
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._signalled)

    def _signalled(self, number: int, frame: FrameType | None) -> None:
        self._event.set()
        # A second Ctrl-C does not wait for a reader of our output that is stuck.
        signal.signal(signal.SIGINT, signal.default_int_handler)

    def now(self) -> None:
        self._event.set()

    def going_on(self) -> bool:
        return not self._event.is_set() and not self.exited

    @property
    def exited(self) -> bool:
        """Whether the process is gone."""
        return bool(select.select([self._process], [], [], 0)[0])

    def wait(self, seconds: float | None) -> None:
        """Until something ends it, `seconds` at most."""
        deadline = None if seconds is None else time.monotonic() + seconds
        while self.going_on():
            left = 0.05 if deadline is None else min(0.05, deadline - time.monotonic())
            if left <= 0 or self._event.wait(left):
                return


class _Printing:
    """A subscriber like any other, which prints on stdout."""

    def __init__(self, subscription: Subscription, output: str, end: _End) -> None:
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


def _report_armed(session: Session, server: Server, begun: float, timeout: float, end: _End) -> None:
    try:
        by_state = session.wait_until_settled(timeout, end.going_on)
    except OSError:
        return  # The process has exited; that is told at the end.
    took = time.monotonic() - begun
    armed = by_state.pop(probe_pb2.PROBE_STATE_ARMED, [])
    for state, probes in sorted(by_state.items()):
        _warn_not_armed(state, probes, timeout)
    methods = len({probe.method_key for probe in armed})
    status(
        f"armed {plural(len(armed), 'probe')} of {plural(methods, 'method')} in {took * 1000:.0f} ms; "
        f"serving {server.address.text}"
    )


def _warn_not_armed(state: int, probes: list[Probe], timeout: float) -> None:
    names = [f"{probe.provider}:{probe.name}" for probe in probes]
    if len(names) > _NAMED:
        names = [*names[:_NAMED], f"and {len(names) - _NAMED:,} more"]
    if state == probe_pb2.PROBE_STATE_FAILED:
        reason = "cannot be woven (the JVM's log says why)"
    elif state == probe_pb2.PROBE_STATE_RETIRED:
        reason = "belong to classes that are gone"
    else:
        reason = f"not armed after {timeout:g} s ({STATE_NAMES[state]}), and counted from when they are"
    warn(f"{plural(len(probes), 'probe')} {reason}: {', '.join(names)}")


def _report_books(session: Session, totals: Totals, begun: float, end: _End) -> None:
    exited = f"PID {session.pid} has exited; " if end.exited else ""
    filtered = f" + {totals.filtered:,} filtered" if totals.filtered else ""
    missing = f"; {totals.missing:,} hits are unaccounted for" if totals.missing else ""
    status(
        f"{exited}detached after {time.monotonic() - begun:.1f} s: {totals.hits:,} hits = "
        f"{totals.delivered:,} delivered{filtered} + {totals.lost:,} lost "
        f"(kernel ring {totals.lost_in_ring:,}, collector {totals.lost_in_collector:,}); "
        f"subscribers: {session.hub.served:,} served, {session.hub.lost():,} events lost{missing}"
    )
