"""Writes the file of `jcollect attach --counts`."""

from __future__ import annotations

import os

from jcollect.cli.output import Json, json_bytes
from jcollect.cli.written_file import open_to_write
from jcollect.errors import JcollectError
from jcollect.workers import Failures, Worker
from jprobe.v1 import collector_pb2

_SECONDS = 5.0


def check_can_write(file: str) -> None:
    """Raises JcollectError if the file cannot be written. Does not create it."""
    path = file if os.path.exists(file) else os.path.dirname(file) or "."
    if not os.access(path, os.W_OK):
        raise JcollectError(
            f"cannot write the hit counts to {file}: {path} does not exist, or is not writable"
        )


def write_counts(file: str, status: collector_pb2.GetStatusResponse, json: Json) -> None:
    """Writes the JSON that `jcollect status --json` prints. Raises JcollectError."""
    what = f"write the hit counts to {file}"
    failures = Failures()

    def write() -> None:
        with open(open_to_write(file), "wb") as stream:
            stream.write(json_bytes(json.message(status)) + b"\n")

    # Writing blocks on a pipe without a reader, and on a network file system without a server.
    if not Worker(what, write, failures).start().join(_SECONDS):
        raise JcollectError(f"cannot {what}: timed out after {_SECONDS:.0f} s")
    failures.check()
