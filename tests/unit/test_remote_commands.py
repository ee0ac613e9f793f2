"""Limits of SetProbes and ListProcesses, and what happens beyond them."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import grpc
import pytest

import jcollect.session.commander
from conditions import wait_until
from jcollect.errors import JcollectError
from jcollect.procfs.process import Process
from jcollect.rpc.commands import list_processes, set_probes
from jcollect.session.commander import Commander
from jcollect.session.commands import Outcome
from jprobe.v1 import collector_pb2, control_pb2
from jprobe.v1.manifest_pb2 import TracedMethod
from served import StillSource, described, serving, stub_at

SELECT = collector_pb2.SelectCommand
UNSELECT = collector_pb2.UnselectCommand
SET = collector_pb2.SetCommand


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({}, "no command"),
        ({"select": SELECT()}, "no selectors to select"),
        ({"select": SELECT(selectors=[" "])}, "an empty selector"),
        ({"select": SELECT(selectors=["a.B#c"] * 65)}, "65 selectors; the limit is 64"),
        ({"select": SELECT(selectors=["x" * 4_097])}, "a selector of 4,097 characters; the limit is 4,096"),
        ({"select": SELECT(selectors=["a.B#c"]), "timeout_millis": 60_001}, "a timeout of 60,001 ms"),
        ({"select": SELECT(selectors=["a.B#c"]), "max_methods": 1_000_001}, "max_methods 1,000,001"),
        ({"select": SELECT(selectors=["a.B#c"]), "string_limit": 1_025}, "string_limit 1,025"),
        ({"unselect": UNSELECT()}, "either no selectors to unselect"),
        ({"unselect": UNSELECT(selectors=["a"], all=True)}, "or both selectors and all"),
        ({"unselect": UNSELECT(all=True), "max_methods": 5}, "limits, which unselect does not change"),
        ({"set": SET(glob="*")}, "not both of glob and settings"),
        ({"set": SET()}, "not both of glob and settings, and no limits"),
        ({"set": SET(glob="x" * 513, settings="always")}, "a glob of 513 characters; the limit is 512"),
    ],
)
def test_invalid_requests_are_rejected(tmp_path: Path, fields: dict[str, Any], problem: str) -> None:
    with serving(StillSource(described(1)), tmp_path) as address, stub_at(address) as stub:
        with pytest.raises(grpc.RpcError) as caught:
            stub.SetProbes(collector_pb2.SetProbesRequest(pid=1, **fields), timeout=10)
        assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
        assert problem in caught.value.details()


class _Traced:
    """A traced process, whose agent is never reached."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.reconsidered = 0

    def reconsider(self) -> None:
        self.reconsidered += 1


class _Context:
    def abort(self, code: grpc.StatusCode, details: str) -> None:
        raise _AbortedError(code, details)


class _AbortedError(Exception):
    pass


def request(pid: int, millis: int = 0) -> collector_pb2.SetProbesRequest:
    return collector_pb2.SetProbesRequest(pid=pid, select=SELECT(selectors=["a.B#c"]), timeout_millis=millis)


def test_commands_that_do_not_end_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """One for each process, four in all, each with a deadline; a process is free again once its own ends."""
    over = threading.Event()
    reply = control_pb2.ControlReply(methods=[TracedMethod(method="m" * 3_000)] * 1_500, traced_methods=7)

    def run(self: Commander, selections: Any, command: Any, seconds: float) -> Outcome:
        over.wait(20)
        return Outcome(reply)

    monkeypatch.setattr(Commander, "_run", run)
    monkeypatch.setattr(jcollect.session.commander, "_MARGIN_SECONDS", 0.0)
    own = Process.open(threading.get_native_id())
    traced = _Traced(own)
    commander = Commander(lambda: [traced])
    codes: list[Any] = []

    def call(millis: int) -> None:
        try:
            codes.append(set_probes(commander, request(own.pid, millis), _Context()))
        except _AbortedError as error:
            codes.append(error.args[0])

    first = threading.Thread(target=call, args=(300,))
    first.start()
    wait_until(lambda: commander._running, "the first to begin")
    call(300)
    first.join()
    assert codes == [grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.DEADLINE_EXCEEDED]
    # The thread of the first one still holds the process.
    call(300)
    assert codes[-1] == grpc.StatusCode.RESOURCE_EXHAUSTED
    over.set()
    wait_until(lambda: not commander._running, "the first to end")
    call(5_000)
    response = codes[-1]
    # Longer than a message may be: the numbers are those of all.
    assert response.methods == 1_500
    assert response.reply.traced_methods == 7
    assert 0 < len(response.reply.methods) < 1_000
    assert response.ByteSize() < 1 << 20
    assert traced.reconsidered == 1
    commander.close()
    call(300)
    assert codes[-1] == grpc.StatusCode.RESOURCE_EXHAUSTED
    own.close()


def test_a_process_that_has_exited_cannot_be_commanded() -> None:
    closed = Process.open(threading.get_native_id())
    closed.close()
    commander = Commander(lambda: [_Traced(closed)])
    with pytest.raises(JcollectError, match="does not trace PID"):
        commander.execute(closed.pid, None, 1.0)  # type: ignore[arg-type]


def test_one_listing_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()

    class SlowHost:
        def scan(self) -> list[Any]:
            over.wait(20)
            return []

        def close(self) -> None:
            pass

    monkeypatch.setattr(jcollect.session.commander, "Host", SlowHost)
    commander = Commander(list)
    answers: list[Any] = []

    def ask() -> None:
        try:
            answers.append(list_processes(commander, collector_pb2.ListProcessesRequest(), _Context()))
        except _AbortedError as error:
            answers.append(error.args[0])

    first = threading.Thread(target=ask)
    first.start()
    wait_until(lambda: commander._is_listing, "the first to begin")
    ask()
    over.set()
    first.join()
    assert answers == [grpc.StatusCode.RESOURCE_EXHAUSTED, collector_pb2.ListProcessesResponse()]
    ask()
    assert answers[-1] == collector_pb2.ListProcessesResponse()
