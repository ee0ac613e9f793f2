"""Addresses of collectors: unix:///run/jprobe/4711.sock, host:port, or a bare PID for the former."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

from jcollect.errors import JcollectError

RUN_DIRECTORY = "/run/jprobe"


@dataclass(frozen=True)
class Address:
    """`path` of a Unix socket, or `host` and `port`; `text` as gRPC and the user write it."""

    text: str
    path: str | None = None
    host: str = ""
    port: int = 0

    @property
    def is_local(self) -> bool:
        """Whether only processes of this machine can connect."""
        if self.path is not None or self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


def default_address(pid: int) -> Address:
    """Of the collector of one process alone."""
    return parse_address(f"unix://{RUN_DIRECTORY}/{pid}.sock")


def collector_address(pids: Sequence[int], is_open: bool) -> Address:
    """Where `jcollect attach` serves unless told otherwise: by the PID where there is one alone."""
    if len(pids) == 1 and not is_open:
        return default_address(pids[0])
    return parse_address(f"unix://{RUN_DIRECTORY}/collector.sock")


def parse_address(text: str) -> Address:
    """Raises JcollectError."""
    if text.isdigit():
        return default_address(int(text))
    if text.startswith("unix:"):
        path = text.removeprefix("unix:").removeprefix("//")
        if not path.startswith("/"):
            raise JcollectError(f"'{text}' is no address: write the socket's path as in unix:///run/x.sock")
        # sockaddr_un.sun_path, with its NUL: unix(7).
        if len(path.encode()) > 107:
            raise JcollectError(f"'{text}' is too long for a Unix socket, whose path has at most 107 bytes")
        return Address(f"unix://{path}", path=path)
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdigit() or int(port) > 65535 or not host:
        raise JcollectError(
            f"'{text}' is no address: give a PID, unix:///path/of.sock, or host:port as in 127.0.0.1:50051"
        )
    return Address(text, host=host.strip("[]"), port=int(port))
