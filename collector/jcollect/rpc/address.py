"""Addresses of collectors: unix:///run/jprobe/4711.sock, host:port, or a bare PID for the former."""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote

from jcollect.errors import JcollectError

RUN_DIRECTORY = "/run/jprobe"

# sockaddr_un.sun_path, without its NUL: unix(7).
MAX_SOCKET_PATH = 107
_MAX_DIGITS = 10
_MAX_PORT = 65535


@dataclass(frozen=True)
class Address:
    """`path` of a Unix socket, to the byte, or `host` and `port`; `text` as the user writes it."""

    text: str
    path: str | None = None
    host: str = ""
    port: int = 0

    @property
    def is_local(self) -> bool:
        """Returns true if only processes of this machine can connect; over TCP, that includes those of any
        user."""
        if self.path is not None or self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def target(self) -> str:
        """The same for gRPC, which takes a URI and decodes what is escaped in it."""
        return self.text if self.path is None else f"unix:{quote(os.fsencode(self.path))}"

    def leads_here(self) -> bool:
        """Whether a client that connects to it stays on this machine. Asks the resolver."""
        if self.path is not None:
            return True
        try:
            found = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
        except OSError:
            return False
        return any(_is_here(str(place[4][0])) for place in found)


def _is_here(host: str) -> bool:
    address = ipaddress.ip_address(host)
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    # Connecting to no address in particular is connecting to this machine.
    return address.is_loopback or address.is_unspecified


def default_address(pid: int) -> Address:
    """Of the collector of one process alone."""
    return parse_address(f"unix://{RUN_DIRECTORY}/{pid}.sock")


def pid_of(address: Address) -> int:
    """The process whose default address it is; 0 for none."""
    directory, _, name = (address.path or "").rpartition("/")
    pid = name.removesuffix(".sock")
    return int(pid) if directory == RUN_DIRECTORY and is_number(pid) else 0


def is_number(text: str) -> bool:
    """Returns true for what can be a PID or a port: a few of the digits 0 to 9, and of no other script."""
    return text.isascii() and text.isdecimal() and len(text) <= _MAX_DIGITS


def collector_address(pids: Sequence[int], is_open: bool) -> Address:
    """Where `jcollect attach` serves unless told otherwise: by the PID where there is one alone."""
    if len(pids) == 1 and not is_open:
        return default_address(pids[0])
    return parse_address(f"unix://{RUN_DIRECTORY}/collector.sock")


def parse_address(text: str) -> Address:
    """Raises JcollectError."""
    if is_number(text):
        return default_address(int(text))
    if text.startswith("unix:"):
        path = text.removeprefix("unix:").removeprefix("//")
        if not path.startswith("/"):
            raise JcollectError(
                f"'{text}' is no address: a socket's path is absolute; write it as in unix:///run/x.sock"
            )
        if os.path.basename(path) in ("", ".", ".."):
            raise JcollectError(
                f"'{text}' is no address: it names a directory; add the socket's name as in unix:///run/x.sock"
            )
        if len(os.fsencode(path)) > MAX_SOCKET_PATH:
            raise JcollectError(
                f"'{text}' is too long for a Unix socket, whose path has at most {MAX_SOCKET_PATH} bytes; "
                "choose a shorter one"
            )
        return Address(f"unix://{path}", path=path)
    host, colon, port = text.rpartition(":")
    if not colon or not is_number(port) or int(port) > _MAX_PORT or not host:
        raise JcollectError(
            f"'{text}' is no address: give a PID, unix:///path/of.sock, or host:port as in 127.0.0.1:50051"
        )
    return Address(text, host=host.strip("[]"), port=int(port))
