"""The agent's control gateway and Py4J's own client, on every JDK."""

from __future__ import annotations

import resource
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from py4j.java_gateway import (
    GatewayParameters,
    JavaClass,
    JavaGateway,
    JavaObject,
    JVMView,
    get_field,
    java_import,
    set_field,
)
from py4j.protocol import Py4JAuthenticationError, Py4JError, Py4JNetworkError

from conditions import wait_until
from java_target import JAR, Jdk, Process, java, on_every_jdk
from jprobe.v1.control_pb2 import ControlEndpoint
from threads import thread_names

TIMEOUT_SECONDS = 30


class Commanded:
    """tests/targets/Commanded.java and its gateway."""

    def __init__(self, process: Process, directory: Path) -> None:
        self.process = process
        self.directory = directory
        assert process.wait_for_line("hidden ") == "hidden true"
        process.wait_for_line("open")
        self.endpoint = ControlEndpoint.FromString((self.directory / "control").read_bytes())

    @contextmanager
    def client(self, token: str | None = None) -> Iterator[JavaGateway]:
        parameters = GatewayParameters(
            port=self.endpoint.port,
            auth_token=self.endpoint.token if token is None else token,
            read_timeout=TIMEOUT_SECONDS,
        )
        client = JavaGateway(gateway_parameters=parameters)
        try:
            yield client
        finally:
            client.close()

    def threads(self) -> list[str]:
        """Returns the names of the gateway's threads."""
        return [name for name in thread_names(self.process.pid) if name.startswith("jprobe-control")]

    def calls(self) -> list[str]:
        return [line for line in self.process.out if line.startswith(("called", "REACHED"))]


@contextmanager
def commanded(jdk: Jdk, targets: Path, directory: Path, *jvm: str) -> Iterator[Commanded]:
    with java(jdk, "-cp", f"{targets}:{JAR}", "Commanded", directory, jvm=jvm) as process:
        yield Commanded(process, directory)


class Callback:
    """An object for which Py4J would make a proxy."""

    def toString(self) -> str:
        raise AssertionError("the gateway has called back")

    class Java:
        implements = ("java.lang.CharSequence",)


def class_of(gateway: JavaGateway, name: str) -> JavaClass:
    """Returns a Java class without a request for it, so that the call on it is the first one sent."""
    return JavaClass(name, gateway._gateway_client)


def object_of(gateway: JavaGateway, name: str) -> JavaObject:
    return JavaObject(name, gateway._gateway_client)


# If Py4J's client hides the answer, the second is its own message.
REFUSAL = r"rejected: this gateway|does not exist in the JVM"

REFUSED: dict[str, Callable[[JavaGateway], Any]] = {
    "System.exit": lambda g: g.jvm.java.lang.System.exit(3),
    "System.exit, unasked": lambda g: class_of(g, "java.lang.System").exit(3),
    "System.exit, directly": lambda g: object_of(g, "z:java.lang.System").exit(3),
    "a constructor": lambda g: g.jvm.java.util.ArrayList(),
    "a constructor, unasked": lambda g: class_of(g, "java.util.ArrayList")(),
    "a class": lambda g: class_of(g, "java.lang.System")._java_lang_class,
    "an array": lambda g: g.new_array(class_of(g, "java.lang.String"), 2),
    "a view": lambda g: g.new_jvm_view("mine"),
    "an import": lambda g: java_import(JVMView(g._gateway_client, "mine", "rj"), "java.io.*"),
    "getClass": lambda g: g.entry_point.getClass(),
    "hashCode": lambda g: g.entry_point.hashCode(),
    "toString": lambda g: g.entry_point.toString(),
    "wait": lambda g: g.entry_point.wait(1),
    "notifyAll": lambda g: g.entry_point.notifyAll(),
    "connected": lambda g: g.entry_point.connected("x"),
    "an object": lambda g: object_of(g, "o0").status(),
    "a field": lambda g: get_field(g.entry_point, "commands"),
    "setting a field": lambda g: set_field(g.entry_point, "commands", "x"),
    "dir": lambda g: dir(g.entry_point),
    "help": lambda g: g.help(g.entry_point, display=False),
    "a callback": lambda g: g.entry_point.unselect(Callback()),
    "a number": lambda g: g.entry_point.unselect(5),
    "too little": lambda g: g.entry_point.select("x"),
    "too much": lambda g: g.entry_point.status("x"),
    "bytes": lambda g: g.entry_point.unselect(b"x"),
    "nothing": lambda g: g.entry_point.unselect(None),
}


