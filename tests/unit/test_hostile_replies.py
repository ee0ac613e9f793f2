"""Answers of a fake agent to a Gateway: none costs more than its connection."""

from __future__ import annotations

import base64
import contextlib
import os
import resource
import socket
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from jcollect.control import answers, lease, open_gateway, selected
from jcollect.control.answers import (
    MAX_ELEMENTS,
    MAX_LINE,
    Answers,
    NoReplyError,
    RefusalError,
    decode_reply,
)
from jcollect.control.gateway import Gateway
from jcollect.control.lease import leased_selection
from jcollect.control.selected import Selected
from jcollect.control.shares import Shares
from jcollect.errors import JcollectError
from jcollect.probes.protobuf_fields import FieldsError, check_fields
from jcollect.procfs.process import Process
from jprobe.v1.control_pb2 import ControlEndpoint, ControlReply, Selection
from jprobe.v1.manifest_pb2 import TracedMethod
from processes import ourselves
from stub_gateway import TOKEN, reply_line, stub_gateway

PID = os.getpid()
# Python refuses to parse numbers of more than 4,300 digits.
DIGITS = b"9" * 4000


def gateway_to(port: int) -> Gateway:
    return Gateway(ourselves(), ControlEndpoint(port=port, token=TOKEN), 10)


@pytest.mark.parametrize("kind", [*(b"%c" % each for each in b"iLdDbnslatzj"), b"ro"])
@pytest.mark.parametrize("value", [DIGITS, 2 * DIGITS, b"99999999999", b"1e99999999", b"-" + DIGITS, b""])
def test_an_answer_of_any_type_is_an_error_of_that_process(kind: bytes, value: bytes) -> None:
    line = b"!y" + kind + value + b"\n"
    if kind == b"j" and not value:
        assert decode_reply(line) == ControlReply()
        return
    with (
        stub_gateway(lambda _: line) as stub,
        gateway_to(stub.port) as gateway,
        pytest.raises(JcollectError, match=f"PID {PID} has sent a malformed reply to status"),
    ):
        gateway.status()


@pytest.mark.parametrize("text", [b"AAA", b"AA=A", b"A A=", b"AAAA====", b"AAAA!", b"AAAA\0", b"\xff" * 4])
def test_bytes_that_are_not_encoded_as_they_should_be_are_no_reply(text: bytes) -> None:
    with pytest.raises(NoReplyError):
        decode_reply(b"!yj" + text + b"\n")


def test_a_reply_of_many_empty_elements_is_rejected_before_it_is_decoded() -> None:
    # Field 5, methods: each takes two bytes here, and some hundred in memory.
    bomb = base64.b64encode(b"\x2a\x00" * (8 << 20))
    assert len(bomb) < MAX_LINE
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begun = time.process_time()
    with pytest.raises(NoReplyError):
        decode_reply(b"!yj" + bomb + b"\n")
    assert time.process_time() - begun < 10
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 << 10  # ru_maxrss is in KiB.


def test_the_largest_reply_of_an_agent_is_read() -> None:
    reply = ControlReply()
    for number in range(65_000):
        reply.methods.append(TracedMethod(class_name=f"com.acme.orders.Some{number}", method="place"))
    line = reply_line(reply)
    assert len(line) < MAX_LINE
    assert len(decode_reply(line).methods) == 65_000


PADDING = b"\xfa\x07\x80\x80\x80\x05" + bytes(10 << 20)  # Field 127, which no version defines.


