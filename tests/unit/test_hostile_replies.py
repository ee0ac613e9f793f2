"""Answers of a fake agent to a Gateway: none costs more than its connection."""

from __future__ import annotations

import base64
import os
import resource
import time

import pytest

from jcollect.control import answers
from jcollect.control.answers import MAX_ELEMENTS, MAX_LINE, NoReplyError, RefusalError, decode_reply
from jcollect.control.gateway import Gateway
from jcollect.discovery.protobuf_fields import FieldsError, check_fields
from jcollect.errors import JcollectError
from jprobe.v1.control_pb2 import ControlEndpoint, ControlReply
from jprobe.v1.manifest_pb2 import TracedMethod
from stub_gateway import TOKEN, reply_line, stub_gateway

PID = os.getpid()
# Python refuses to parse numbers of more than 4,300 digits.
DIGITS = b"9" * 4000


def gateway_to(port: int) -> Gateway:
    return Gateway(PID, ControlEndpoint(port=port, token=TOKEN), 10)


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
        pytest.raises(JcollectError, match=f"PID {PID} has answered status with what is no reply"),
    ):
        gateway.status()


@pytest.mark.parametrize("text", [b"AAA", b"AA=A", b"A A=", b"AAAA====", b"AAAA!", b"AAAA\0", b"\xff" * 4])
def test_bytes_that_are_not_encoded_as_they_should_be_are_no_reply(text: bytes) -> None:
    with pytest.raises(NoReplyError):
        decode_reply(b"!yj" + text + b"\n")


def test_a_bomb_of_empty_elements_is_refused_before_it_goes_off() -> None:
    # Field 5, methods: each takes two bytes here, and some hundred in memory.
    bomb = base64.b64encode(b"\x2a\x00" * (12 << 20))
    assert len(bomb) < MAX_LINE + 4
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


def test_a_line_without_end_is_left_where_it_is_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "MAX_LINE", 1 << 18)
    with (
        stub_gateway(lambda _: b"!yj" + b"A" * (1 << 20)) as stub,
        gateway_to(stub.port) as gateway,
        pytest.raises(JcollectError, match="with what is no reply"),
    ):
        gateway.status()


@pytest.mark.parametrize(
    "line",
    [
        b"!xsno\x1b[2J" + b"x" * 100_000 + b"\n",
        reply_line(ControlReply(error="no\x1b[2J" + "x" * 100_000)),
    ],
)
def test_a_reason_is_escaped_and_cut(line: bytes) -> None:
    with (
        stub_gateway(lambda _: line) as stub,
        gateway_to(stub.port) as gateway,
        pytest.raises(JcollectError) as refusal,
    ):
        gateway.status()
    assert refusal.value.message.startswith(f"PID {PID} refuses to status: no\\x1b[2Jxxx")
    assert len(refusal.value.message) < 1000


def test_a_refusal_is_escaped_and_cut() -> None:
    reply = decode_reply(reply_line(ControlReply(refusal="\x9b" + "x" * 100_000)))
    assert reply.refusal.startswith("\\x9bxx")
    assert len(reply.refusal) < 1000


def test_a_reason_that_is_no_text_is_told_all_the_same() -> None:
    with pytest.raises(RefusalError, match="too \ufffd long"):
        decode_reply(b"!xstoo \xff long\n")


def test_fields_are_counted_up_to_the_limit() -> None:
    check_fields(b"\x2a\x00" * MAX_ELEMENTS, MAX_ELEMENTS)
    with pytest.raises(FieldsError):
        check_fields(b"\x2a\x00" * (MAX_ELEMENTS + 1), MAX_ELEMENTS)
    for cut in (b"\x2a", b"\x2a\x05ab", b"\x09\x00", b"\x80", b"\xff" * 11, b"\x0b", b"\x2a\x80"):
        with pytest.raises(FieldsError):
            check_fields(cut, MAX_ELEMENTS)
