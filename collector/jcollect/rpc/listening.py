"""Claims an address: no other collector serves at it while the claim is held.

gRPC removes any file at the path of a Unix socket, both when it starts to listen and when it stops. A
collector that takes over from a killed one must remove its socket too. A lock file next to the socket ensures
that only one process does so. It is locked before the path is first inspected, until the server has stopped.
The kernel unlocks it when its holder exits, in any way. gRPC listens under another name, which no other
process uses. The socket gets its own name once its mode is set.

Other users may own the directories and plant links and files there. Links of other users are not followed,
nothing is removed except sockets on which no process listens, and all names are resolved in one open
directory.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from jcollect.errors import NO_FILES, InvalidCommandError, JcollectError, lacks_files
from jcollect.rpc.address import Address, bound_name, numbered, pid_in
from jcollect.rpc.callers import GROUP_SOCKET, INSECURE_PORT, PRIVATE_SOCKET, TLS_PORT, Door
from jcollect.rpc.lock_file import NO_LINK, is_named, take_lock
from jcollect.rpc.run_directory import open_to_read, open_to_serve, run_directories
from jcollect.rpc.socket_group import SocketGroup
from jcollect.unix_sockets import is_descriptor_dead

if TYPE_CHECKING:
    from jcollect.rpc.server_tls import ServerTls

_LOCK_SUFFIX = ".lock"
_WITH_TLS = "add --tls-cert, --tls-key and --tls-client-ca, "
# Maximum number of collectors with the same default address.
_MOST_NUMBER = 99


class AddressInUseError(JcollectError):
    """Another collector serves at the address."""


class _ForeignError(AddressInUseError):
    """A file of another user has the name of the socket or of its lock file."""


class Listener(Protocol):
    """The method of a server that adds an address."""

    def add_insecure_port(self, address: str) -> int: ...


@runtime_checkable
class SecureListener(Listener, Protocol):
    """A server that can use TLS."""

    def add_secure_port(self, address: str, server_credentials: Any) -> int: ...


class Claim(Protocol):
    """A claimed address; leaving the context releases it."""

    @property
    def address(self) -> Address: ...

    @property
    def door(self) -> Door:
        """How clients connect, which decides about their rights."""
        ...

    def listen(self, server: Listener) -> Address:
        """Makes the server listen; returns the address with its port. Raises JcollectError."""
        ...

    def release(self) -> None:
        """Releases the claim, after the server has stopped. A second call does nothing."""
        ...

    def __enter__(self) -> Claim: ...
    def __exit__(self, *_: object) -> None: ...


def claim(
    address: Address,
    insecure: bool = False,
    tls: ServerTls | None = None,
    group: SocketGroup | None = None,
    option: str = "--listen",
    readable: str = "what the probes capture",
) -> Claim:
    """Claims an address. Raises JcollectError if a server cannot listen at it, or if it is a TCP address
    without `tls` and not `insecure`. `option` is the one that chooses the address, and `readable` what
    clients can read.

    TCP alone has no access control. A Unix socket is protected by its mode, which lets only its owner
    connect, and with a `group` the members of that too."""
    if address.path is None and group is not None:
        raise InvalidCommandError(
            f"cannot listen at {address.text} with --group: only a Unix socket has a group; use --tls-cert, "
            "--tls-key and --tls-client-ca for TCP"
        )
    if address.path is None and not insecure and tls is None:
        who = "any user of this machine" if address.is_local else "any user of a machine that can reach it"
        raise InvalidCommandError(
            f"cannot listen at {address.text}: {who} could connect over TCP and read {readable}; use a Unix "
            "socket, as in unix:///run/jprobe/NAME.sock, which only its owner can use, "
            f"{_WITH_TLS if option == '--listen' else ''}or add --insecure"
        )
    if address.path is None:
        return _PortClaim(address, tls, option)
    claimed = _SocketClaim(address, address.path, group, option)
    for directory in run_directories():
        with contextlib.suppress(OSError):
            _remove_stale_sockets(directory)
    return claimed


def claim_default(address: Address, group: SocketGroup | None = None) -> Claim:
    """Claims a default address, or a numbered one beside it if another collector serves there or a file of
    another user has its name: each trace of a process can have its own collector. Raises JcollectError."""
    first: JcollectError | None = None
    for number in range(1, _MOST_NUMBER + 1):
        try:
            return claim(numbered(address, number), group=group)
        except AddressInUseError as error:
            first = first or error
    assert first is not None
    raise first


class _PortClaim:
    """Relies on the kernel, which lets only one process listen on a port without SO_REUSEPORT."""

    def __init__(self, address: Address, tls: ServerTls | None, option: str) -> None:
        self.address = address
        self.door = INSECURE_PORT if tls is None else TLS_PORT
        self._credentials = None if tls is None else tls.credentials()
        self._option = option
        # gRPC would be satisfied with one IP address of a name, while another collector has the others.
        self._hosts = [host for host in _resolve(address) if self._can_bind(host)]
        if not self._hosts:
            raise JcollectError(f"cannot listen at {address.text}: this machine has no such address")

    def listen(self, server: Listener) -> Address:
        address = self.address
        port = address.port
        for host in self._hosts:
            literal = f"[{host}]" if ":" in host else host
            try:
                if self._credentials is None:
                    port = server.add_insecure_port(f"{literal}:{port}")
                else:
                    assert isinstance(server, SecureListener)
                    port = server.add_secure_port(f"{literal}:{port}", self._credentials)
            except RuntimeError:
                raise self._in_use() from None
        return Address(f"{address.text.rpartition(':')[0]}:{port}", host=address.host, port=port)

    def release(self) -> None:
        """Does nothing: the kernel released the port when the server stopped."""

    def _can_bind(self, host: str) -> bool:
        """Returns false if this machine has no such address; raises JcollectError if the port is in use. gRPC
        itself would log to stderr, and not report the reason."""
        address = self.address
        try:
            with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((host, address.port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise self._in_use() from None
            # The machine lacks ::1, an address of localhost, if IPv6 is turned off.
            if error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                return False
            raise JcollectError(f"cannot listen at {address.text}: {error.strerror}") from None
        return True

    def _in_use(self) -> JcollectError:
        return JcollectError(
            f"cannot listen at {self.address.text}: the address is in use; choose another one with "
            f"{self._option}"
        )

    def __enter__(self) -> _PortClaim:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def _resolve(address: Address) -> list[str]:
    """Returns the IP addresses of a host. Raises JcollectError."""
    try:
        found = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except OSError as error:
        raise JcollectError(f"cannot listen at {address.text}: {error.strerror}") from None
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class _SocketClaim:
    """Holds the lock file of a Unix socket."""

    def __init__(self, address: Address, path: str, group: SocketGroup | None, option: str) -> None:
        self.address = address
        self.door = PRIVATE_SOCKET if group is None else GROUP_SOCKET
        self._group = group
        self._option = option
        self._folder, self._name = os.path.split(path)
        self._held = contextlib.ExitStack()
        try:
            self._take()
        except BaseException:
            self._held.close()
            raise

    def listen(self, server: Listener) -> Address:
        # A short name, so that the path fits into a socket address. Only the holder of the lock uses it.
        unfinished = bound_name(self._name)
        # Create the socket with mode 0600; a later chmod would leave a window in which others could connect.
        mask = os.umask(0o177)
        try:
            with self._group.creating() if self._group else contextlib.nullcontext():
                server.add_insecure_port(f"unix:/proc/self/fd/{self._directory}/{unfinished}")
        except RuntimeError:
            reason = self._why_not_bound(unfinished)
            raise self._problem(
                f"no socket can be created in {self._folder}{reason}; choose another path with {self._option}"
            ) from None
        finally:
            os.umask(mask)
        try:
            made = os.open(unfinished, os.O_PATH | NO_LINK, dir_fd=self._directory)
            # While this descriptor is open, no other file gets its inode number.
            self._held.callback(os.close, made)
            # The umask has no effect in a directory with default ACLs.
            os.chmod(f"/proc/self/fd/{made}", 0o600)
            if self._group is not None:
                self._group.admit(made)
            # Unlike rename, link never replaces an existing file.
            os.link(unfinished, self._name, src_dir_fd=self._directory, dst_dir_fd=self._directory)
            self._held.callback(self._remove, self._name, made)
            os.unlink(unfinished, dir_fd=self._directory)
        except OSError as error:
            with contextlib.suppress(OSError):
                os.unlink(unfinished, dir_fd=self._directory)
            raise self._problem(_reason(error, self._option)) from None
        return self.address

    def _why_not_bound(self, name: str) -> str:
        """Returns the reason why no socket can be bound to a name: gRPC reports none."""
        try:
            with socket.socket(socket.AF_UNIX) as attempt:
                attempt.bind(f"/proc/self/fd/{self._directory}/{name}")
            os.unlink(name, dir_fd=self._directory)
        except OSError as error:
            return f": {error.strerror}"
        return ""

    def release(self) -> None:
        self._held.close()

    def __enter__(self) -> _SocketClaim:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def _take(self) -> None:
        try:
            self._directory = open_to_serve(self._folder)
            self._held.callback(os.close, self._directory)
            if self._group is not None:
                self._group.admit_to_directory(self._directory, self._folder)
            lock = take_lock(self._directory, self._name + _LOCK_SUFFIX)
        except BlockingIOError:
            raise self._in_use() from None
        except OSError as error:
            where = os.path.join(self._folder, error.filename or "")
            if error.errno == errno.ENOENT and not os.path.isdir(self._folder):
                raise self._problem(
                    f"the directory {self._folder} does not exist; create it, or choose another path with "
                    f"{self._option}"
                ) from None
            problem = self._problem(_reason(error, self._option, f"{where}: "))
            raise (_ForeignError(problem.message) if error.errno == errno.EPERM else problem) from None
        self._held.callback(os.close, lock)
        self._held.callback(self._remove, self._name + _LOCK_SUFFIX, lock)
        self._remove_stale_socket()

    def _remove_stale_socket(self) -> None:
        """Removes the socket of a killed collector. Raises JcollectError if the path is in use."""
        try:
            _remove_dead(self._directory, self._name)
        except FileExistsError:
            raise self._problem(
                f"the path is that of another file, not a socket; choose another path with {self._option}"
            ) from None
        except BlockingIOError:
            raise self._in_use() from None
        except OSError as error:
            raise self._problem(_reason(error, self._option)) from None

    def _remove(self, name: str, descriptor: int) -> None:
        """Removes the file of a descriptor unless another file has its name."""
        with contextlib.suppress(OSError):
            if is_named(self._directory, name, descriptor):
                os.unlink(name, dir_fd=self._directory)

    def _problem(self, reason: str) -> JcollectError:
        return JcollectError(f"cannot listen at {self.address.text}: {reason}")

    def _in_use(self) -> JcollectError:
        # At other addresses no stream is served.
        use = "use that collector with jcollect observe, or " if self._option == "--listen" else ""
        return AddressInUseError(
            f"cannot listen at {self.address.text}: the address is in use by another collector; {use}"
            f"choose another address with {self._option}"
        )


def _reason(error: OSError, option: str, where: str = "") -> str:
    if lacks_files(error):
        return NO_FILES
    return f"{where}{error.strerror}; choose another path with {option}"


def _remove_stale_sockets(path: str) -> None:
    """Removes sockets and locks of killed collectors whose processes have exited too. Raises OSError."""
    directory = open_to_read(path)
    try:
        for name in {entry.removesuffix(_LOCK_SUFFIX) for entry in os.listdir(directory)}:
            pid = pid_in(name)
            if pid and not os.path.exists(f"/proc/{pid}"):
                with contextlib.suppress(OSError):
                    _remove_stale(directory, name)
    finally:
        os.close(directory)


def _remove_stale(directory: int, name: str) -> None:
    """Removes a socket and its lock, if no collector is about to use them. Raises OSError."""
    lock = take_lock(directory, name + _LOCK_SUFFIX)
    try:
        _remove_dead(directory, name)
    finally:
        os.unlink(name + _LOCK_SUFFIX, dir_fd=directory)
        os.close(lock)


def _remove_dead(directory: int, name: str) -> None:
    """Removes a socket on which no process listens, if there is one. The caller holds its lock.

    Raises OSError: BlockingIOError if a process listens, FileExistsError if it is not a socket.
    """
    try:
        entry = os.open(name, os.O_PATH | NO_LINK, dir_fd=directory)
    except FileNotFoundError:
        return
    try:
        if not stat.S_ISSOCK(os.fstat(entry).st_mode):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
        # Use the descriptor: the path can be too long, or resolve to another file by now.
        if not is_descriptor_dead(entry):
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        if is_named(directory, name, entry):
            os.unlink(name, dir_fd=directory)
    finally:
        os.close(entry)
