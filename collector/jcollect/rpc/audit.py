"""The audit log: a line for each command and each rejected call, and for the begin and end of each stream.

Without a file, commands and rejected calls go to stderr. A client must not be able to fill a disk: beyond a
rate, lines about anything but commands are counted instead of written."""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from collections.abc import Callable

from jcollect.console import status, warn
from jcollect.printable import printable

COMMAND, REJECTED, BEGIN, END = "command", "rejected", "begin", "end"

_MOST_FIELD = 1_000
_BURST = 200.0
_PER_SECOND = 20.0
_BURST_ON_STDERR = 10.0
_PER_SECOND_ON_STDERR = 0.2


class Audit:
    """Writes lines of JSON to the file at a path, or lines of text to stderr. For any thread."""

    def __init__(self, path: str = "", open_file: Callable[[str], int] | None = None) -> None:
        """`open_file` opens a file to append to it, safely. Raises OSError."""
        self._path = path
        self._open_file = open_file
        self._lock = threading.Lock()
        self._burst, self._rate = (_BURST, _PER_SECOND) if path else (_BURST_ON_STDERR, _PER_SECOND_ON_STDERR)
        self._left, self._filled = self._burst, time.monotonic()
        self._omitted = 0
        self._has_failed = False
        self._has_lost_name = False
        self._file = open_file(path) if path and open_file else -1

    def record(self, kind: str, client: str, peer: str, verb: str, arguments: str, result: str) -> None:
        """Writes a line. Never raises: an error is reported on stderr."""
        if self._file < 0 and kind in (BEGIN, END):
            return
        with self._lock:
            if kind != COMMAND and not self._may_write():
                self._omitted += 1
                return
            omitted, self._omitted = self._omitted, 0
            fields = {
                "time": _now(),
                "event": kind,
                "client": client,
                "peer": peer,
                "verb": verb,
                "arguments": arguments,
                "result": result,
            }
            short = {name: printable(value[:_MOST_FIELD]) for name, value in fields.items()}
            if self._file >= 0:
                self._write(json.dumps(short | ({"omitted_before": omitted} if omitted else {})))
                return
        more = f" ({omitted:,} more since the line before)" if omitted else ""
        status(
            f"audit: {short['event']} {short['verb']} {short['arguments']} of {short['client']} "
            f"({short['peer']}): {short['result']}{more}"
        )

    def close(self) -> None:
        with self._lock:
            if self._file >= 0:
                os.close(self._file)
                self._file = -1

    def _may_write(self) -> bool:
        now = time.monotonic()
        self._left = min(self._burst, self._left + (now - self._filled) * self._rate)
        self._filled = now
        if self._left < 1:
            return False
        self._left -= 1
        return True

    def _write(self, line: str) -> None:
        self._follow_rotation()
        try:
            # One call, so that lines of several collectors do not mix.
            os.write(self._file, f"{line}\n".encode())
            self._has_failed = False
        except OSError as error:
            if not self._has_failed:
                self._has_failed = True
                warn(
                    f"cannot write to the audit file {self._path}: {error.strerror}; lines are missing in it"
                )

    def _follow_rotation(self) -> None:
        """Opens the file again if its name is that of another one, or of none, by now."""
        # The path may also lead through a file or a directory that cannot be read by now.
        with contextlib.suppress(OSError):
            here, about = os.fstat(self._file), os.stat(self._path)
            if (about.st_dev, about.st_ino) == (here.st_dev, here.st_ino):
                self._has_lost_name = False
                return
        assert self._open_file is not None
        try:
            opened = self._open_file(self._path)
        except OSError as error:
            if not self._has_lost_name:
                self._has_lost_name = True
                warn(
                    f"cannot open the audit file {self._path} again: {error.strerror or error}; lines go to "
                    "the file that had its name before"
                )
            return
        self._has_lost_name = False
        before, self._file = self._file, opened
        with contextlib.suppress(OSError):
            os.close(before)


def _now() -> str:
    now = time.time()
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(now))}.{int(now % 1 * 1000):03d}Z"