@pytest.fixture
def leases(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Makes leases connect to the port in the list."""
    ports: list[int] = []
    monkeypatch.setattr(lease, "open_gateway", lambda process, seconds, say: gateway_to(ports[0]))
    return ports


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def test_unknown_parts_of_a_reply_are_not_kept(leases: list[int]) -> None:
    content = ControlReply(given=["a.B#*"], added=1).SerializeToString() + PADDING
    line = b"!yj" + base64.b64encode(content) + b"\n"
    with stub_gateway(lambda _: line) as stub, contextlib.ExitStack() as held:
        leases.append(stub.port)
        before = resident_bytes()
        for _ in range(16):
            assert held.enter_context(leased_selection(ourselves(), ["a.B#*"])).selected.added == 1
        assert resident_bytes() - before < 110 << 20


@pytest.mark.parametrize(
    "line",
    [
        b"!yj" + b"A" * (12 << 20) + b"\xff\n",
        b"!yj" + base64.b64encode(ControlReply(error="no").SerializeToString() + PADDING) + b"\n",
        b"!xs" + b"A" * (12 << 20) + b"\n",
        b"A" * MAX_LINE * 2,
    ],
    ids=["no base64", "error", "refusal", "too long"],
)
def test_an_error_does_not_keep_the_answer(line: bytes) -> None:
    with stub_gateway(lambda _: line) as stub, contextlib.ExitStack() as ended:
        before = resident_bytes()
        errors = []
        for _ in range(12):
            with pytest.raises(JcollectError) as error:
                ended.enter_context(gateway_to(stub.port)).status()
            errors.append(error)
        assert resident_bytes() - before < 110 << 20


def test_names_are_kept_as_hashes_and_found_again() -> None:
    shared = TracedMethod(id="3:1", owners=[2, 5])
    own = TracedMethod(id="3:4", owners=[5])
    made = Selected(ControlReply(owner=5, methods=[own, own, shared]))
    assert (made.methods, made.size) == (3, 2 + 1)

    def probe(set_id: str, *owners: int) -> Any:
        return SimpleNamespace(set_id=set_id, owners=owners)

    # Published before, perhaps for another owner.
    assert made.has(probe("3:1", 2))
    assert made.has(probe("3:4"))
    assert not made.has(probe("4:1", 2))
    # Published later.
    assert made.has(probe("7:1", 2, 5, 6))
    assert not made.has(probe("7:2", 2, 6))
    assert made.ends(probe("3:4"))
    assert made.ends(probe("7:3", 5))
    # Another client has selected these too.
    assert not made.ends(probe("3:1", 2))
    assert not made.ends(probe("7:1", 2, 5, 6))


def test_selectors_without_effect_are_kept_for_a_warning() -> None:
    reply = ControlReply(
        given=["a.B#c(x=arg0)", "a.B#c(y=arg1)", "a.B#*"],
        selections=[
            Selection(selector="a.B#c(x=arg0)", methods=1, leased=True),
            Selection(selector="a.B#c(y=arg1)", overruled=1, leased=True),
            Selection(selector="a.B#*", methods=3, overruled=1, leased=True),
            Selection(selector="other#x", overruled=1, leased=True),
            # Those of other clients.
            Selection(selector="a.B#c(x=arg0)", overruled=1),
            Selection(selector="a.B#c(x=arg0)", overruled=1, leased=True),
            Selection(selector="a.B#c(y=arg1)", overruled=1, leased=True),
        ],
    )
    assert Selected(reply).without_effect == ["a.B#c(y=arg1)"]


def test_the_names_kept_from_many_replies_are_limited(
    leases: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selected, "_kept", Shares(2 * 1500))
    reply = ControlReply(methods=[TracedMethod(id=f"1:{number}") for number in range(1000)])
    with stub_gateway(reply) as stub:
        leases.append(stub.port)
        with (
            leased_selection(ourselves(), ["a.B#*"]),
            pytest.raises(
                JcollectError, match=f"cannot select that many methods in PID {PID}: the selection keeps 1,"
            ),
        ):
            leased_selection(ourselves(), ["a.B#*"]).__enter__()
        # Answers that have ended make room again.
        with leased_selection(ourselves(), ["a.B#*"]) as again:
            assert again.selected.methods == 1000


def test_few_large_replies_are_received_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "SMALL_LINE", 1000)
    monkeypatch.setattr(answers, "_large_lines", Shares(4))
    with contextlib.ExitStack() as ended:

        def sender(owner: int, seconds: float) -> Answers:
            here, there = (ended.enter_context(each) for each in socket.socketpair())
            there.sendall(b"x" * 100_000 + b"\n")
            return Answers(here, seconds, owner)

        monkeypatch.setattr(answers, "_CHUNK", 1000)
        first, second = sender(1001, 30), sender(1001, 30)
        assert len(first.readline()) == len(second.readline()) == 100_001
        third = sender(1001, 0.1)
        with pytest.raises(TimeoutError):
            third.readline()
        assert len(sender(1002, 30).readline()) == 100_001
        first.release()
        assert len(third.readline(time.monotonic() + 30)) > 90_000


def test_a_user_has_at_most_half() -> None:
    shares = Shares(10)
    assert shares.take(1, 5)
    assert not shares.take(1, 1)
    assert shares.take(2, 3)
    assert shares.take(3, 2)
    assert not shares.take(2, 1)
    shares.give_back(1, 5)
    assert shares.take(2, 1)


def test_the_time_limit_holds_for_connection_and_first_command_together() -> None:
    def answer_late(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            time.sleep(1.5)
            connection.sendall(b"!yv\n")
            while connection.recv(1000):
                pass

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=answer_late, args=(listener,), daemon=True).start()
        begun = time.monotonic()
        with (
            pytest.raises(JcollectError, match="has not answered status within 2 s"),
            Gateway(ourselves(), ControlEndpoint(port=listener.getsockname()[1], token=TOKEN), 2) as gateway,
        ):
            gateway.status()
        assert time.monotonic() - begun < 3.3


def test_time_spent_before_connecting_to_a_gateway_counts() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        pytest.raises(JcollectError, match="has not answered authentication within 300 s"),
    ):
        Gateway(ourselves(), ControlEndpoint(port=silent.getsockname()[1], token=TOKEN), 300, spent=299.7)


def test_loading_counts_toward_the_first_command(monkeypatch: pytest.MonkeyPatch) -> None:
    spent: list[float] = []

    def connect(process: Process, seconds: float, already: float = 0.0) -> object:
        spent.append(already)
        return object() if already else None

    monkeypatch.setattr(open_gateway, "connect", connect)
    monkeypatch.setattr(open_gateway, "_turn_gateway_on", lambda process, deadline, say: time.sleep(0.2))
    open_gateway.open_gateway(ourselves(), seconds=30)
    assert spent[0] == 0.0
    assert spent[1] >= 0.2


def test_each_later_command_has_its_own_time() -> None:
    def answer(_: list[str]) -> bytes:
        time.sleep(0.8)
        return reply_line(ControlReply(added=1))

    with stub_gateway(answer) as stub:
        port = ControlEndpoint(port=stub.port, token=TOKEN)
        with Gateway(ourselves(), port, 5, spent=3) as gateway:
            assert [gateway.status().added for _ in range(3)] == [1] * 3


def test_an_endless_line_is_read_only_up_to_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "MAX_LINE", 1 << 18)
    with (
        stub_gateway(lambda _: b"!yj" + b"A" * (1 << 20)) as stub,
        gateway_to(stub.port) as gateway,
        pytest.raises(JcollectError, match="has sent a malformed reply"),
    ):
        gateway.status()


@pytest.mark.parametrize(
    "line",
    [
        b"!xsno\x1b[2J" + b"x" * 100_000 + b"\n",
        reply_line(ControlReply(error="no\x1b[2J" + "x" * 100_000)),
    ],
)
def test_a_reason_is_escaped_and_truncated(line: bytes) -> None:
    with (
        stub_gateway(lambda _: line) as stub,
        gateway_to(stub.port) as gateway,
        pytest.raises(JcollectError) as refusal,
    ):
        gateway.status()
    assert refusal.value.message.startswith(f"PID {PID} rejects status: no\\x1b[2Jxxx")
    assert len(refusal.value.message) < 1000


def test_a_refusal_is_escaped_and_truncated() -> None:
    reply = decode_reply(reply_line(ControlReply(refusal="\x9b" + "x" * 100_000)))
    assert reply.refusal.startswith("\\x9bxx")
    assert len(reply.refusal) < 1000


def test_a_reason_that_is_not_text_is_reported_anyway() -> None:
    with pytest.raises(RefusalError, match="too \ufffd long"):
        decode_reply(b"!xstoo \xff long\n")


def test_fields_are_counted_up_to_the_limit() -> None:
    check_fields(b"\x2a\x00" * MAX_ELEMENTS, MAX_ELEMENTS)
    with pytest.raises(FieldsError):
        check_fields(b"\x2a\x00" * (MAX_ELEMENTS + 1), MAX_ELEMENTS)
    for cut in (b"\x2a", b"\x2a\x05ab", b"\x09\x00", b"\x80", b"\xff" * 11, b"\x0b", b"\x2a\x80"):
        with pytest.raises(FieldsError):
            check_fields(cut, MAX_ELEMENTS)
