"""Commands to the agent: the endpoint's file, the gateway's protocol, and the text form of gates."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from conditions import as_root
from jcollect.cli.replies import gate_words
from jcollect.control.agent import Agent
from jcollect.control.answers import Answers
from jcollect.control.endpoint import find_endpoint
from jcollect.control.gateway import Gateway
from jcollect.errors import JcollectError
from jcollect.probes.stub_library import StubLibrary, parse_stub_image
from jcollect.procfs.process import Process
from jprobe.v1.control_pb2 import ControlEndpoint, ControlReply, GateSettings
from processes import of_user, ourselves
from stub_gateway import TOKEN, reply_line, stub_gateway, write_endpoint
from stub_image import StubImage

NOBODY = 65534
PID = os.getpid()


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    directory = tmp_path / "jprobe-1"
    directory.mkdir()
    return directory


def agent_in(directory: Path, process: Process | None = None) -> Agent:
    image = parse_stub_image(StubImage([], generation=0).build())
    process = process or ourselves()
    return Agent(process, (StubLibrary(process, str(directory / "0.so"), 0, image),))


# The endpoint


def test_an_endpoint_is_found_beside_the_stub_library(directory: Path) -> None:
    write_endpoint(directory, 4711)
    assert find_endpoint(agent_in(directory)) == ControlEndpoint(port=4711, token=TOKEN)


def test_no_file_means_that_control_is_off(directory: Path) -> None:
    assert find_endpoint(agent_in(directory)) is None


def test_libraries_in_memory_have_no_endpoint() -> None:
    image = parse_stub_image(StubImage([], generation=0).build())
    in_memory = Agent(ourselves(), (StubLibrary(ourselves(), f"/proc/{PID}/map_files/1-2", 0, image),))
    assert in_memory.directory is None
    assert find_endpoint(in_memory) is None


def endpoint_refusal(directory: Path, process: Process | None = None) -> str:
    with pytest.raises(JcollectError) as refusal:
        find_endpoint(agent_in(directory, process))
    start = f"cannot use the control gateway of PID {PID}: {directory}/control was not written by its agent: "
    assert refusal.value.message.startswith(start)
    return refusal.value.message.removeprefix(start).split(";")[0]


def test_a_link_is_no_endpoint(directory: Path, tmp_path: Path) -> None:
    write_endpoint(tmp_path, 4711)
    (directory / "control").symlink_to(tmp_path / "control")
    assert endpoint_refusal(directory) == "it cannot be opened: Too many levels of symbolic links"


def test_a_pipe_is_no_endpoint_and_does_not_block_the_reader(directory: Path) -> None:
    os.mkfifo(directory / "control", 0o600)
    assert endpoint_refusal(directory) == "it is not a regular file"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o700])
def test_an_endpoint_that_others_can_touch_is_refused(directory: Path, mode: int) -> None:
    write_endpoint(directory, 4711, mode=mode)
    assert endpoint_refusal(directory).startswith(f"its mode is {mode:o}")


@as_root
def test_an_endpoint_of_another_user_is_refused(directory: Path) -> None:
    os.chown(write_endpoint(directory, 4711, mode=0o644), 12345, 12345)
    assert endpoint_refusal(directory) == "it belongs to user 12345, and the process to user 0"


@as_root
def test_an_endpoint_is_read_with_the_rights_of_the_targets_user(directory: Path) -> None:
    nobodys = of_user(PID, os.pidfd_open(PID), (NOBODY, os.getegid()))
    # The directory and the file belong to root: jcollect does not read for the target's user what that user
    # cannot read.
    write_endpoint(directory, 4711)
    assert endpoint_refusal(directory, nobodys) == "it cannot be opened: Permission denied"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"\xff\xff", "it cannot be decoded"),
        (b"", "it holds no port and token"),
        (ControlEndpoint(port=70_000, token=TOKEN).SerializeToString(), "it holds no port and token"),
        (ControlEndpoint(port=1, token=TOKEN[:-1] + "\n").SerializeToString(), "it holds no port and token"),
        (bytes(5000), "it has 5000 bytes, but at most 4096 are allowed"),
    ],
)
def test_an_endpoint_with_other_content_is_refused(directory: Path, content: bytes, problem: str) -> None:
    write_endpoint(directory, 1).write_bytes(content)
    assert endpoint_refusal(directory) == problem


# The gateway


def gateway_to(port: int, seconds: float = 10) -> Gateway:
    return Gateway(ourselves(), ControlEndpoint(port=port, token=TOKEN), seconds)


def test_a_closed_connection_is_noticed_without_waiting() -> None:
    with stub_gateway(ControlReply()) as stub, gateway_to(stub.port, 300) as gateway:
        gateway.status()
        begun = time.monotonic()
        assert not gateway.is_closed
        assert time.monotonic() - begun < 5
        gateway.disconnect()
        assert gateway.is_closed
        gateway.close()
        assert gateway.is_closed


def test_each_command_is_one_call_of_the_entry_point() -> None:
    with stub_gateway(ControlReply(added=3)) as stub, gateway_to(stub.port) as gateway:
        assert gateway.select(["a.B#c", 'x.Y#z when arg0 = "\n;"'], leased=True).added == 3
        gateway.select(["a.B#c"])
        gateway.unselect([])
        gateway.set(["1:0", "1:5"], "duration > 20ms")
        gateway.status()
        gateway.reset()
    assert stub.commands == [
        ["c", "t", "select", 'sa.B#c;x.Y#z when arg0 = "\\n;"', "bTrue"],
        ["c", "t", "select", "sa.B#c", "bFalse"],
        ["c", "t", "unselect", "s"],
        ["c", "t", "set", "s1:0 1:5", "sduration > 20ms"],
        ["c", "t", "status"],
        ["c", "t", "reset"],
    ]


def test_a_refusal_of_the_agent_is_an_error() -> None:
    with (
        stub_gateway(ControlReply(error="there is no such selector")) as stub,
        gateway_to(stub.port) as gateway,
        pytest.raises(JcollectError, match=f"PID {PID} rejects unselect: there is no such selector"),
    ):
        gateway.unselect(["a.B#c"])


def test_a_wrong_token_is_an_error() -> None:
    with (
        stub_gateway(ControlReply(), token="other") as stub,
        pytest.raises(
            JcollectError, match=f"PID {PID} rejects the connection: the token is not this gateway's"
        ),
    ):
        gateway_to(stub.port)


def test_a_gateway_reports_why_it_rejects_a_client() -> None:
    with (
        stub_gateway(ControlReply(), token="other", refusal=b"!xs16 clients\n") as stub,
        pytest.raises(JcollectError, match=f"PID {PID} rejects the connection: 16 clients"),
    ):
        gateway_to(stub.port)
    with (
        stub_gateway(lambda _: b"!xstoo long\n") as stub,
        gateway_to(stub.port) as gateway,
        pytest.raises(JcollectError, match=f"PID {PID} rejects status: too long"),
    ):
        gateway.status()


@pytest.mark.parametrize(
    "answer",
    [
        b"!x\n",
        b"!xro12\n",
        b"!yro12\n",
        b"!yv\n",
        b"!ysx\n",
        b"!yjAAA\n",
        b"!yj/w==\n",
        b"?\n",
        b"!y\n",
    ],
)
def test_an_answer_that_is_no_reply_is_an_error(answer: bytes) -> None:
    with (
        stub_gateway(lambda _: answer) as stub,
        gateway_to(stub.port) as gateway,
        pytest.raises(JcollectError, match=f"PID {PID} has sent a malformed reply to status"),
    ):
        gateway.status()


def test_a_connection_that_ends_is_an_error() -> None:
    with (
        stub_gateway(lambda _: b"\n") as stub,
        gateway_to(stub.port) as gateway,
        pytest.raises(JcollectError, match="has closed the control connection instead of answering"),
    ):
        gateway.status()


def test_a_port_without_a_listener_is_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(JcollectError, match=f"on 127.0.0.1:{port}: no process listens on that port any more"):
        gateway_to(port)


def test_silence_is_an_error_after_the_stated_time() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        pytest.raises(JcollectError, match=f"PID {PID} has not answered authentication within 0.3 s"),
    ):
        gateway_to(silent.getsockname()[1], 0.3)


TRICKLE = """
import socket, time
out = socket.socket(fileno=0)
while True:
    out.send(b"x")
    time.sleep(0.01)
