"""The settings of an export. Imports nothing that is slow to import."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from jcollect.errors import InvalidCommandError, explain

_DEFAULT_PORT = 4317
_MOST_TEXT = 2048
_MOST_HEADERS = 32
_MOST_VALUE_BYTES = 8 << 10
_NAME = re.compile(r"[0-9a-z_.-]{1,128}")
# Visible ASCII, and spaces between: what gRPC sends unencoded.
_VALUE = re.compile(r"[!-~]([ -~]*[!-~])?")
_NANOS = {"ns": 1, "us": 1_000, "ms": 1_000_000, "s": 1_000_000_000}
_DURATION = re.compile(r"duration ?> ?(?P<number>\d{1,9}(\.\d{1,9})?) ?(?P<unit>ns|us|ms|s)")


@dataclass(frozen=True)
class Endpoint:
    """`target` is for gRPC, and `text` for messages."""

    text: str
    target: str
    is_secure: bool
    is_local: bool


@dataclass(frozen=True)
class SpanSelection:
    """The calls that become spans: those that take longer than `least_nanos`, unless it is None, and with
    `exceptions` those that throw one."""

    least_nanos: int | None = None
    exceptions: bool = False


@dataclass(frozen=True)
class OtlpSettings:
    """`interval` is that of metrics, in s. `certificates` are the only ones to trust; None for the usual
    ones."""

    endpoint: Endpoint
    headers: tuple[tuple[str, str], ...] = ()
    interval: float = 10.0
    spans: SpanSelection | None = None
    certificates: bytes | None = None


def parse_endpoint(text: str, insecure: bool) -> Endpoint:
    """Returns an endpoint. Raises InvalidCommandError if it is none, or sends what is captured to another
    machine without encryption, and not `insecure`."""
    what = f"--otlp '{text[:200]}' is no endpoint: use https://host:{_DEFAULT_PORT} or http://host:{_DEFAULT_PORT}"
    try:
        url = urlsplit(text)
        host, port = url.hostname or "", url.port
    except ValueError:
        raise InvalidCommandError(what) from None
    if len(text) > _MOST_TEXT or not text.isprintable() or " " in text:
        raise InvalidCommandError(what)
    if url.scheme == "unix" and url.path.startswith("/") and not url.netloc:
        return Endpoint(text, f"unix:{url.path}", is_secure=False, is_local=True)
    if url.scheme not in ("http", "https") or not host or url.username is not None or url.query:
        raise InvalidCommandError(what)
    if url.path not in ("", "/"):
        raise InvalidCommandError(
            f"{what}; gRPC has no path, and '{url.path[:200]}' is one of OTLP over HTTP"
        )
    is_local, is_secure = _is_loopback(host), url.scheme == "https"
    if not is_secure and not is_local and not insecure:
        raise InvalidCommandError(
            f"cannot export to {text}: method names and captured values would cross the network "
            "unencrypted; use "
            "https://, or add --insecure"
        )
    literal = f"[{host}]" if ":" in host else host
    return Endpoint(text, f"{literal}:{_DEFAULT_PORT if port is None else port}", is_secure, is_local)


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def headers_of(texts: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Returns headers as gRPC's metadata. Raises InvalidCommandError; its message has no value, which may be
    secret."""
    if len(texts) > _MOST_HEADERS:
        raise InvalidCommandError(f"--otlp-header is given more than {_MOST_HEADERS} times")
    found = []
    for text in texts:
        name, equals, value = text.partition("=")
        name = name.strip().lower()
        if not equals or not _NAME.fullmatch(name):
            raise InvalidCommandError(
                "--otlp-header is no NAME=VALUE: a name has only letters, digits, '-', '_' and '.'"
            )
        if name.startswith("grpc-") or name.endswith("-bin"):
            raise InvalidCommandError(f"--otlp-header {name} is reserved for gRPC")
        if value.startswith("@"):
            value = _value_in(value[1:])
        if len(value) > _MOST_VALUE_BYTES or not _VALUE.fullmatch(value):
            raise InvalidCommandError(
                f"--otlp-header {name} has a value that is empty, too long or not printable ASCII"
            )
        found.append((name, value))
    return tuple(found)


def _value_in(path: str) -> str:
    try:
        with open(path, "rb") as file:
            return file.read(_MOST_VALUE_BYTES + 2).decode("ascii", errors="replace").strip()
    except OSError as error:
        raise explain(error, f"read the header in {path}") from None


def selection_of(conditions: Sequence[str]) -> SpanSelection | None:
    """Returns what the conditions select; None without any. Raises InvalidCommandError."""
    if not conditions:
        return None
    durations = []
    for condition in conditions:
        found = _DURATION.fullmatch(condition.strip())
        if found:
            durations.append(round(float(found["number"]) * _NANOS[found["unit"]]))
        elif condition.strip() != "exception":
            raise InvalidCommandError(
                f"--otlp-spans '{condition[:200]}' is no condition: use 'duration > 5ms' or exception"
            )
    return SpanSelection(min(durations, default=None), len(durations) < len(conditions))
