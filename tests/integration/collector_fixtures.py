"""Fixtures of the collector's integration tests: a target that fires, a collector, and a client."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pytest

from conditions import wait_until
from jcollect.layout.gate import (
    GATE_ENTRY,
    GATE_PROBE_FILTERED,
    GATE_RETURN,
    GATE_THROW,
)
from layout_headers import INCLUDE_LAYOUTS
from stub_image import StubImage

JCOLLECT = str(Path(sys.executable).parent / "jcollect")
TARGET_SOURCE = Path(__file__).parent / "collector_target" / "target.c"
DEADLINE = 20.0
# Time for several commands to start on a loaded machine.
STARTED_SECONDS = 60.0

# Offsets in a gate of the counts of filtered calls.
ENTRY_FILTERED, RETURN_FILTERED, THROW_FILTERED = (
    probe + GATE_PROBE_FILTERED for probe in (GATE_ENTRY, GATE_RETURN, GATE_THROW)
)


@dataclass
class Target:
    """A process that looks like a JVM with the agent, or like another program; see
    collector_target/target.c.
    """

    process: subprocess.Popen[str]
    directory: Path
    # Its own PID, not that of the wrappers that started it.
    pid: int

    def say(self, command: str) -> str:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def fire(self, threads: int, calls: int) -> None:
        assert self.say(f"fire {threads} {calls}") == "fired"

    def hold(self, method: int, offset: int, calls: int, library: int = 0) -> None:
        """Adds to a word of the method's gate, at an offset in bytes (layout/gate.toml)."""
        assert self.say(f"hold {method} {offset} {calls} {library}") == "held"

    def load(self, image: StubImage, *patterns: str, name: str = "jprobe-1/2.so") -> Path:
        """Loads one more stub library."""
        path = self.directory / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(image.build())
        assert self.say(" ".join(["load", str(path), *patterns])) == "loaded"
        return path

    def load_memfd(self, file: Path, *patterns: str, name: str = "jprobe-2", keep: bool = True) -> None:
        """Loads one more stub library, copied to a memfd. Its descriptor stays open or is closed, as
        requested.
        """
        kept = "keep" if keep else "close"
        assert self.say(" ".join(["memfd", kept, name, str(file), *patterns])) == "loaded"

    def fork(self) -> int:
        """Forks a child that has all libraries mapped; returns its PID."""
        return int(self.say("fork"))

    def fire_child(self, threads: int, calls: int) -> None:
        assert self.say(f"child fire {threads} {calls}") == "fired"

    def retire(self, library: int) -> None:
        assert self.say(f"retire {library}") == "retired"

    def revive(self, library: int) -> None:
        assert self.say(f"revive {library}") == "revived"

    def unload(self, library: int) -> None:
        """Maps other memory, full of ones, at the address of the library."""
        assert self.say(f"unload {library}") == "unloaded"

    def map(self, path: Path) -> None:
        """Maps one more file, such as a stub library without probes."""
        assert self.say(f"map {path}") == "mapped"

    def semaphores(self) -> int:
        return int(self.say("semaphores"))

    def end(self) -> None:
        if self.process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            self.process.kill()
        self.process.wait()


def _last_of(pid: int) -> int:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return _last_of(int(children[0])) if children else pid


