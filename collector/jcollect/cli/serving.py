"""What `jcollect attach` does, from finding its processes to closed counts."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jcollect.cli.options import check_no_loss
from jcollect.cli.privileges import narrow_attach
from jcollect.cli.replies import as_dict, json_bytes
from jcollect.cli.waiting import GRACE_SECONDS, wait_for_rest
from jcollect.cli.written_file import open_to_write
from jcollect.console import Stdout, plural, status, warn
from jcollect.control.jar import remove_stale_jars
from jcollect.errors import Interrupted, JcollectError
from jcollect.hub.accounts import Totals
from jcollect.hub.hub import Hub
from jcollect.hub.subscription import CutError
from jcollect.last_resort import last_resort, say_when_aborted
from jcollect.probes.globs import matcher
from jcollect.probes.overhead import percent_of_a_core
from jcollect.probes.permission import check_can_attach
from jcollect.procfs.process import Process
from jcollect.rpc.address import Address, collector_address, parse_address
from jcollect.rpc.claim import Claim, claim
from jcollect.rpc.messages import whole_status
from jcollect.rpc.server import Server, check_can_serve
from jcollect.session.candidate import Candidate
from jcollect.session.following import Following
from jcollect.session.session import OPEN_CAPACITY, Session, ids_for
from jcollect.session.targets import Asked, Targets
from jcollect.sinks.base import consume
from jcollect.sinks.terminal import TerminalSink
from jcollect.sources.bpf.compilation import Compilation
from jcollect.stop_request import End
from jcollect.workers import Failures, Worker
from jprobe.v1 import collector_pb2

# From here on it is told how long detaching will take.
_LONG_SECONDS = 2.0
# After these, something is stuck in native code that cannot be left in any other way.
_SERVE_SECONDS = 20.0
_DETACH_SECONDS = 60.0
_STOP_SECONDS = 10.0
_COUNTS_SECONDS = 5.0
# Time to read the events that have been fired by now.
_SETTLE_SECONDS = 1.0
# First version of Linux that links many uprobes at once.
_UPROBE_MULTI_SINCE = (6, 6)


@dataclass(frozen=True)
class Serving:
    """How to serve: what the options say. `settings` are those of a Session that are not left to it."""

    listen: str | None
    insecure: bool
    output: str | None
    duration: float | None
    arm_timeout: float
    fail_on_loss: bool
    counts: str | None
    settings: Mapping[str, Any]


def serve(asked: Asked, serving: Serving, compilation: Compilation) -> None:
    """Raises JcollectError; nothing is left attached to then, and nobody's methods are woven."""
    address = (
        parse_address(serving.listen) if serving.listen else collector_address(asked.pids, asked.is_open)
    )
    with contextlib.ExitStack() as stack:
        processes = [stack.enter_context(Process.open(pid)) for pid in asked.pids]
        check_can_attach(processes)
        # Before the agent is loaded.
        claimed = stack.enter_context(claim(address, serving.insecure))
        _serve(asked, processes, serving, compilation, address, claimed)


def _serve(
    asked: Asked,
    processes: Sequence[Process],
    serving: Serving,
    compilation: Compilation,
    address: Address,
    claimed: Claim,
) -> None:
    places = [place for place in (address.path, serving.counts) if place]
    narrow_attach(needs_admin=bool(asked.selectors) or _may_use_perf_events(serving), places=places)
    if serving.counts:
        _check_can_write(serving.counts)
    say_when_aborted()
    check_can_serve()
    for process in processes:
        remove_stale_jars(process)
    end = End()
    failures = Failures(end.now)
    failures.take_those_of_libraries()
    targets = Targets(asked, processes)
    candidates: list[Candidate] = []
    try:
        with end.at_once():
            candidates += targets.first()
        settings = dict(serving.settings)
        if "capacity" not in settings:
            scans = [candidate.scan for candidate in candidates]
            settings["capacity"] = OPEN_CAPACITY if asked.is_open else ids_for(scans, matcher(asked.globs))
            if targets.is_loading:
                settings["capacity"] = max(OPEN_CAPACITY, settings["capacity"])
        with end.at_once():
            session = Session(end.now, compilation=compilation, failures=failures, **settings)
        try:
            following = Following(session, targets, candidates, end, serving.arm_timeout)
            hangs = f"cannot serve at {address.text}: gRPC does not start within {_SERVE_SECONDS:.0f} s"
            with last_resort(_SERVE_SECONDS, hangs):
                server = Server(session, claimed)
            try:
                _run(session, following, server, serving, end)
            finally:
                stuck = f"the server at {address.text} does not stop; jcollect ends without it"
                with last_resort(_STOP_SECONDS, stuck):
                    server.stop()
        finally:
            session.close()
    finally:
        targets.close(candidates)


def _run(session: Session, following: Following, server: Server, serving: Serving, end: End) -> None:
    printing = _Printing(session.hub, serving.output, session.failures, end) if serving.output else None
    session.start()
    begun = time.monotonic()
    failed: JcollectError | None = None
    try:
        following.run(server.address.text, serving.duration, server.hang_up_on_stalled)
    except JcollectError as error:
        failed = error
    except Interrupted:
        pass
    except Exception as error:
        session.failures.add(error, "follow the processes")
    closing = _Closing(session, printing, server)
    stuck = f"cannot detach within {closing.most_seconds:.0f} s; jcollect ends without final hit counts"
    with last_resort(closing.most_seconds, stuck):
        try:
            if not end.is_at_once:
                closing.in_order()
        except Interrupted:
            pass
        except Exception as error:
            session.failures.add(error, "detach")
        with end.undisturbed():
            totals = closing.at_once()
            # The books come last.
            following.tell_the_rest()
            if failed is None:
                _report_hits(session, totals, begun, following.last_exited)
    if failed is not None:
        raise failed
    if serving.counts:
        _write_counts(serving.counts, whole_status(session.status()))
    session.failures.check()
    end.check()
    if serving.fail_on_loss:
        check_no_loss(totals.lost + totals.missing + session.hub.lost())


