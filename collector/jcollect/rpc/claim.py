"""Claims of addresses: nobody else serves there for as long as one is held.

gRPC takes whatever lies at the path of a Unix socket out of the way, when it begins to listen and when it
ends, and so does everybody who wants to take over what a killed collector has left. A lock file beside the
socket decides who may: it is held from before the first look at the path until the server has ended, and
the kernel lets go of it with its holder, however that ends. gRPC listens under another name, which nobody
else uses; the socket gets its own name when everything about it is settled.

Directories may be other users', who can put links and files in the way: no link of theirs is followed,
nothing but a socket that nobody listens at is removed, and names are looked up in the directory that was
opened once.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import socket
import stat
from typing import Protocol

from jcollect.errors import JcollectError
from jcollect.rpc.address import RUN_DIRECTORY, Address, is_number
from jcollect.rpc.lock_file import NO_LINK, is_named, open_directory, take_lock
from jcollect.unix_sockets import is_held_dead

_LOCK_SUFFIX = ".lock"


class Listener(Protocol):
    """The part of a gRPC server that takes addresses."""

    def add_insecure_port(self, address: str) -> int: ...


class Claim(Protocol):
    """A context manager; leaving it releases the claim."""

    def listen(self, server: Listener) -> Address:
        """Has the server listen there. The address with its port. Raises JcollectError."""
        ...

    def release(self) -> None:
        """Once the server has ended. Doing so twice does nothing."""
        ...

    def __enter__(self) -> Claim: ...
    def __exit__(self, *_: object) -> None: ...


def claim(address: Address, insecure: bool = False) -> Claim:
    """Raises JcollectError if a server cannot listen there, or should not without `insecure`.

    TCP does not authenticate: only a Unix socket is protected, by its mode.
    """
    if address.path is None and not insecure:
        who = "any user of this machine" if address.is_local else "anyone on a machine that can reach it"
        raise JcollectError(
            f"cannot listen at {address.text}: {who} could connect over TCP and read what the probes "
            "capture; listen on a Unix socket, as in unix:///run/jprobe/NAME.sock, which is for its owner "
            "alone, or add --insecure"
        )
    if address.path is None:
        return _PortClaim(address)
    claimed = _SocketClaim(address, address.path)
    with contextlib.suppress(OSError):
        _sweep()
    return claimed


class _PortClaim:
    """The kernel gives a port to one alone, as long as nobody asks it to share (SO_REUSEPORT)."""

    def __init__(self, address: Address) -> None:
        self._address = address
        # gRPC is content with one of a name's addresses, and the others could be another collector's.
        self._places = [place for place in _places(address) if self._is_there(place)]
        if not self._places:
            raise JcollectError(f"cannot listen at {address.text}: this machine has no such address")

    def listen(self, server: Listener) -> Address:
        address = self._address
        port = address.port
        for host in self._places:
            literal = f"[{host}]" if ":" in host else host
            try:
                port = server.add_insecure_port(f"{literal}:{port}")
            except RuntimeError:
                raise self._in_use() from None
        return Address(f"{address.text.rpartition(':')[0]}:{port}", host=address.host, port=port)

    def release(self) -> None:
        """The kernel has done so with the end of the server."""

    def _is_there(self, host: str) -> bool:
        """gRPC logs its own complaint on stderr when it cannot bind, and does not say why: so ask first."""
        address = self._address
        try:
            with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((host, address.port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise self._in_use() from None
            # As of ::1, which is a name of localhost, where IPv6 is turned off.
            if error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                return False
            raise JcollectError(f"cannot listen at {address.text}: {error.strerror}") from None
        return True

    def _in_use(self) -> JcollectError:
        return JcollectError(
            f"cannot listen at {self._address.text}: the address is in use; choose another one with --listen"
        )

    def __enter__(self) -> _PortClaim:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def _places(address: Address) -> list[str]:
    """The numbers of a host. Raises JcollectError."""
    try:
        found = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except OSError as error:
        raise JcollectError(f"cannot listen at {address.text}: {error.strerror}") from None
    return list(dict.fromkeys(str(place[4][0]) for place in found))


class _SocketClaim:
    def __init__(self, address: Address, path: str) -> None:
        self._address = address
        self._folder, self._name = os.path.split(path)
        self._held = contextlib.ExitStack()
        try:
            self._take()
        except BaseException:
            self._held.close()
            raise

    def listen(self, server: Listener) -> Address:
        # Of a length that leaves room for the path in front of it. Nobody has it who has not the lock.
        unfinished = f".{hashlib.sha256(os.fsencode(self._name)).hexdigest()[:16]}.new"
        # 0600 from the first moment on: a chmod afterwards would leave a gap.
        mask = os.umask(0o177)
        try:
            server.add_insecure_port(f"unix:/proc/self/fd/{self._directory}/{unfinished}")
        except RuntimeError:
            raise self._problem("it cannot be made there; choose another place with --listen") from None
        finally:
            os.umask(mask)
        try:
            made = os.open(unfinished, os.O_PATH | NO_LINK, dir_fd=self._directory)
            # While this is open, no other file gets its inode's number.
            self._held.callback(os.close, made)
            # Where a directory has default ACLs, the umask has not counted.
            os.chmod(f"/proc/self/fd/{made}", 0o600)
            # Unlike a renaming, a link never takes the place of what is there.
            os.link(unfinished, self._name, src_dir_fd=self._directory, dst_dir_fd=self._directory)
            self._held.callback(self._remove, self._name, made)
            os.unlink(unfinished, dir_fd=self._directory)
        except OSError as error:
            with contextlib.suppress(OSError):
                os.unlink(unfinished, dir_fd=self._directory)
            raise self._problem(f"{error.strerror}; choose another place with --listen") from None
        return self._address

    def release(self) -> None:
        self._held.close()

    def __enter__(self) -> _SocketClaim:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def _take(self) -> None:
        try:
            self._directory = open_directory(self._folder)
            self._held.callback(os.close, self._directory)
            lock = take_lock(self._directory, self._name + _LOCK_SUFFIX)
        except BlockingIOError:
            raise self._in_use() from None
        except OSError as error:
            where = os.path.join(self._folder, error.filename or "")
            raise self._problem(f"{where}: {error.strerror}; choose another place with --listen") from None
        self._held.callback(os.close, lock)
        self._held.callback(self._remove, self._name + _LOCK_SUFFIX, lock)
        self._clear_the_way()

    def _clear_the_way(self) -> None:
        """Removes the socket of a collector that was killed."""
        try:
            _remove_dead(self._directory, self._name)
        except FileExistsError:
            raise self._problem(
                "there is a file of that name, not a socket; choose another one with --listen"
            ) from None
        except BlockingIOError:
            raise self._in_use() from None
        except OSError as error:
            raise self._problem(f"{error.strerror}; choose another place with --listen") from None

    def _remove(self, name: str, ours: int) -> None:
        """Unless another file has taken its name."""
        with contextlib.suppress(OSError):
            if is_named(self._directory, name, ours):
                os.unlink(name, dir_fd=self._directory)

    def _problem(self, reason: str) -> JcollectError:
        return JcollectError(f"cannot listen at {self._address.text}: {reason}")

    def _in_use(self) -> JcollectError:
        return self._problem(
            "the address is in use by another collector; "
            "subscribe to that one with jcollect observe, or choose another address with --listen"
        )


def _sweep() -> None:
    """Removes what killed collectors have left of processes that are gone as well. Raises OSError."""
    directory = os.open(RUN_DIRECTORY, os.O_RDONLY | os.O_DIRECTORY | NO_LINK)
    try:
        for name in {entry.removesuffix(_LOCK_SUFFIX) for entry in os.listdir(directory)}:
            pid = name.removesuffix(".sock")
            if pid != name and is_number(pid) and not os.path.exists(f"/proc/{pid}"):
                with contextlib.suppress(OSError):
                    _sweep_one(directory, name)
    finally:
        os.close(directory)


def _sweep_one(directory: int, name: str) -> None:
    """Under the lock, so that nobody is about to serve there. Raises OSError."""
    lock = take_lock(directory, name + _LOCK_SUFFIX)
    try:
        _remove_dead(directory, name)
    finally:
        os.unlink(name + _LOCK_SUFFIX, dir_fd=directory)
        os.close(lock)


def _remove_dead(directory: int, name: str) -> None:
    """Removes a socket that nobody listens at, if there is one; for the holder of its lock.

    Raises OSError: BlockingIOError where somebody listens, FileExistsError where it is no socket.
    """
    try:
        entry = os.open(name, os.O_PATH | NO_LINK, dir_fd=directory)
    except FileNotFoundError:
        return
    try:
        if not stat.S_ISSOCK(os.fstat(entry).st_mode):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
        # By its descriptor: its path may be too long by now, or lead elsewhere.
        if not is_held_dead(entry):
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        if is_named(directory, name, entry):
            os.unlink(name, dir_fd=directory)
    finally:
        os.close(entry)