class Command:
    """A running jcollect, whose output and stderr are collected line by line."""

    def __init__(
        self,
        arguments: tuple[object, ...],
        before: Sequence[str] = (),
        program: Sequence[str | Path] = (JCOLLECT,),
        stdout: int = subprocess.PIPE,
    ) -> None:
        """`before` is a command that executes this one. `stdout` is a descriptor to use instead of a pipe
        that is read."""
        self.process = subprocess.Popen(
            [*before, *program, *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.output: list[str] = []
        self.errors: list[str] = []
        self._threads = [
            threading.Thread(target=self._collect, args=pair, daemon=True)
            for pair in ((self.process.stdout, self.output), (self.process.stderr, self.errors))
        ]
        for thread in self._threads:
            thread.start()

    @staticmethod
    def _collect(stream: IO[str] | None, lines: list[str]) -> None:
        if stream is None:
            return
        with contextlib.suppress(ValueError):  # closed by a test
            lines.extend(line.rstrip("\n") for line in stream)

    def status(self, line: int = 0) -> str:
        """Waits for the line of stderr with that number, and returns it."""
        wait_until(
            lambda: len(self.errors) > line or self.process.poll() is not None, f"line {line} of stderr"
        )
        self._read_rest()
        return self.errors[line] if len(self.errors) > line else ""

    def line_with(self, text: str) -> str:
        """Waits for a line of stderr with that text, and returns it."""

        def found() -> str:
            return next((line for line in list(self.errors) if text in line), "")

        with contextlib.suppress(AssertionError):
            wait_until(lambda: found() or self.process.poll() is not None, text, STARTED_SECONDS)
        self._read_rest()
        assert found(), (text, self.process.args, self.errors)
        return found()

    def _read_rest(self) -> None:
        """Reads the rest of stderr if the command has ended."""
        if self.process.poll() is not None:
            self._threads[1].join(DEADLINE)

    def end(self, number: int = signal.SIGTERM) -> str:
        """Signals it, waits until it has exited with code 0, and returns the last line of its stderr."""
        self.process.send_signal(number)
        return self.wait()

    def wait(self, code: int = 0) -> str:
        """Waits until it has exited with that code, and returns the last line of its stderr."""
        self.process.wait(DEADLINE)
        for thread in self._threads:
            thread.join(DEADLINE)
        assert self.process.returncode == code, self.errors
        assert "Traceback" not in "".join(self.errors)
        return self.errors[-1] if self.errors else ""

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


class Bench:
    """Starts targets and commands, and ends them."""

    def __init__(self, directory: Path, binary: Path) -> None:
        self.directory = directory
        self.binary = binary
        self._processes: list[subprocess.Popen[str]] = []
        self._targets: list[Target] = []
        self._commands: list[Command] = []

    def target(
        self,
        images: StubImage | bytes,
        *patterns: str,
        name: str = "jprobe-1/1.so",
        wrapper: Sequence[str | Path] = (),
    ) -> Target:
        """Starts a JVM with one stub library, through a command that executes it."""
        path = self.directory / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(images if isinstance(images, bytes) else images.build())
        return self._start(path, self._libjvm(), *patterns, wrapper=wrapper)

    def bare_target(self, is_jvm: bool = False, wrapper: Sequence[str | Path] = ()) -> Target:
        """Starts a process without stub libraries, which can look like a JVM."""
        return self._start("-", self._libjvm() if is_jvm else "-", wrapper=wrapper)

    def _libjvm(self) -> Path:
        jvm = self.directory / "libjvm.so"
        jvm.write_bytes(bytes(4096))
        return jvm

    def _start(
        self, path: str | Path, jvm: str | Path, *patterns: str, wrapper: Sequence[str | Path] = ()
    ) -> Target:
        process = subprocess.Popen(
            [*wrapper, self.binary, path, jvm, *patterns],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._processes.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        target = Target(process, self.directory, _last_of(process.pid))
        self._targets.append(target)
        return target

    def start(self, *arguments: object, before: Sequence[str] = ()) -> Command:
        command = Command(arguments, before)
        self._commands.append(command)
        return command

    def attach(self, target: Target, *options: object) -> Command:
        """Starts a collector, and waits until it reports that everything is armed."""
        command = self.start("attach", target.pid, *options)
        assert command.status().startswith("armed "), command.errors
        return command

    def observe(self, *arguments: object, before: Sequence[str] = ()) -> Command:
        """Starts an observer, and waits until it has subscribed."""
        command = self.start("observe", *arguments, before=before)
        assert command.status().startswith("observing "), command.errors
        return command

    def run(self, *arguments: object, before: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
        command = [*before, JCOLLECT, *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE, check=False)

    def end(self) -> None:
        for command in self._commands:
            command.kill()
        for target in self._targets:
            target.end()
        for process in self._processes:
            process.kill()
            process.wait()


@pytest.fixture(scope="session")
def target_binary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    binary = tmp_path_factory.mktemp("target") / "target"
    subprocess.run(
        [
            "gcc",
            "-O1",
            "-Wall",
            "-Wextra",
            "-Werror",
            "-pthread",
            INCLUDE_LAYOUTS,
            "-o",
            binary,
            TARGET_SOURCE,
        ],
        check=True,
    )
    return binary


@pytest.fixture
def bench(tmp_path: Path, target_binary: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path, target_binary)
    yield bench
    bench.end()


def events_of(command: Command) -> list[dict[str, Any]]:
    return [json.loads(line) for line in command.output]


def numbered_target(bench: Bench, image: StubImage, number: int) -> Target:
    """Starts a target whose library passes one number, in its own stub directory."""
    return bench.target(image, "dnt", name=f"jprobe-{number}/1.so")


def socket_of(bench: Bench) -> str:
    """Returns the address of a collector in the directory of the bench."""
    return f"unix://{bench.directory}/c.sock"
