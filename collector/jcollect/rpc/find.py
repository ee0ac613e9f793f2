"""Finds the collectors of this machine, by their sockets."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path

from jcollect.errors import JcollectError
from jcollect.rpc.address import RUN_DIRECTORY, Address, default_address, is_number, parse_address, pid_of
from jcollect.rpc.client import Client, SilentError
from jcollect.unix_sockets import is_dead
from jprobe.v1 import collector_pb2


@dataclass(frozen=True)
class Place:
    """Where to ask, and of which processes: `pids` is empty for all that are there."""

    address: Address
    pids: tuple[int, ...] = ()


def find_place(text: str) -> Place:
    """What the user calls a collector: an address, or a PID that one is attached to. Raises JcollectError."""
    if not is_number(text):
        return Place(parse_address(text))
    pid = int(text)
    own = default_address(pid)
    assert own.path is not None
    if not _is_served(own.path):
        answers = ask_collectors()
        for each in answers:
            if each.is_attached_to(pid):
                return Place(each.address, (pid,))
        for each in answers:
            # One at the address of another process is that one's alone.
            if each.silence is not None and not pid_of(each.address):
                raise SilentError(f"{each.silence.message}; whether it is attached to PID {pid} is not known")
    # Where there is none, whoever asks there is told that nobody listens.
    return Place(own)


def _is_served(path: str) -> bool:
    try:
        return not is_dead(path)
    except BlockingIOError:
        return True  # It takes no more connections for now.
    except OSError:
        return False  # There is no such socket, or it is not for us.


@dataclass(frozen=True)
class Answer:
    """What a collector says of itself in summary, or that it says nothing."""

    address: Address
    status: collector_pb2.GetStatusResponse | None = None
    silence: SilentError | None = None

    def is_attached_to(self, pid: int) -> bool:
        """As far as it says."""
        return self.status is not None and any(process.pid == pid for process in self.status.processes)


def ask_collectors() -> list[Answer]:
    """Those that serve at a socket in the usual directory, all asked at a time. Raises JcollectError."""
    answers = []
    with contextlib.ExitStack() as clients:
        asked = []
        for path in sorted(Path(RUN_DIRECTORY).glob("*.sock")):
            address = parse_address(f"unix://{path}")
            client = clients.enter_context(Client(address))
            asked.append((address, client.begin_status(summary_only=True)))
        for address, status in asked:
            try:
                answers.append(Answer(address, status()))
            except SilentError as silence:
                answers.append(Answer(address, silence=silence))
            except JcollectError:
                continue  # Nobody listens there any more, or it is no collector.
    return answers
