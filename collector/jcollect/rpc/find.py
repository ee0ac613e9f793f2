"""Finds the collectors of this machine by their sockets."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from jcollect.console import warn
from jcollect.errors import JcollectError
from jcollect.procfs.process import Process
from jcollect.rpc.address import (
    Address,
    bound_name,
    is_number,
    parse_address,
    pid_of,
)
from jcollect.rpc.announcement import announced_addresses
from jcollect.rpc.client import Client, SilentError
from jcollect.rpc.client_access import NO_ACCESS, ClientAccess
from jcollect.rpc.run_directory import RUN_DIRECTORY, run_directories
from jcollect.unix_sockets import bound_paths, is_dead
from jprobe.v1 import collector_pb2


@dataclass(frozen=True)
class CollectorAddress:
    """A collector, and the processes that the user asks about; `pids` is empty for all of them."""

    address: Address
    pids: tuple[int, ...] = ()
    access: ClientAccess = NO_ACCESS


def find_collector(text: str, access: ClientAccess = NO_ACCESS) -> CollectorAddress:
    """Finds a collector by its address, or by a PID that it is attached to. Raises JcollectError, which
    names the choices if there are several."""
    if not is_number(text):
        return CollectorAddress(parse_address(text), access=access)
    found = collector_of(int(text), access)
    if found is None:
        raise _no_collector(int(text))
    return replace(found, access=access)


def collector_of(pid: int, access: ClientAccess = NO_ACCESS) -> CollectorAddress | None:
    """Returns the collector that is attached to a process; None if there is none. One that is attached to no
    other process precedes those that are, and one that serves in root's directory precedes this user's own.
    Raises JcollectError if there are several, or if one that may be attached does not answer.

    Skips sockets of users other than root and this one: they could pretend to be attached. Their collectors
    have to be named by their addresses.
    """
    problem: JcollectError | None = None
    unusable: CollectorAddress | None = None
    for directory in run_directories():
        try:
            found = _collector_in(directory, pid, access)
        except JcollectError as error:
            problem = problem or error
            continue
        if found is not None and _may_connect(found.address):
            return found
        unusable = unusable or found
    if problem is not None and unusable is None:
        raise problem
    return unusable


def _may_connect(address: Address) -> bool:
    return address.path is None or os.access(address.path, os.W_OK, effective_ids=True)


def _collector_in(directory: str, pid: int, access: ClientAccess) -> CollectorAddress | None:
    """Does what `collector_of` does, for the sockets in one directory."""
    found = _sockets(directory, pid)
    served = [address for address in found if _is_trusted(address) and _is_served(address)]
    own = [address for address in served if pid_of(address) == pid]
    if len(own) == 1:
        return CollectorAddress(own[0])
    others = [address for address in served if not pid_of(address)]
    return _asked(own, pid, (), access) or _asked(others, pid, (pid,), access)


def _asked(
    addresses: Sequence[Address], pid: int, pids: tuple[int, ...], access: ClientAccess
) -> CollectorAddress | None:
    """Asks collectors which of them is attached to a process."""
    answers = ask_collectors(addresses, access)
    attached = [each for each in answers if each.is_attached_to(pid)]
    silent = [each.silence for each in answers if each.silence is not None]
    if len(attached) > 1:
        choices = ", ".join(each.address.text for each in attached)
        raise JcollectError(
            f"{len(attached)} collectors are attached to PID {pid}: {choices}; give the address of one "
            "instead of the PID"
        )
    for silence in silent:
        message = f"{silence.message}; it may be attached to PID {pid}"
        if not attached:
            raise SilentError(message)
        warn(message)
    return CollectorAddress(attached[0].address, pids) if attached else None


def _no_collector(pid: int) -> JcollectError:
    """Returns why there is no collector: there may be no such process."""
    try:
        Process.open(pid).close()
    except JcollectError as error:
        return error
    hidden = "" if _may_list(RUN_DIRECTORY) else "; use sudo to see those of root"
    return JcollectError(
        f"no collector is attached to PID {pid}; start one with jcollect attach {pid}{hidden}"
    )


def _may_list(directory: str) -> bool:
    return not os.path.isdir(directory) or os.access(directory, os.R_OK | os.X_OK, effective_ids=True)


def _sockets(directory: str, pid: int = 0) -> list[Address]:
    """Returns the addresses of the sockets in a default directory. If this user may not list it, as a
    member of --group, returns those that it would have for a process and for several; none if there are
    none."""
    try:
        paths = sorted(Path(directory).iterdir(), key=lambda path: (len(path.name), path.name))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except PermissionError:
        named = [f"{directory}/{name}.sock" for name in (pid, "collector")]
        paths = [Path(path) for path in named if pid and os.path.lexists(path)]
    return [parse_address(f"unix://{path}") for path in paths if path.suffix == ".sock"]


def _is_trusted(address: Address) -> bool:
    assert address.path is not None
    try:
        return os.lstat(address.path).st_uid in (0, os.geteuid())
    except OSError:
        return False  # There is no such socket any more.


def _is_served(address: Address) -> bool:
    assert address.path is not None
    try:
        return not is_dead(address.path)
    except BlockingIOError:
        return True  # It accepts no more connections for now.
    except PermissionError:
        # The socket is another user's. A killed collector has left it if no process has bound it.
        return _is_bound(address.path)
    except OSError:
        return False  # There is no such socket any more.


def _is_bound(path: str) -> bool:
    """Returns false if no process has bound the socket, as far as this network namespace shows."""
    name = f"/{bound_name(os.path.basename(path))}"
    try:
        return any(bound.endswith(name) for bound in bound_paths())
    except OSError:
        return True


@dataclass(frozen=True)
class Answer:
    """The status of a collector, or the error if it does not answer."""

    address: Address
    status: collector_pb2.GetStatusResponse | None = None
    silence: SilentError | None = None

    def is_attached_to(self, pid: int) -> bool:
        """Returns true if the collector reports that it is attached to a process, or has been started for
        this one only."""
        if self.status is None:
            return False
        return pid_of(self.address) == pid or any(process.pid == pid for process in self.status.processes)


def ask_collectors(
    addresses: Sequence[Address] | None = None, access: ClientAccess = NO_ACCESS
) -> list[Answer]:
    """Asks collectors concurrently; without `addresses`, all with a socket or an announcement in the default
    directories. Raises JcollectError."""
    with asking_collectors(
        lambda client: client.begin_status(summary_only=True), addresses, access
    ) as answers:
        return answers()


@contextlib.contextmanager
def asking_collectors(
    begin: Callable[[Client], Callable[[], collector_pb2.GetStatusResponse]],
    addresses: Sequence[Address] | None = None,
    access: ClientAccess = NO_ACCESS,
) -> Iterator[Callable[[], list[Answer]]]:
    """Asks collectors for what `begin` asks one, as `ask_collectors` does. The function that it yields waits
    for the answers. Raises JcollectError."""
    if addresses is None:
        addresses = announced_addresses()
        for directory in reversed(run_directories()):
            addresses = [*filter(_is_served, _sockets(directory)), *addresses]
    with contextlib.ExitStack() as clients:
        asked = [
            (address, begin(clients.enter_context(Client(address, access.for_address(address)))))
            for address in addresses
        ]

        def answers() -> list[Answer]:
            found = []
            for address, status in asked:
                try:
                    found.append(Answer(address, status()))
                except SilentError as silence:
                    found.append(Answer(address, silence=silence))
                except JcollectError:
                    continue  # No process listens there any more, or it is not a collector.
            return found

        yield answers
