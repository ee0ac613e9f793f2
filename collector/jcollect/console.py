"""Writing to stdout and stderr, which somebody may not read: a full pipe, a terminal that was stopped."""

from __future__ import annotations

import os
import select
import sys
import time

from jcollect.errors import explain
from jcollect.printable import printable

# A pipe that can be written to has room for so much (PIPE_BUF), and so has a terminal.
_ROOM = 4096
_PIECE = 1 << 16
_STDERR_SECONDS = 1.0


class Stdout:
    """Without a buffer, for one thread. `progressed`: when something was last taken (time.monotonic())."""

    def __init__(self) -> None:
        self.progressed = time.monotonic()

    def write(self, content: bytes) -> None:
        """Waits for whoever reads it. Raises OSError."""
        rest = memoryview(content)
        while rest:
            written = os.write(1, rest[:_PIECE])
            self.progressed = time.monotonic()
            rest = rest[written:]


class _Stderr:
    """Never waits for long: lines that nobody takes are left out, and counted."""

    def __init__(self) -> None:
        self._left_out = 0

    def write_line(self, line: str) -> None:
        # Once nobody reads it, no line waits any more.
        deadline = time.monotonic() + (0.0 if self._left_out else _STDERR_SECONDS)
        if self._left_out:
            line = f"jcollect: warning: {self._left_out:,} lines could not be written here\n{line}"
        if _write(2, f"{line}\n".encode(errors="backslashreplace"), deadline):
            self._left_out = 0
        else:
            self._left_out += 1


_stderr = _Stderr()
_is_stdout_left = False


def leave_stdout() -> None:
    """Somebody is stuck in writing to it."""
    global _is_stdout_left
    _is_stdout_left = True


def flush_stdout() -> None:
    """Raises JcollectError."""
    if _is_stdout_left:
        return
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        pass  # Who read our output has seen enough.
    except OSError as error:
        raise explain(error, "write to stdout") from None


def write_status(line: str) -> None:
    """A line on stderr. What cannot be written there is no reason to end."""
    _stderr.write_line(line)


def _write(descriptor: int, content: bytes, deadline: float) -> bool:
    """Returns whether everything was written. A failed stream counts as written: it fails again."""
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    rest = memoryview(content)
    try:
        while rest:
            if not poll.poll(1000 * max(0.0, deadline - time.monotonic())):
                return False
            rest = rest[os.write(descriptor, rest[:_ROOM]) :]
    except OSError:
        pass
    return True


def open_standard_streams() -> None:
    """Where one is closed, the next file that is opened would get its number, and what is written to it.

    What is opened in its place cannot be written to either, so that whoever does is told.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDONLY)
    if sys.stdin is None:
        sys.stdin = open(0, closefd=False)  # noqa: SIM115
    if sys.stdout is None:
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115


def status(line: str) -> None:
    """stdout is for events only. Names of the traced process may be in the line."""
    write_status(printable(line))


def warn(message: str) -> None:
    status(f"jcollect: warning: {message}")


def plural(count: int, noun: str) -> str:
    """As in "1 probe", "1,234 probes"."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")