"""


def test_an_answer_byte_by_byte_ends_at_the_deadline_of_the_whole() -> None:
    here, there = socket.socketpair()
    with here, there:
        answers = Answers(here, 0.3)
        there.sendall(b"one\ntwo\nthr")
        assert answers.readline() == b"one\n"
        assert answers.readline() == b"two\n"
        trickle = subprocess.Popen([sys.executable, "-c", TRICKLE], stdin=there)
        try:
            with pytest.raises(TimeoutError):
                answers.readline()
        finally:
            trickle.kill()
            trickle.wait()


def test_a_truncated_answer_is_returned_without_its_end() -> None:
    here, there = socket.socketpair()
    with here:
        with there:
            there.sendall(b"half")
        answers = Answers(here, 5)
        assert answers.readline() == b"half"
        assert answers.readline() == b""


def test_a_large_reply_arrives_whole() -> None:
    reply = ControlReply()
    for i in range(20_000):
        reply.methods.add(class_name=f"com.acme.Class{i}", method="method", method_descriptor="()V")
    with stub_gateway(lambda _: reply_line(reply)) as stub, gateway_to(stub.port) as gateway:
        assert gateway.status() == reply


# Gates


@pytest.mark.parametrize(
    ("gate", "text"),
    [
        (GateSettings(), "every call"),
        (GateSettings(every=1), "every call"),
        (GateSettings(least_duration_nanos=20_000_001), "duration > 20ms"),
        (GateSettings(least_duration_nanos=20_000_000), "duration >= 20ms"),
        (GateSettings(least_duration_nanos=1), "duration >= 1ns"),
        (GateSettings(least_duration_nanos=1_500_000_001), "duration > 1500ms"),
        (GateSettings(every=100, per_second=20), "every 100 at most 20/s"),
        (
            GateSettings(least_duration_nanos=2_000_000_001, every=2, per_second=3),
            "duration > 2s every 2 at most 3/s",
        ),
    ],
)
def test_gate_settings_are_printed_in_the_syntax_of_set(gate: GateSettings, text: str) -> None:
    assert gate_words(gate) == text
