"""Runs `jcollect attach`: claims the address, attaches, serves, and detaches."""

from __future__ import annotations

import os
import platform
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace

from jcollect.cli.attach_options import AttachOptions, Flame, Recorded
from jcollect.cli.attach_report import print_report
from jcollect.cli.counts_file import check_can_write, write_counts
from jcollect.cli.exporters import Exporters, check_can_export, claimed_metrics
from jcollect.cli.open_access import OpenAccess, open_access, server_tls
from jcollect.cli.options import check_no_loss
from jcollect.cli.output import Json
from jcollect.cli.printers import Printer, start_printer
from jcollect.cli.privileges import narrow_attach
from jcollect.cli.program import Program
from jcollect.cli.waiting import GRACE_SECONDS
from jcollect.cli.written_file import open_to_write
from jcollect.console import Stdout, plural, status, warn
from jcollect.control.agent import find_agent
from jcollect.control.jar import remove_stale_jars
from jcollect.errors import Interrupted, JcollectError, explain
from jcollect.hub.accounts import Totals
from jcollect.last_resort import last_resort, report_aborts
from jcollect.probes.globs import matcher
from jcollect.probes.permission import can_place_uprobes, check_can_attach
from jcollect.procfs.process import Process
from jcollect.rpc.address import Address, collector_address, parse_address
from jcollect.rpc.announcement import announced
from jcollect.rpc.limits import Turns
from jcollect.rpc.listening import Claim, claim, claim_default
from jcollect.rpc.messages import whole_status
from jcollect.rpc.run_directory import directory_to_serve_in, temporary_directory
from jcollect.rpc.server import Server, check_can_serve
from jcollect.rpc.socket_group import SocketGroup
from jcollect.session.attach_loop import AttachLoop
from jcollect.session.candidate import Candidate
from jcollect.session.hold import Hold
from jcollect.session.open_sources import check_can_open, lanes
from jcollect.session.options import KERNEL, LEASED, SessionSettings
from jcollect.session.session import OPEN_CAPACITY, Session, ids_for
from jcollect.session.targets import Targets
from jcollect.sources.bpf.compilation import Compilation
from jcollect.stop_request import StopRequest
from jcollect.workers import Failures

# Expected time of detaching beyond which a line announces it.
_LONG_SECONDS = 2.0
# Times after which native code counts as stuck: then only the exit of this process stops it.
_SERVE_SECONDS = 20.0
_DETACH_SECONDS = 60.0
_STOP_SECONDS = 10.0
# Maximum time to read the events that have already been fired.
_SETTLE_SECONDS = 1.0
# First version of Linux that links many uprobes at once.
_UPROBE_MULTI_SINCE = (6, 6)


def run_attach(options: AttachOptions, compilation: Compilation, program: Program | None = None) -> None:
    """Runs the command until it is stopped, or until `program` has exited, which waits for its probes.
    Detaches in any case. Raises JcollectError."""
    targets = options.targets
    with ExitStack() as stack:
        processes = [stack.enter_context(Process.open(pid)) for pid in targets.pids]
        is_leased = _is_leased(options, processes)
        _check_can_explain(options.settings, is_leased)
        if is_leased:
            compilation.close()
            options = replace(options, settings=replace(options.settings, lane=LEASED))
        else:
            check_can_attach(processes)
        # An address in use is reported before the agent is loaded.
        claimed = stack.enter_context(_claimed(options))
        access = open_access(options.access)
        stack.callback(access.audit.close)
        metrics = stack.enter_context(claimed_metrics(options.exports, options.insecure))
        _prepare(options, processes, claimed.address, metrics.address if metrics else None)
        if targets.selectors and options.settings.lane != LEASED:
            # Reports what is missing here before it touches the programs.
            check_can_open(compilation)
        _attach(options, processes, compilation, claimed, metrics, program, access)


def _is_leased(options: AttachOptions, processes: Sequence[Process]) -> bool:
    """Returns true if this process may place no uprobes, and does not have to: the programs are its user's
    own, and have agents, or get them. Raises JcollectError if one cannot be read."""
    settings, targets = options.settings, options.targets
    is_own = all(each.owner == os.geteuid() for each in processes)
    if settings.lane == KERNEL or can_place_uprobes() or not is_own:
        return False
    if targets.is_open:
        # It sees no programs of other users, and loads the agents, as `run` does.
        return bool(targets.selectors) and not targets.every
    try:
        return bool(targets.selectors) or all(find_agent(each) for each in processes)
    except JcollectError:
        # Root without capabilities, as in a container: those for uprobes are the ones to ask for.
        if os.geteuid() == 0:
            return False
        raise


