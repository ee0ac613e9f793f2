"""Answers SetProbes and ListProcesses: checks the requests, and maps them to the session's commands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import grpc

from jcollect.control.limits import MOST_BYTES, MOST_METHODS, Limits
from jcollect.errors import JcollectError, explain
from jcollect.probes.probe import STATE_NAMES
from jcollect.probes.process_row import ProcessRow
from jcollect.session.commander import BusyError, LateError, NotTracedError
from jcollect.session.commands import Command, Outcome, Select, SetGates, Unselect
from jprobe.v1 import collector_pb2, probe_pb2

_MOST_SELECTORS = 64
_MOST_SELECTOR_LENGTH = 4_096
_MOST_TEXT = 512
_MOST_MILLIS = 60_000
_DEFAULT_MILLIS = 30_000
_MOST_ELEMENTS = 1_000
_MOST_PROCESSES = 10_000
# A message has at most 1 MiB.
_MESSAGE_BYTES = (1 << 20) - (1 << 12)
_STATES = {name: number for number, name in STATE_NAMES.items()}


class CommandedSession(Protocol):
    """The part of a session's commander that the answers use."""

    def execute(self, pid: int, command: Command, seconds: float) -> Outcome: ...
    def processes(self) -> list[ProcessRow]: ...
    def is_traced(self, pid: int) -> bool: ...


class _InvalidError(Exception):
    """A clause about a request."""


def set_probes(
    commander: CommandedSession, request: collector_pb2.SetProbesRequest, context: Any
) -> collector_pb2.SetProbesResponse:
    """Executes a command. Ends the call with an error if it cannot be executed."""
    try:
        command = _command(request)
        seconds = (request.timeout_millis or _DEFAULT_MILLIS) / 1000
        return _response(commander.execute(request.pid, command, seconds))
    except _InvalidError as error:
        code, details = grpc.StatusCode.INVALID_ARGUMENT, f"the request has {error}"
    except Exception as error:
        code, details = _code_of(error), explain(error, "execute the command").message
    context.abort(code, details)
    raise AssertionError  # abort has raised.


def list_processes(
    commander: CommandedSession, request: collector_pb2.ListProcessesRequest, context: Any
) -> collector_pb2.ListProcessesResponse:
    """Lists the processes of the host."""
    try:
        rows = commander.processes()
    except Exception as error:
        context.abort(_code_of(error), explain(error, "list the processes").message)
        raise
    response = collector_pb2.ListProcessesResponse()
    size = 0
    for row in rows[:_MOST_PROCESSES]:
        message = _process(row, commander.is_traced(row.pid))
        size += message.ByteSize() + 8
        if size > _MESSAGE_BYTES:
            break
        response.processes.append(message)
    response.is_truncated = len(response.processes) < len(rows)
    return response


def _code_of(error: Exception) -> grpc.StatusCode:
    if isinstance(error, NotTracedError):
        return grpc.StatusCode.NOT_FOUND
    if isinstance(error, BusyError):
        return grpc.StatusCode.RESOURCE_EXHAUSTED
    if isinstance(error, LateError):
        return grpc.StatusCode.DEADLINE_EXCEEDED
    return (
        grpc.StatusCode.FAILED_PRECONDITION if isinstance(error, JcollectError) else grpc.StatusCode.INTERNAL
    )


def _command(request: collector_pb2.SetProbesRequest) -> Command:
    """Raises _InvalidError."""
    if request.timeout_millis > _MOST_MILLIS:
        raise _InvalidError(f"a timeout of {request.timeout_millis:,} ms; the limit is {_MOST_MILLIS:,}")
    if request.max_methods > MOST_METHODS:
        raise _InvalidError(f"max_methods {request.max_methods:,}; the limit is {MOST_METHODS:,}")
    if request.string_limit > MOST_BYTES:
        raise _InvalidError(f"string_limit {request.string_limit:,}; the limit is {MOST_BYTES:,}")
    limits = Limits(request.max_methods or None, request.string_limit or None)
    kind = request.WhichOneof("command")
    if kind == "select":
        if not request.select.selectors:
            raise _InvalidError("no selectors to select")
        return Select(_selectors(request.select.selectors), request.select.keep, limits)
    if kind == "unselect":
        if limits:
            raise _InvalidError("limits, which unselect does not change")
        if bool(request.unselect.selectors) == request.unselect.all:
            raise _InvalidError("either no selectors to unselect, or both selectors and all")
        return Unselect(_selectors(request.unselect.selectors))
    if kind == "set":
        settings = request.set
        if bool(settings.glob) != bool(settings.settings) or not (settings.glob or limits):
            raise _InvalidError("not both of glob and settings, and no limits")
        return SetGates(_text(settings.glob, "a glob"), _text(settings.settings, "settings"), limits)
    raise _InvalidError("no command")


def _selectors(selectors: Sequence[str]) -> list[str]:
    if len(selectors) > _MOST_SELECTORS:
        raise _InvalidError(f"{len(selectors):,} selectors; the limit is {_MOST_SELECTORS}")
    for each in selectors:
        if not each.strip():
            raise _InvalidError("an empty selector")
        if len(each) > _MOST_SELECTOR_LENGTH:
            raise _InvalidError(
                f"a selector of {len(each):,} characters; the limit is {_MOST_SELECTOR_LENGTH:,}"
            )
    return list(selectors)


def _text(text: str, what: str) -> str:
    if len(text) > _MOST_TEXT:
        raise _InvalidError(f"{what} of {len(text):,} characters; the limit is {_MOST_TEXT}")
    return text


def _response(outcome: Outcome) -> collector_pb2.SetProbesResponse:
    """Returns the reply with as many elements as a message may have."""
    reply = outcome.reply
    response = collector_pb2.SetProbesResponse(
        methods=len(reply.methods),
        failed=len(reply.failed),
        selections=len(reply.selections),
        warnings=outcome.warnings,
    )
    most = _MOST_ELEMENTS
    for elements in (reply.methods, reply.gates, reply.failed, reply.selections):
        del elements[most:]
    while reply.ByteSize() > _MESSAGE_BYTES - response.ByteSize() and most:
        most //= 2
        for elements in (reply.methods, reply.gates, reply.failed, reply.selections):
            del elements[most:]
    response.reply.CopyFrom(reply)
    return response


def _process(row: ProcessRow, is_traced: bool) -> collector_pb2.HostProcess:
    return collector_pb2.HostProcess(
        pid=row.pid,
        user=row.user,
        is_jvm=row.is_jvm,
        jdk=row.jdk,
        name=row.name,
        agent=row.agent,
        libraries=len(row.libraries),
        probes=[
            collector_pb2.ProbesInState(state=probe_pb2.ProbeState.Name(_STATES[name]), probes=count)
            for name, count in row.probes.items()
        ],
        is_traced=is_traced,
        problem=row.problem,
    )