@on_every_jdk
def test_the_entry_point_answers_with_bytes(jdk: Jdk, targets: Path, tmp_path: Path) -> None:
    with commanded(jdk, targets, tmp_path) as target, target.client() as gateway:
        entry_point = gateway.entry_point
        end = b"\0\n\xff"
        assert entry_point.select("**#a;b\\n\n", True) == b"select[**#a;b\\n\n, true]" + end
        assert entry_point.unselect("") == b"unselect[]" + end
        assert entry_point.set("1:0 1:5", "every 100") == b"set[1:0 1:5, every 100]" + end
        assert entry_point.status() == b"status[]" + end
        target.process.wait_for_line("called status")
        assert target.process.out.count("connected") == 1


@on_every_jdk
def test_everything_else_is_refused(jdk: Jdk, targets: Path, tmp_path: Path) -> None:
    with commanded(jdk, targets, tmp_path) as target, target.client() as gateway:
        for name, attempt in REFUSED.items():
            with pytest.raises(Py4JError, match=REFUSAL) as problem:
                print(name, attempt(gateway))
            assert "Exception" not in str(problem.value), name
        assert target.calls() == []
        assert gateway.entry_point.status().startswith(b"status")
        target.process.wait_for_line("called status")
        assert target.process.out.count("connected") == 1


@on_every_jdk
def test_a_stream_is_refused(jdk: Jdk, targets: Path, tmp_path: Path) -> None:
    # In a test of its own, because the client drops the connection whatever the answer.
    with commanded(jdk, targets, tmp_path) as target, target.client() as gateway:
        with pytest.raises(Py4JError, match=REFUSAL):
            gateway.entry_point.status.stream()
        assert target.calls() == []
        assert gateway.entry_point.status().startswith(b"status")


@on_every_jdk
def test_shutting_down_and_collecting_garbage_do_nothing(jdk: Jdk, targets: Path, tmp_path: Path) -> None:
    with commanded(jdk, targets, tmp_path) as target:
        with target.client() as gateway:
            gateway._gateway_client.garbage_collect_object("o0")
            gateway.detach(object_of(gateway, "o1"))
            gateway.shutdown()
        target.process.wait_for_line("disconnected")
        with target.client() as gateway:
            assert gateway.entry_point.status().startswith(b"status")


@on_every_jdk
def test_without_the_token_nothing_is_done(jdk: Jdk, targets: Path, tmp_path: Path) -> None:
    with commanded(jdk, targets, tmp_path) as target:
        with target.client(token="0" * 64) as stranger, pytest.raises(Py4JAuthenticationError):
            stranger.entry_point.status()
        with target.client(token="") as stranger, pytest.raises((Py4JError, Py4JNetworkError)):
            stranger.entry_point.status()
        target.process.wait_for_line("log clients of the control gateway have sent a wrong token")
        assert "connected" not in target.process.out
        with target.client() as gateway:
            gateway.entry_point.status()
        target.process.wait_for_line("called status")
        assert len(target.calls()) == 1


@on_every_jdk
def test_reset_is_answered_by_the_gateway_that_it_closes(jdk: Jdk, targets: Path, tmp_path: Path) -> None:
    with commanded(jdk, targets, tmp_path) as target:
        with target.client() as gateway:
            wait_until(target.threads, "a thread of the gateway's")
            assert gateway.entry_point.reset().startswith(b"reset")
            target.process.wait_for_line("disconnected")
            assert not (target.directory / "control").exists()
            with pytest.raises(Py4JError):
                gateway.entry_point.status()
        wait_until(lambda: not target.threads(), "no thread of the gateway is left")
        assert list(target.directory.iterdir()) == []


@on_every_jdk
def test_it_waits_where_the_program_has_no_file_descriptors_left(
    jdk: Jdk, targets: Path, tmp_path: Path
) -> None:
    with commanded(jdk, targets, tmp_path) as target, target.client() as first:
        first.entry_point.status()
        pid = target.process.pid
        limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        taken = {int(file.name) for file in Path(f"/proc/{pid}/fd").iterdir()}
        lowest_free = next(number for number in range(len(taken) + 1) if number not in taken)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (lowest_free, limits[1]))
        with target.client() as second:
            answer: list[bytes] = []
            caller = threading.Thread(target=lambda: answer.append(second.entry_point.status()))
            caller.start()
            target.process.wait_for_line("log the control gateway cannot accept a connection")
            assert first.entry_point.unselect("").startswith(b"unselect")
            resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
            caller.join(TIMEOUT_SECONDS)
            assert answer[0].startswith(b"status")


@on_every_jdk
def test_it_neither_loads_nor_needs_logging(jdk: Jdk, targets: Path, tmp_path: Path) -> None:
    loaded = tmp_path / "classes"
    directory = tmp_path / "stubs"
    directory.mkdir()
    jvm = ["--limit-modules", "java.base", f"-Xlog:class+load:file={loaded}"]
    with commanded(jdk, targets, directory, *jvm) as target, target.client() as gateway:
        assert gateway.entry_point.status().startswith(b"status")
        classes = loaded.read_text()
    assert "py4j.Protocol " in classes
    assert "java.util.logging" not in classes
    assert "java.security.Provider" not in classes
