"""The agent writes its lines whole, later, or counts them as lost, on every kind of standard error, and never
waits.
"""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import socket
import subprocess
import termios
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from conditions import DEADLINE_SECONDS, as_root, wait_until
from threads import threads_of

C_SOURCES = Path(__file__).resolve().parents[2] / "java-agent/src/main/c/agent"

# More than anything takes on a busy machine, but finite.
NO_WAIT_MS = 2_000
# Lines waiting to be written.
QUEUE = 64
# Kernel functions in which a write waits for the reader of a pipe or socket, or for a terminal.
WAITS = re.compile("pipe|sock|tty|wait_woken")


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compiles standard_error.c as a program, in a folder that every user can reach."""
    made = tmp_path_factory.mktemp("standard-error") / "program"
    parts = [C_SOURCES / "standard_error.c", C_SOURCES / "error_descriptor.c"]
    sources = [Path(__file__).with_name("log_lines.c"), *parts]
    flags = [
        "-std=gnu11",
        "-g",
        "-O1",
        "-pthread",
        "-Wall",
        "-Wextra",
        "-Werror",
        "-fsanitize=address,undefined",
    ]
    subprocess.run(["gcc", *flags, f"-I{C_SOURCES}", "-o", made, *sources], check=True)
    return made


class Target:
    """The program, with a given file as its standard error."""

    def __init__(self, program: Path, stderr: Any, **options: Any) -> None:
        self._child = subprocess.Popen(
            [program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            env={**os.environ, "ASAN_OPTIONS": "log_path=/dev/stdout:detect_leaks=0"},
            **options,
        )
        self.pid = self._child.pid
        assert self._answer() == "ready"

    def _answer(self) -> str:
        assert self._child.stdout is not None
        ready, _, _ = select.select([self._child.stdout], [], [], DEADLINE_SECONDS)
        assert ready, "no answer: it waits"
        return self._child.stdout.readline().strip()

    def do(self, command: str) -> str:
        assert self._child.stdin is not None
        self._child.stdin.write(command + "\n")
        self._child.stdin.flush()
        return self._answer()

    def write(self, text: str, times: int = 1) -> None:
        """Writes lines without waiting for their reader."""
        assert float(self.do(f"write {text} {times}")) < NO_WAIT_MS

    def has_no_writer(self) -> bool:
        return self.do("threads") == "1"

    def has_a_writer_that_waits(self) -> bool:
        waiting = [thread for thread, function in threads_of(self.pid, "wchan") if WAITS.search(function)]
        return any(
            thread in waiting for thread, name in threads_of(self.pid, "comm") if name == "jprobe-log\n"
        )

    def end(self) -> None:
        out, _ = self._child.communicate(timeout=DEADLINE_SECONDS)
        assert (self._child.returncode, out) == (0, "")


Start = Callable[..., Target]


@pytest.fixture
def start(program: Path) -> Iterator[Start]:
    targets = []

    def begin(stderr: Any, **options: Any) -> Target:
        targets.append(Target(program, stderr, **options))
        return targets[-1]

    yield begin
    for target in targets:
        target.end()


class Reader:
    """Reads a descriptor in a thread, starting at once."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._bytes = b""
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        try:
            while chunk := os.read(self._descriptor, 1 << 16):
                self._bytes += chunk
        except OSError:
            pass  # The other end of the terminal has been closed.

    @property
    def lines(self) -> list[str]:
        """Returns the whole lines, without the bytes that filled the descriptor."""
        whole = self._bytes[: self._bytes.rfind(b"\n") + 1].replace(b"\r", b"").decode()
        return [line for line in whole.lstrip("-").splitlines() if line]

    def wait_for(self, *lines: str) -> None:
        wait_until(lambda: self.lines[-len(lines) :] == list(lines), f"{lines}, and not {self.lines[-20:]}")


def numbered(text: str, count: int) -> list[str]:
    return [f"{text} {number}" for number in range(1, count + 1)]


def lost(count: int) -> str:
    return f"jprobe: {count} line{'s' if count > 1 else ''} could not be written to stderr"


def fill(descriptor: int) -> None:
    """Fills it through an open file description of its own: the program's keeps blocking."""
    os.set_blocking(descriptor, False)
    for size in (4096, 1):
        try:
            while True:
                os.write(descriptor, b"-" * size)
        except BlockingIOError:
            pass


