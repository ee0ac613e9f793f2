"""Addresses of collectors: unix:///run/jprobe/4711.sock, host:port, or a PID, which stands for the socket."""

from __future__ import annotations

import hashlib
import ipaddress
import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote

from jcollect.errors import InvalidCommandError
from jcollect.rpc import run_directory

# sockaddr_un.sun_path, without its NUL: unix(7).
MAX_SOCKET_PATH = 107
_MAX_DIGITS = 10
_MAX_PORT = 65535


@dataclass(frozen=True)
class Address:
    """Either the exact `path` of a Unix socket, or `host` and `port`. `text` is the user's spelling."""

    text: str
    path: str | None = None
    host: str = ""
    port: int = 0

    @property
    def is_local(self) -> bool:
        """True if only processes of this machine can connect, which over TCP includes all users."""
        if self.path is not None or self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def target(self) -> str:
        """The address for gRPC, which needs a URI and decodes percent-escapes in it."""
        return self.text if self.path is None else f"unix:{quote(os.fsencode(self.path))}"

    def is_on_this_machine(self) -> bool:
        """Returns true if the address belongs to this machine. Asks the resolver."""
        if self.path is not None:
            return True
        try:
            found = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
        except OSError:
            return False
        return any(_is_own_host(str(entry[4][0])) for entry in found)


def _is_own_host(host: str) -> bool:
    address = ipaddress.ip_address(host)
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    # Connecting to the unspecified address connects to this machine.
    return address.is_loopback or address.is_unspecified


def default_address(pid: int, directory: str | None = None) -> Address:
    """Returns the address of a collector that is attached to only one process. The directory is by default
    root's."""
    return parse_address(f"unix://{directory or run_directory.RUN_DIRECTORY}/{pid}.sock")


def pid_of(address: Address) -> int:
    """Returns the PID of the process whose default address this is, or one beside it; 0 if there is none."""
    directory, _, name = (address.path or "").rpartition("/")
    return pid_in(name) if directory in run_directory.run_directories() else 0


def pid_in(name: str) -> int:
    """Returns the PID in the name of a socket, "4711.sock" or "4711-2.sock"; 0 if there is none."""
    pid, hyphen, number = name.removesuffix(".sock").partition("-")
    is_default = name.endswith(".sock") and is_number(pid) and (is_number(number) if hyphen else True)
    return int(pid) if is_default else 0


def numbered(address: Address, number: int) -> Address:
    """Returns the address of the collector with that number among those with the same default address:
    4711.sock, 4711-2.sock, 4711-3.sock."""
    return address if number == 1 else parse_address(f"{address.text.removesuffix('.sock')}-{number}.sock")


def bound_name(name: str) -> str:
    """Returns the name to which a collector binds a socket before it gives it its own name. It is short, so
    that the path fits into a socket address, and /proc/net/unix shows it."""
    return f".{hashlib.sha256(os.fsencode(name)).hexdigest()[:16]}.new"


def is_number(text: str) -> bool:
    """Returns true for text that can be a PID or a port: at most ten ASCII digits."""
    return text.isascii() and text.isdecimal() and len(text) <= _MAX_DIGITS


def collector_address(pids: Sequence[int], is_open: bool, directory: str) -> Address:
    """Returns the default address of `jcollect attach` in a directory. It contains the PID if there is only
    one."""
    if len(pids) == 1 and not is_open:
        return default_address(pids[0], directory)
    return parse_address(f"unix://{directory}/collector.sock")


def parse_address(text: str) -> Address:
    """Parses a PID, a unix: URI or host:port. Raises InvalidCommandError."""
    if is_number(text):
        return default_address(int(text))
    if text.startswith("unix:"):
        path = text.removeprefix("unix:").removeprefix("//")
        if not path.startswith("/"):
            raise InvalidCommandError(
                f"'{text}' is not an address: the path of a socket must be absolute, as in unix:///run/x.sock"
            )
        if os.path.basename(path) in ("", ".", ".."):
            raise InvalidCommandError(
                f"'{text}' is not an address: it names a directory; add a file name, as in unix:///run/x.sock"
            )
        if len(os.fsencode(path)) > MAX_SOCKET_PATH:
            raise InvalidCommandError(
                f"'{text}' is too long for a Unix socket, whose path can have {MAX_SOCKET_PATH} bytes; "
                "choose a shorter path"
            )
        return Address(f"unix://{path}", path=path)
    host, colon, port = text.rpartition(":")
    if not colon or not is_number(port) or int(port) > _MAX_PORT or not host:
        raise InvalidCommandError(
            f"'{text}' is not an address: use a PID, unix:///path/of.sock, or "
            "host:port, as in 127.0.0.1:50051"
        )
    return Address(text, host=host.strip("[]"), port=int(port))