class _Closing:
    """Detaches and closes the books; what subscribers have not taken after the grace is lost."""

    def __init__(self, session: Session, printing: _Printing | None, server: Server) -> None:
        self._session = session
        self._printing = printing
        self._server = server
        self._detach_seconds = session.detach_seconds
        self.most_seconds = _DETACH_SECONDS + 3 * self._detach_seconds

    def in_order(self) -> None:
        if self._detach_seconds > _LONG_SECONDS:
            status(f"detaching; this kernel takes about {self._detach_seconds:.0f} s for it")
        self._session.detach()
        deadline = time.monotonic() + GRACE_SECONDS
        if self._printing is not None:
            self._printing.finish()
        self._server.wait_for_streams(max(0.0, deadline - time.monotonic()))

    def at_once(self) -> Totals:
        """Returns the final hit counts; no subscriber gets more events."""
        totals = self._session.settle(_SETTLE_SECONDS)
        is_stuck = self._printing is not None and self._printing.is_stuck
        cut = self._session.hub.cut()
        if self._printing is not None and self._printing.is_cut:
            cut -= 1
        if is_stuck:
            warn("stdout was not read to the end: what was left is not printed")
        if cut > 0:
            warn(f"{plural(cut, 'subscriber')} did not read to the end: what was left is lost to them")
        return totals


class _Printing:
    """A subscriber like any other, which prints on stdout."""

    def __init__(self, hub: Hub, output: str, failures: Failures, end: End) -> None:
        """Raises JcollectError where no thread can be started."""
        self._subscription = hub.subscribe((), peer="stdout")
        self._stdout = Stdout()
        self._sink = TerminalSink(output, self._stdout)
        self._end = end
        self._worker = Worker("write events to stdout", self._run, failures).start()

    def _run(self) -> None:
        try:
            # It ends with an error once it is cut.
            with contextlib.suppress(CutError):
                for _ in consume(self._subscription, self._sink):
                    pass
        except BrokenPipeError:
            # A closed pipe is no error: its reader has seen enough.
            self._subscription.close()
            self._end.now()
        except BaseException:
            self._subscription.cut()
            raise

    @property
    def is_cut(self) -> bool:
        """Returns whether events were left unprinted, for any reason."""
        return self._subscription.is_cut

    @property
    def is_stuck(self) -> bool:
        """Returns whether events are still to be printed."""
        return not self._worker.join(0.0)

    def finish(self) -> None:
        """Until everything is printed, or nobody reads it any more."""
        wait_for_rest(self._worker, lambda: self._stdout.progressed)


def _may_use_perf_events(serving: Serving) -> bool:
    """Returns true if uprobes may have to be perf events, which need CAP_SYS_ADMIN."""
    release = re.match(r"(\d+)\.(\d+)", platform.release())
    is_older = release is None or (int(release[1]), int(release[2])) < _UPROBE_MULTI_SINCE
    without = serving.settings.get("without", ())
    return is_older or serving.settings.get("way") == "perf-event" or "uprobe-multi" in without


def _check_can_write(file: str) -> None:
    """Before anything is attached to, and without a trace if that fails."""
    place = file if os.path.exists(file) else os.path.dirname(file) or "."
    if not os.access(place, os.W_OK):
        raise JcollectError(
            f"cannot write the hit counts to {file}: {place} is not there, or cannot be written"
        )


def _write_counts(file: str, status: collector_pb2.GetStatusResponse) -> None:
    """As `jcollect status --json` has them."""
    what = f"write the hit counts to {file}"
    failures = Failures()

    def write() -> None:
        with open(open_to_write(file), "wb") as stream:
            stream.write(json_bytes(as_dict(status)) + b"\n")

    # A pipe waits for a reader, and a network's file system for its server.
    if not Worker(what, write, failures).start().join(_COUNTS_SECONDS):
        raise JcollectError(f"cannot {what}: that is not done within {_COUNTS_SECONDS:.0f} s")
    failures.check()


def _report_hits(session: Session, totals: Totals, begun: float, exited: str) -> None:
    filtered = f" + {totals.filtered:,} filtered" if totals.filtered else ""
    throttled = f" + {totals.throttled:,} throttled" if totals.throttled else ""
    seconds = time.monotonic() - begun
    if totals.throttled or totals.throttled_ns:
        warn(
            f"throttled: {totals.throttled:,} calls were held back, and probes were unwoven for "
            f"{totals.throttled_ns / 1e9:.1f} s in all, in which calls are not counted; they cost more than "
            "--max-overhead allows, and --counts names them"
        )
    missing = f"; {totals.missing:,} hits are unaccounted for" if totals.missing else ""
    status(
        f"{exited}detached after {seconds:.1f} s: {totals.hits:,} hits = "
        f"{totals.delivered:,} delivered{filtered}{throttled} + {totals.lost:,} lost "
        f"(kernel ring {totals.lost_in_ring:,}, collector {totals.lost_in_collector:,}); "
        f"subscribers: {session.hub.served:,} served, {session.hub.lost():,} events lost{missing}"
        f"{_cost_text(session, seconds)}"
    )


def _cost_text(session: Session, seconds: float) -> str:
    cost = session.cost_ns
    if cost is None:
        return ""
    return f"; the probes cost {cost / 1e9:.2f} s of CPU, {percent_of_a_core(cost, seconds):.1f}% of a core"