def full_pipe(tmp_path: Path) -> tuple[int, int]:
    reading, writing = os.pipe()
    fill(os.open(f"/proc/self/fd/{writing}", os.O_WRONLY))
    return reading, writing


def full_fifo(tmp_path: Path) -> tuple[int, int]:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    reading = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    writing = os.open(path, os.O_WRONLY)
    os.set_blocking(reading, True)
    fill(os.open(path, os.O_WRONLY | os.O_NONBLOCK))
    return reading, writing


def full_socket(tmp_path: Path) -> tuple[int, int]:
    reading, writing = socket.socketpair()
    fill(writing.fileno())
    writing.setblocking(True)
    return reading.detach(), writing.detach()


def stopped_terminal(tmp_path: Path) -> tuple[int, int]:
    reading, writing = pty.openpty()
    termios.tcflow(writing, termios.TCOOFF)
    return reading, writing


def go_on(writing: int) -> None:
    if os.isatty(writing):
        termios.tcflow(writing, termios.TCOON)


BLOCKED = [full_pipe, full_fifo, full_socket, stopped_terminal]


@pytest.mark.parametrize("blocked", BLOCKED)
def test_unread_lines_are_written_later_or_counted(
    blocked: Callable[[Path], tuple[int, int]], start: Start, tmp_path: Path
) -> None:
    reading, writing = blocked(tmp_path)
    target = start(writing)
    target.write("first")
    # Once the thread has taken that line, the queue is empty.
    wait_until(target.has_a_writer_that_waits, "a thread to wait for the reader")
    target.write("line", 100)
    reader = Reader(reading)
    go_on(writing)
    wait_until(lambda: reader.lines and reader.lines[-1].startswith("jprobe: "), "how many were lost")
    assert reader.lines == ["first", *numbered("line", QUEUE), lost(100 - QUEUE)]
    wait_until(target.has_no_writer, "no thread that writes")
    target.write("afterwards")
    reader.wait_for(lost(100 - QUEUE), "afterwards")
    assert not fcntl.fcntl(writing, fcntl.F_GETFL) & os.O_NONBLOCK


def test_a_reader_that_is_only_slow_gets_every_line_in_the_end(start: Start, tmp_path: Path) -> None:
    reading, writing = full_pipe(tmp_path)
    target = start(writing)
    target.write("line", QUEUE)
    reader = Reader(reading)
    reader.wait_for(*numbered("line", QUEUE))


def a_file(tmp_path: Path) -> tuple[int, int]:
    return os.open(tmp_path / "stderr", os.O_RDONLY | os.O_CREAT), os.open(tmp_path / "stderr", os.O_WRONLY)


def a_pipe(tmp_path: Path) -> tuple[int, int]:
    return os.pipe()


def a_terminal(tmp_path: Path) -> tuple[int, int]:
    return pty.openpty()


def a_socket(tmp_path: Path) -> tuple[int, int]:
    reading, writing = socket.socketpair()
    return reading.detach(), writing.detach()


@pytest.mark.parametrize("kind", [a_file, a_pipe, a_terminal, a_socket])
def test_lines_come_in_order_and_without_a_thread_that_stays(
    kind: Callable[[Path], tuple[int, int]], start: Start, tmp_path: Path
) -> None:
    reading, writing = kind(tmp_path)
    target = start(writing)
    target.write("line", 10)
    wait_until(target.has_no_writer, "no thread that writes")
    Reader(reading).wait_for(*numbered("line", 10))


def test_lines_are_written_if_the_programs_file_description_is_nonblocking(
    start: Start, tmp_path: Path
) -> None:
    reading, writing = stopped_terminal(tmp_path)
    os.set_blocking(writing, False)
    target = start(writing)
    target.write("line", 5)
    go_on(writing)
    Reader(reading).wait_for(*numbered("line", 5))
    wait_until(target.has_no_writer, "no thread that writes")


def test_lines_are_appended_at_the_programs_file_position(start: Start, tmp_path: Path) -> None:
    file = tmp_path / "stderr"
    with file.open("wb", buffering=0) as stderr:
        stderr.write(b"the program's\n")
        target = start(stderr)
        target.write("ours")
        wait_until(lambda: file.read_text() == "the program's\nours\n", "both lines")
        stderr.write(b"the program's again\n")
    assert file.read_text() == "the program's\nours\nthe program's again\n"


