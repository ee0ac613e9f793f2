"""Finds the collectors of this machine, by their sockets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from jcollect.errors import JcollectError
from jcollect.rpc.address import RUN_DIRECTORY, Address, default_address, parse_address
from jcollect.rpc.client import Client
from jcollect.unix_sockets import is_dead
from jprobe.v1 import collector_pb2

# Who does not answer within this time is passed over.
_SECONDS = 5.0


@dataclass(frozen=True)
class Place:
    """Where to ask, and of which processes: `pids` is empty for all that are there."""

    address: Address
    pids: tuple[int, ...] = ()


def find_place(text: str) -> Place:
    """What the user calls a collector: an address, or a PID that one is attached to. Raises JcollectError."""
    if not text.isdigit():
        return Place(parse_address(text))
    pid = int(text)
    own = default_address(pid)
    assert own.path is not None
    if not _is_served(own.path):
        for address, _ in collectors_of(pid):
            return Place(address, (pid,))
    # Where there is none, whoever asks there is told that nobody listens.
    return Place(own)


def _is_served(path: str) -> bool:
    try:
        return not is_dead(path)
    except OSError:
        return False  # There is no such socket, or it is not for us.


def collectors_of(pid: int) -> Iterator[tuple[Address, collector_pb2.GetStatusResponse]]:
    """Those that are attached to a process, with a summary of what they do."""
    for address, status in collectors():
        if any(process.pid == pid for process in status.processes):
            yield address, status


def collectors() -> Iterator[tuple[Address, collector_pb2.GetStatusResponse]]:
    """Those that serve at a socket in the usual directory, with a summary of what they do."""
    for path in sorted(Path(RUN_DIRECTORY).glob("*.sock")):
        address = parse_address(f"unix://{path}")
        try:
            with Client(address) as client:
                yield address, client.status(summary_only=True, seconds=_SECONDS)
        except JcollectError:
            continue
