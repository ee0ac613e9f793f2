"""What `jcollect attach` does, from finding its processes to closed books."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jcollect.attach.compilation import Compilation
from jcollect.commands.control import as_dict, json_bytes
from jcollect.commands.end import End
from jcollect.commands.following import Following
from jcollect.commands.options import check_no_loss, status, warn
from jcollect.commands.targets import Asked, Targets
from jcollect.control.jar import sweep_for
from jcollect.discovery.globs import matcher
from jcollect.discovery.overhead import percent_of_a_core
from jcollect.discovery.process import check_can_attach, check_exists
from jcollect.errors import JcollectError
from jcollect.rpc.address import collector_address, parse_address
from jcollect.rpc.claim import Claim, claim
from jcollect.rpc.server import Server
from jcollect.stream.accounts import Totals
from jcollect.stream.hub import Subscription
from jcollect.stream.printer import Printer, drain
from jcollect.stream.session import OPEN_CAPACITY, Session, ids_for
from jprobe.v1 import collector_pb2

# From here on it is told how long detaching will take.
_LONG_SECONDS = 2.0


@dataclass(frozen=True)
class Serving:
    """How to serve: what the options say. `settings` are those of a Session that are not left to it."""

    listen: str | None
    insecure: bool
    output: str | None
    duration: float | None
    arm_timeout: float
    fail_on_loss: bool
    books: str | None
    settings: Mapping[str, Any]


def serve(asked: Asked, serving: Serving, compilation: Compilation) -> None:
    """Raises JcollectError; nothing is left attached to then, and nobody's methods are woven."""
    address = (
        parse_address(serving.listen) if serving.listen else collector_address(asked.pids, asked.is_open)
    )
    for pid in asked.pids:
        check_exists(pid)
    check_can_attach(asked.pids)
    # Before the agent is loaded.
    with claim(address, serving.insecure) as claimed:
        _serve(asked, serving, compilation, claimed)


def _serve(asked: Asked, serving: Serving, compilation: Compilation, claimed: Claim) -> None:
    if serving.books:
        _check_can_write(serving.books)
    for pid in asked.pids:
        sweep_for(pid)
    end = End()
    targets = Targets(asked)
    candidates = targets.first()
    try:
        settings = dict(serving.settings)
        if "capacity" not in settings:
            processes = [candidate.process for candidate in candidates]
            settings["capacity"] = (
                OPEN_CAPACITY if asked.is_open else ids_for(processes, matcher(asked.globs))
            )
        session = Session(end.now, compilation=compilation, **settings)
        try:
            following = Following(session, targets, candidates, end, serving.arm_timeout)
            server = Server(session, claimed)
            try:
                _run(session, following, server, serving, end)
            finally:
                server.stop()
        finally:
            session.close()
    finally:
        for candidate in candidates:
            candidate.close()


def _run(session: Session, following: Following, server: Server, serving: Serving, end: End) -> None:
    output = serving.output
    printing = _Printing(session.hub.subscribe((), peer="stdout"), output, end) if output else None
    session.start()
    begun = time.monotonic()
    try:
        following.run(server.address.text, serving.duration)
    finally:
        if session.detach_seconds > _LONG_SECONDS:
            status(f"detaching; this kernel takes about {session.detach_seconds:.0f} s for it")
        totals = session.detach()
        if printing is not None:
            printing.join()
        server.stop()
    _report_books(session, totals, begun, following.last_exited)
    if serving.books:
        _write_books(serving.books, session.status())
    if serving.fail_on_loss:
        check_no_loss(totals.lost + totals.missing + session.hub.lost())


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


def _check_can_write(file: str) -> None:
    """Before anything is attached to, and without a trace if that fails."""
    place = file if os.path.exists(file) else os.path.dirname(file) or "."
    if not os.access(place, os.W_OK):
        raise JcollectError(f"cannot write the books into {file}: {place} is not there, or cannot be written")


def _write_books(file: str, status: collector_pb2.GetStatusResponse) -> None:
    """As `jcollect status --json` has them."""
    try:
        with open(file, "wb") as stream:
            stream.write(json_bytes(as_dict(status)) + b"\n")
    except OSError as error:
        raise JcollectError(f"cannot write the books into {file}: {error.strerror}") from None


def _report_books(session: Session, totals: Totals, begun: float, exited: str) -> None:
    filtered = f" + {totals.filtered:,} filtered" if totals.filtered else ""
    throttled = f" + {totals.throttled:,} throttled" if totals.throttled else ""
    seconds = time.monotonic() - begun
    if totals.throttled or totals.throttled_ns:
        warn(
            f"throttled: {totals.throttled:,} calls were held back, and probes were unwoven for "
            f"{totals.throttled_ns / 1e9:.1f} s in all, in which calls are not counted; they cost more than "
            "--max-overhead allows, and --books names them"
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