def test_a_pipe_that_has_lost_its_reader_does_no_harm(start: Start) -> None:
    reading, writing = os.pipe()
    target = start(writing)
    os.close(reading)
    target.write("line", 3)
    assert target.do("report") == "done"
    wait_until(target.has_no_writer, "no thread that writes")


def test_lost_lines_are_reported_once_a_fifo_has_a_reader_again(start: Start, tmp_path: Path) -> None:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    reading = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    target = start(os.open(path, os.O_WRONLY))
    os.close(reading)
    target.write("line", 3)
    reading = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    os.set_blocking(reading, True)
    assert target.do("report") == "done"
    target.write("next")
    Reader(reading).wait_for(lost(3), "next")


def test_a_line_that_could_not_be_composed_counts_as_lost(start: Start) -> None:
    reading, writing = os.pipe()
    target = start(writing)
    target.do("lose")
    target.write("next")
    Reader(reading).wait_for(lost(1), "next")


@pytest.mark.parametrize("is_first_a_pipe", [True, False])
def test_a_file_that_reused_the_descriptor_number_gets_no_lines(
    is_first_a_pipe: bool, start: Start, tmp_path: Path
) -> None:
    own = tmp_path / "data"
    stderr = os.pipe()[1] if is_first_a_pipe else (tmp_path / "stderr").open("wb")
    target = start(stderr)
    target.write("before")
    assert target.do(f"reuse {own}") == "2"
    target.write("after", 5)
    assert target.do("report") == "done"
    assert own.read_bytes() == b""


def test_a_waiting_line_is_not_written_to_a_file_that_reused_the_descriptor_number(
    start: Start, tmp_path: Path
) -> None:
    own = tmp_path / "data"
    reading, writing = full_pipe(tmp_path)
    target = start(writing)
    target.write("line", 5)
    wait_until(target.has_a_writer_that_waits, "the first write to have begun")
    assert target.do(f"reuse {own}") == "2"
    # The other lines were not written.
    Reader(reading).wait_for("line 1")
    wait_until(target.has_no_writer, "no thread that writes")
    assert own.read_bytes() == b""


def test_no_line_is_written_to_a_closed_descriptor(start: Start, tmp_path: Path) -> None:
    target = start(os.pipe()[1])
    assert target.do("close") == "0"
    target.write("line", 3)
    wait_until(target.has_no_writer, "no thread that writes")


def test_without_a_standard_error_another_file_is_not_confused_with_it(program: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    closed = subprocess.run(
        ["sh", "-c", 'exec 2>&-; exec "$0"', program],
        input=f"reuse {data}\nwrite line 3\n",
        capture_output=True,
        text=True,
        check=True,
        timeout=DEADLINE_SECONDS,
    )
    assert re.fullmatch(r"ready\n2\n\d+\.\d+\n", closed.stdout), closed
    assert data.read_bytes() == b""


def test_a_network_connection_with_its_descriptor_number_is_not_confused_with_stderr(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = socket.create_connection(server.getsockname())
        accepted, _ = server.accept()
    target = start(client)
    target.write("line", 3)
    accepted.setblocking(False)
    with pytest.raises(BlockingIOError):
        accepted.recv(100)


@as_root
def test_a_pipe_of_another_user_is_written_to(start: Start, tmp_path: Path) -> None:
    reading, writing = os.pipe()
    target = start(writing)
    assert target.do("user 65534") == "0"
    target.write("line", 3)
    reader = Reader(reading)
    reader.wait_for(*numbered("line", 3))
    wait_until(target.has_no_writer, "no thread that writes")


def test_without_descriptors_lines_are_written(start: Start, tmp_path: Path) -> None:
    reading, writing = os.pipe()
    target = start(writing)
    assert target.do("files 3") == "0"
    target.write("line", 3)
    Reader(reading).wait_for(*numbered("line", 3))


def test_a_file_that_has_reached_its_limit_does_no_harm(start: Start, tmp_path: Path) -> None:
    file = tmp_path / "stderr"
    with file.open("wb") as stderr:
        target = start(stderr)
    target.write("line")
    wait_until(lambda: file.read_text() == "line\n", "the line")
    assert target.do("room 5") == "0"
    target.write("more", 3)
    assert target.do("report") == "done"
    assert file.read_text() == "line\n"