def _check_can_explain(settings: SessionSettings, is_leased: bool) -> None:
    """Raises JcollectError if --explain cannot be obeyed: before anything is done."""
    if settings.explain and is_leased:
        raise JcollectError(
            "cannot explain calls: what the kernel does with threads is only for users with CAP_BPF and "
            "CAP_PERFMON; run with sudo, or without --explain"
        )
    if settings.explain and settings.only_counts:
        raise JcollectError(
            "cannot explain calls that are only counted: --explain is for events; leave out one of --explain "
            "and --no-events"
        )


@contextmanager
def _claimed(options: AttachOptions) -> Iterator[Claim]:
    """Claims the address to serve at: in a new directory if the user has no default one. Raises
    JcollectError."""
    group = SocketGroup.named(options.access.group) if options.access.group else None
    if options.listen is not None:
        address = parse_address(options.listen)
        with claim(
            address, options.insecure, server_tls(options.access, address, options.insecure), group
        ) as claimed:
            yield claimed
        return
    server_tls(options.access, None, options.insecure)
    with ExitStack() as stack:
        try:
            directory = directory_to_serve_in()
        except JcollectError as error:
            warn(error.message)
            directory = stack.enter_context(temporary_directory())
        address = collector_address(options.targets.pids, options.targets.is_open, directory)
        yield stack.enter_context(claim_default(address, group))


def _prepare(
    options: AttachOptions, processes: Sequence[Process], address: Address, metrics: Address | None
) -> None:
    """Gives up privileges, and checks the resources that the command will need. Raises JcollectError."""
    served = (address.path, metrics and metrics.path)
    recorded = options.output.path if isinstance(options.output, Recorded | Flame) else None
    written = (options.counts, options.events, options.access.audit, recorded)
    paths = [path for path in (*served, *written) if path]
    needs_admin = bool(options.targets.selectors) or _may_use_perf_events(options.settings)
    narrow_attach(needs_admin=needs_admin, paths=paths)
    if options.counts:
        check_can_write(options.counts)
    check_can_export(options.exports)
    report_aborts()
    check_can_serve()
    for process in processes:
        remove_stale_jars(process)


def _attach(
    options: AttachOptions,
    processes: Sequence[Process],
    compilation: Compilation,
    claimed: Claim,
    metrics: Claim | None,
    program: Program | None,
    access: OpenAccess,
) -> None:
    stop = StopRequest()
    hold = Hold(program.begin) if program else None
    if program is not None:
        program.on_exit(stop.request)
    failures = Failures(stop.request)
    failures.catch_library_failures()
    targets = Targets(options.targets, processes)
    candidates: list[Candidate] = []
    try:
        with stop.first_signal_interrupts():
            candidates += targets.first()
            settings = _with_capacity(options.settings, targets, candidates)
            session = Session(settings, stop.request, failures, lanes(settings, compilation))
        try:
            loop = AttachLoop(session, targets, candidates, stop, options.arm_timeout, hold)
            turns = Turns()
            with (
                _serving(session, claimed, access, turns) as server,
                announced(server.address),
                Exporters(session, options.exports, metrics, turns) as exporters,
            ):
                _run(session, loop, server, exporters, options, stop)
        finally:
            session.close()
    finally:
        if hold is not None:
            hold.close()
        targets.close(candidates)


def _with_capacity(
    settings: SessionSettings, targets: Targets, candidates: Sequence[Candidate]
) -> SessionSettings:
    """Returns settings with a number of probe IDs."""
    if settings.capacity is not None:
        return settings
    if targets.options.is_open:
        return replace(settings, capacity=OPEN_CAPACITY)
    capacity = ids_for([each.scan for each in candidates], matcher(targets.options.globs))
    return replace(settings, capacity=max(OPEN_CAPACITY, capacity) if targets.is_loading else capacity)


