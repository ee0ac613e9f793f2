"""Runs a program that a file system may block forever, and abandons it then."""

from __future__ import annotations

import contextlib
import os
import selectors
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import IO

from jcollect.control.cancel import stopped_by

# Bytes read of its output, and of its errors.
MAX_OUTPUT_BYTES = 64 << 10
# A killed process ends within this time, unless it is blocked in the kernel.
_END_SECONDS = 1.0
_POLL_SECONDS = 0.01
SLOW_SECONDS = 1.0


@dataclass(frozen=True)
class Finished:
    """The exit code of a program, and the beginnings of its output and errors."""

    code: int
    output: str
    errors: str


class BlockedError(TimeoutError):
    """The program did not end in time and was killed. `child` may still be there, blocked in the kernel."""

    def __init__(self, child: subprocess.Popen[bytes]) -> None:
        super().__init__()
        self.child = child


def run_bounded(
    command: Sequence[str],
    seconds: float,
    environment: Mapping[str, str],
    descriptors: Sequence[int] = (),
    on_slow: Callable[[], None] = lambda: None,
) -> Finished:
    """Runs a program in / with only that environment, and lets it inherit descriptors. Calls `on_slow` if it
    has not ended after a second. Raises BlockedError, OSError."""
    deadline = time.monotonic() + seconds
    with contextlib.ExitStack() as stack:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd="/",
            env=environment,
            pass_fds=descriptors,
            # Ctrl-C is for jcollect, which ends the child.
            start_new_session=True,
        )
        stack.callback(_end, child)
        stack.enter_context(stopped_by(child.kill))
        assert child.stdout is not None
        assert child.stderr is not None
        stack.callback(child.stdout.close)
        stack.callback(child.stderr.close)
        output, errors = _read(child.stdout, child.stderr, deadline, on_slow)
        while child.poll() is None:
            if time.monotonic() > deadline:
                raise BlockedError(child)
            time.sleep(_POLL_SECONDS)
        return Finished(child.returncode, output, errors)


def _read(
    output: IO[bytes], errors: IO[bytes], deadline: float, on_slow: Callable[[], None]
) -> tuple[str, str]:
    """Returns the output up to the end of both streams, the size limit or the deadline."""
    said = {output: bytearray(), errors: bytearray()}
    with selectors.DefaultSelector() as selector:
        for stream in said:
            selector.register(stream, selectors.EVENT_READ)
        slow = time.monotonic() + SLOW_SECONDS
        while selector.get_map() and (left := deadline - time.monotonic()) > 0:
            until_slow = slow - time.monotonic()
            if until_slow <= 0:
                slow = float("inf")
                on_slow()
                continue
            for key, _ in selector.select(min(left, until_slow)):
                stream = output if key.fileobj is output else errors
                piece = os.read(key.fd, MAX_OUTPUT_BYTES - len(said[stream]))
                said[stream] += piece
                if not piece:
                    selector.unregister(stream)
    return said[output].decode(errors="replace"), said[errors].decode(errors="replace")


def _end(child: subprocess.Popen[bytes]) -> None:
    """Kills the child if it still runs, and waits briefly. Popen.wait without a limit could wait forever."""
    # A process without CAP_KILL may not signal a child that has become another user.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        child.kill()
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(_END_SECONDS)
