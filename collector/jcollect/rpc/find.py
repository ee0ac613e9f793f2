"""Finds the collectors of this machine by their sockets."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path

from jcollect.errors import JcollectError
from jcollect.rpc.address import RUN_DIRECTORY, Address, default_address, is_number, parse_address, pid_of
from jcollect.rpc.announcement import announced_addresses
from jcollect.rpc.client import Client, SilentError
from jcollect.unix_sockets import is_dead
from jprobe.v1 import collector_pb2


@dataclass(frozen=True)
class CollectorAddress:
    """A collector, and the processes that the user asks about; `pids` is empty for all of them."""

    address: Address
    pids: tuple[int, ...] = ()


def find_collector(text: str) -> CollectorAddress:
    """Finds a collector by its address, or by a PID that it is attached to. Raises JcollectError."""
    if not is_number(text):
        return CollectorAddress(parse_address(text))
    pid = int(text)
    own = default_address(pid)
    assert own.path is not None
    if not _is_served(own.path):
        answers = ask_collectors()
        for each in answers:
            if each.is_attached_to(pid):
                return CollectorAddress(each.address, (pid,))
        for each in answers:
            # A collector at the default address of another process is attached only to that one.
            if each.silence is not None and not pid_of(each.address):
                raise SilentError(f"{each.silence.message}; it may be attached to PID {pid}")
    # If there is no collector, connecting to this address reports that.
    return CollectorAddress(own)


def _is_served(path: str) -> bool:
    try:
        return not is_dead(path)
    except BlockingIOError:
        return True  # It accepts no more connections for now.
    except OSError:
        return False  # There is no such socket, or no permission to use it.


@dataclass(frozen=True)
class Answer:
    """The status of a collector without its probes, or the error if it does not answer."""

    address: Address
    status: collector_pb2.GetStatusResponse | None = None
    silence: SilentError | None = None

    def is_attached_to(self, pid: int) -> bool:
        """Returns true if the collector reports that it is attached to a process."""
        return self.status is not None and any(process.pid == pid for process in self.status.processes)


def ask_collectors() -> list[Answer]:
    """Asks all collectors with a socket or an announcement in the default directory, concurrently. Raises
    JcollectError."""
    answers = []
    with contextlib.ExitStack() as clients:
        asked = []
        sockets = [parse_address(f"unix://{path}") for path in sorted(Path(RUN_DIRECTORY).glob("*.sock"))]
        for address in [*sockets, *announced_addresses()]:
            client = clients.enter_context(Client(address))
            asked.append((address, client.begin_status(summary_only=True)))
        for address, status in asked:
            try:
                answers.append(Answer(address, status()))
            except SilentError as silence:
                answers.append(Answer(address, silence=silence))
            except JcollectError:
                continue  # No process listens there any more, or it is not a collector.
    return answers