@contextmanager
def _serving(session: Session, claimed: Claim, access: OpenAccess, turns: Turns) -> Iterator[Server]:
    address = claimed.address.text
    hangs = f"cannot serve at {address}: gRPC did not start within {_SERVE_SECONDS:.0f} s"
    with last_resort(_SERVE_SECONDS, hangs):
        server = Server(session, claimed, access.rules, access.audit, turns)
    try:
        yield server
    finally:
        stuck = f"the server at {address} does not stop; jcollect exits without stopping it"
        with last_resort(_STOP_SECONDS, stuck):
            server.stop()


def _run(
    session: Session,
    loop: AttachLoop,
    server: Server,
    exporters: Exporters,
    options: AttachOptions,
    stop: StopRequest,
) -> None:
    out = _events_out(options.events)
    source = ", ".join(map(str, options.targets.pids))
    printer = start_printer(options.output, options.json_strings, session, stop, out, source, options.stream)
    session.start()
    begun = time.monotonic()
    failed: JcollectError | None = None
    try:
        on_report = printer.begin if printer else lambda: None
        loop.run(server.address.text, options.duration, server.disconnect_stalled, on_report)
    except JcollectError as error:
        failed = error
    except Interrupted:
        pass
    except Exception as error:
        session.failures.add(error, "trace the processes")
    detachment = _Detachment(session, printer, server, exporters)
    stuck = f"cannot detach within {detachment.most_seconds:.0f} s; jcollect exits without final hit counts"
    with last_resort(detachment.most_seconds, stuck):
        try:
            if not stop.is_immediate:
                detachment.detach()
        except Interrupted:
            pass
        except Exception as error:
            session.failures.add(error, "detach")
        with stop.signals_deferred():
            totals = detachment.finish()
            # The report with the hit counts is the last line.
            seconds = time.monotonic() - begun
            if failed is None and not (session.recorder and session.recorder[1].overwritten):
                loop.explain_silence(totals, seconds)
            loop.print_left_out()
            if failed is None:
                print_report(session, totals, seconds, loop.exit_text)
    if failed is not None:
        raise failed
    if options.counts:
        write_counts(options.counts, whole_status(session.status()), Json(options.json_strings))
    session.failures.check()
    stop.raise_if_interrupted()
    if options.fail_on_loss:
        check_no_loss(totals.lost + totals.missing + session.hub.lost())


def _events_out(events: str | None) -> Stdout:
    """Returns the output for events. Raises JcollectError."""
    if events is None:
        return Stdout()
    if not events:
        return Stdout(2, "stderr")
    try:
        return Stdout(open_to_write(events), events)
    except OSError as error:
        raise explain(error, f"write events to {events}") from None


class _Detachment:
    """Detaches, and completes the hit counts. Events that a subscriber has not read in time are lost."""

    def __init__(
        self, session: Session, printer: Printer | None, server: Server, exporters: Exporters
    ) -> None:
        self._session = session
        self._exporters = exporters
        self._printer = printer
        self._server = server
        self._detach_seconds = session.detach_seconds
        self.most_seconds = _DETACH_SECONDS + 3 * self._detach_seconds

    def detach(self) -> None:
        """Detaches, and gives the subscribers time to read their events."""
        if self._detach_seconds > _LONG_SECONDS:
            status(f"detaching; this takes about {self._detach_seconds:.0f} s with this kernel")
        self._session.detach()
        deadline = time.monotonic() + GRACE_SECONDS
        if self._printer is not None:
            self._printer.finish()
        self._exporters.finish()
        self._server.wait_for_streams(max(0.0, deadline - time.monotonic()))

    def finish(self) -> Totals:
        """Ends all subscriptions; returns the final hit counts."""
        totals = self._session.settle(_SETTLE_SECONDS)
        is_stuck = self._printer is not None and self._printer.is_stuck
        unread = self._session.hub.discard_unread()
        if self._printer is not None and self._printer.was_discarded:
            unread -= 1
        if is_stuck:
            warn("stdout was not read to the end; the rest was not printed")
        if unread > 0:
            warn(f"{plural(unread, 'subscriber')} did not read to the end; the rest of their events is lost")
        return totals


def _may_use_perf_events(settings: SessionSettings) -> bool:
    """Returns true if uprobes may have to be perf events, which need CAP_SYS_ADMIN."""
    release = re.match(r"(\d+)\.(\d+)", platform.release())
    is_older = release is None or (int(release[1]), int(release[2])) < _UPROBE_MULTI_SINCE
    return is_older or settings.link_type == "perf-event" or "uprobe-multi" in settings.without
