"""Writes to stdout and stderr. Their reader may not read: a full pipe, or a suspended terminal."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import select
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

from jcollect.errors import JcollectError, explain
from jcollect.printable import printable

# A pipe or terminal that polls as writable accepts this many bytes without blocking (PIPE_BUF).
_NONBLOCKING_BYTES = 4096
_PIECE = 1 << 16
_STDERR_SECONDS = 1.0


class Stdout:
    """Unbuffered stdout, or another descriptor and its name, for one thread. `progressed` is the
    time.monotonic() of the last write."""

    def __init__(self, descriptor: int = 1, name: str = "stdout") -> None:
        self.descriptor = descriptor
        self.name = name
        self.progressed = time.monotonic()

    def write(self, content: bytes) -> None:
        """Waits until the reader has taken the content. Raises BrokenPipeError if it has closed the pipe,
        otherwise JcollectError."""
        rest = memoryview(content)
        while rest:
            written = _write_out(self.descriptor, rest[:_PIECE], self.name)
            self.progressed = time.monotonic()
            rest = rest[written:]


class _RawStdout(io.RawIOBase):
    """Writes the buffer of sys.stdout. Its errors name stdout, whichever verb has written."""

    def fileno(self) -> int:
        return 1

    def isatty(self) -> bool:
        return os.isatty(1)

    def writable(self) -> bool:
        return True

    def write(self, content: Any, /) -> int:
        return _write_out(1, content, "stdout")


def _write_out(descriptor: int, content: Any, name: str) -> int:
    """Returns how many bytes were written. Raises BrokenPipeError if the reader has closed the pipe,
    otherwise JcollectError."""
    try:
        return os.write(descriptor, content)
    except BrokenPipeError:
        # The reader needs no more output. click would exit with code 1 if the error had a number.
        raise BrokenPipeError from None
    except OSError as error:
        if error.errno == errno.EBADF:
            raise JcollectError(f"cannot write to {name}: it is closed") from None
        raise explain(error, f"write to {name}") from None


class _Stderr:
    """Never blocks for long: drops lines that cannot be written, and counts them."""

    def __init__(self) -> None:
        self._dropped = 0
        self.redirected: Callable[[str], None] | None = None

    def write_line(self, line: str) -> None:
        if self.redirected is not None:
            self.redirected(line)
            return
        # After the first dropped line, do not wait again until a line can be written.
        deadline = time.monotonic() + (0.0 if self._dropped else _STDERR_SECONDS)
        if self._dropped:
            line = f"jcollect: warning: {self._dropped:,} lines could not be written here\n{line}"
        if _write(2, f"{line}\n".encode(errors="backslashreplace"), deadline):
            self._dropped = 0
        else:
            self._dropped += 1


_stderr = _Stderr()
_is_stdout_abandoned = False


@contextlib.contextmanager
def lines_above(write: Callable[[str], None]) -> Iterator[None]:
    """Runs a block that redraws a part of the terminal. Lines for stderr go to `write` meanwhile, if stderr
    is the terminal too."""
    if not os.isatty(2):
        yield
        return
    _stderr.redirected = write
    try:
        yield
    finally:
        _stderr.redirected = None


def terminal_columns(descriptor: int = 1) -> int | None:
    """Returns the width of the terminal that is stdout or another descriptor; None if it is none, or has no
    width."""
    try:
        return os.get_terminal_size(descriptor).columns or None
    except OSError:
        return None


def abandon_stdout() -> None:
    """Skips flushing stdout at exit, because a thread is blocked in a write to it."""
    global _is_stdout_abandoned
    _is_stdout_abandoned = True


def flush_stdout() -> None:
    """Flushes stdout unless it is abandoned. Raises JcollectError."""
    if _is_stdout_abandoned:
        return
    with contextlib.suppress(BrokenPipeError):  # The reader needs no more output.
        sys.stdout.flush()


def write_status(line: str) -> None:
    """Writes a line to stderr. Ignores errors."""
    _stderr.write_line(line)


def _write(descriptor: int, content: bytes, deadline: float) -> bool:
    """Returns true if everything was written. A write that fails counts as written: a retry fails again."""
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    rest = memoryview(content)
    try:
        while rest:
            if not poll.poll(1000 * max(0.0, deadline - time.monotonic())):
                return False
            rest = rest[os.write(descriptor, rest[:_NONBLOCKING_BYTES]) :]
    except OSError:
        pass
    return True


def open_standard_streams() -> None:
    """Opens standard streams that are closed. Otherwise the next file that is opened would get the number of
    one of them, and its output.

    The replacements are read-only, so that writes to them fail.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDONLY)
    if sys.stdin is None:
        sys.stdin = open(0, closefd=False)  # noqa: SIM115
    raw = _RawStdout()
    # A name that the locale cannot express is escaped.
    sys.stdout = io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=getattr(sys.stdout, "encoding", None),
        errors="backslashreplace",
        line_buffering=raw.isatty(),
    )
    if sys.stderr is None:
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115


def status(line: str) -> None:
    """Prints a line to stderr, escaped, because it may contain text from a target. stdout is for events."""
    write_status(printable(line))


def warn(message: str) -> None:
    status(f"jcollect: warning: {message}")


def plural(count: int, noun: str) -> str:
    """Returns a count with its noun, as in "1 probe" and "1,234 probes"."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")
