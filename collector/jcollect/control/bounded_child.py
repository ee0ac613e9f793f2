"""Runs a program that may be held up for good, by a file system that does not answer: it is left behind."""

from __future__ import annotations

import contextlib
import os
import selectors
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import IO

from jcollect.control.cancel import stopped_by

# Of its output, and of its errors. The rest is not read.
MAX_OUTPUT_BYTES = 64 << 10
# A process that was killed ends within this time, or waits for what does not come.
_END_SECONDS = 1.0
_POLL_SECONDS = 0.01


@dataclass(frozen=True)
class Finished:
    """Its exit code, and the beginnings of what it has said."""

    code: int
    output: str
    errors: str


class HeldUpError(TimeoutError):
    """It has not ended in time, and was killed. `child` may not have ended even then."""

    def __init__(self, child: subprocess.Popen[bytes]) -> None:
        super().__init__()
        self.child = child


def run_bounded(command: Sequence[str], seconds: float, environment: Mapping[str, str]) -> Finished:
    """Runs a program in / with that environment alone. Raises HeldUpError, OSError."""
    deadline = time.monotonic() + seconds
    with contextlib.ExitStack() as stack:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd="/",
            env=environment,
            # Ctrl-C is for us, who end it.
            start_new_session=True,
        )
        stack.callback(_end, child)
        stack.enter_context(stopped_by(child.kill))
        assert child.stdout is not None
        assert child.stderr is not None
        stack.callback(child.stdout.close)
        stack.callback(child.stderr.close)
        output, errors = _read(child.stdout, child.stderr, deadline)
        while child.poll() is None:
            if time.monotonic() > deadline:
                raise HeldUpError(child)
            time.sleep(_POLL_SECONDS)
        return Finished(child.returncode, output, errors)


def _read(output: IO[bytes], errors: IO[bytes], deadline: float) -> tuple[str, str]:
    """What comes until both end, or too much comes, or the time is over."""
    said = {output: bytearray(), errors: bytearray()}
    with selectors.DefaultSelector() as selector:
        for stream in said:
            selector.register(stream, selectors.EVENT_READ)
        while selector.get_map() and (left := deadline - time.monotonic()) > 0:
            for key, _ in selector.select(left):
                stream = output if key.fileobj is output else errors
                piece = os.read(key.fd, MAX_OUTPUT_BYTES - len(said[stream]))
                said[stream] += piece
                if not piece:
                    selector.unregister(stream)
    return said[output].decode(errors="replace"), said[errors].decode(errors="replace")


def _end(child: subprocess.Popen[bytes]) -> None:
    """Kills it if need be, and waits a little. Popen.wait without a limit would wait as long as it does."""
    with contextlib.suppress(ProcessLookupError):
        child.kill()
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(_END_SECONDS)
