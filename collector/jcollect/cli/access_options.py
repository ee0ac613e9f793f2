"""Options that say who may use a collector, and what a client shows to it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import click

_Command = TypeVar("_Command", bound=Callable[..., Any])

_SERVER = (
    click.option(
        "--group",
        metavar="NAME",
        help="Let members of the group NAME connect to the Unix socket (mode 0660), and enter its default "
        "directory.",
    ),
    click.option(
        "--tls-cert",
        type=click.Path(),
        metavar="FILE",
        help="Serve host:port with TLS, with the certificates in FILE (PEM). Read again when it changes.",
    ),
    click.option(
        "--tls-key",
        type=click.Path(),
        metavar="FILE",
        help="The key of --tls-cert (PEM), which no other user may be able to read.",
    ),
    click.option(
        "--tls-client-ca",
        type=click.Path(),
        metavar="FILE",
        help="Accept only clients with certificates of the authorities in FILE (PEM).",
    ),
    click.option(
        "--access",
        type=click.Path(),
        metavar="FILE",
        help="Give clients the rights in FILE (TOML), by their certificates or tokens. Read again when it "
        "changes.",
    ),
    click.option(
        "--audit",
        type=click.Path(),
        metavar="FILE",
        help="Append a line of JSON to FILE for each command and each rejected call, and for the "
        "begin and end "
        "of each stream. Default: commands and rejected calls, to stderr.",
    ),
)
_CLIENT = (
    click.option(
        "--tls-ca",
        "ca",
        envvar="JPROBE_TLS_CA",
        type=click.Path(),
        metavar="FILE",
        help="Connect to host:port with TLS, and check the collector with the authorities in FILE (PEM). "
        "Default: $JPROBE_TLS_CA.",
    ),
    click.option(
        "--tls-cert",
        "certificate",
        envvar="JPROBE_TLS_CERT",
        type=click.Path(),
        metavar="FILE",
        help="Show the certificate in FILE (PEM) to the collector. Default: $JPROBE_TLS_CERT.",
    ),
    click.option(
        "--tls-key",
        "key",
        envvar="JPROBE_TLS_KEY",
        type=click.Path(),
        metavar="FILE",
        help="The key of --tls-cert (PEM). Default: $JPROBE_TLS_KEY.",
    ),
    click.option(
        "--token-file",
        envvar="JPROBE_TOKEN_FILE",
        type=click.Path(),
        metavar="FILE",
        help="Send the token in FILE to the collector. Default: $JPROBE_TOKEN_FILE.",
    ),
)


@dataclass(frozen=True)
class ServerAccess:
    """The clients that may connect to a collector, and their rights: a `group`, and paths. None for options
    that are not given."""

    group: str | None = None
    tls_cert: str | None = None
    tls_key: str | None = None
    tls_client_ca: str | None = None
    access: str | None = None
    audit: str | None = None


OWNER_ONLY = ServerAccess()


def server_access_options(command: _Command) -> _Command:
    """Adds the options; the command gets them as `server_access`."""

    @functools.wraps(command)
    def with_access(
        *args: Any,
        group: str | None,
        tls_cert: str | None,
        tls_key: str | None,
        tls_client_ca: str | None,
        access: str | None,
        audit: str | None,
        **options: Any,
    ) -> Any:
        given = ServerAccess(group, tls_cert, tls_key, tls_client_ca, access, audit)
        return command(*args, server_access=given, **options)

    for option in reversed(_SERVER):
        with_access = option(with_access)
    return cast(_Command, with_access)


def client_access_options(command: _Command) -> _Command:
    """Adds the options; the command gets a ClientAccess as `access`."""

    @functools.wraps(command)
    def with_access(
        *args: Any,
        ca: str | None,
        certificate: str | None,
        key: str | None,
        token_file: str | None,
        **options: Any,
    ) -> Any:
        from jcollect.rpc.client_access import read_access

        access = read_access(ca or None, certificate or None, key or None, token_file or None)
        return command(*args, access=access, **options)

    for option in reversed(_CLIENT):
        with_access = option(with_access)
    return cast(_Command, with_access)
