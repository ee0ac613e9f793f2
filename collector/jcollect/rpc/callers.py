"""Determines which client a call comes from, and its rights.

A client shows a certificate, whose names gRPC has verified against the authorities of --tls-client-ca, or a
token in the call's metadata. The user behind a Unix socket cannot be determined: gRPC passes its peer
credentials to no server (https://github.com/grpc/grpc/issues/28755). There the mode of the socket decides
who can connect."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from jcollect.printable import printable
from jcollect.rpc.access_file import AccessRules
from jcollect.rpc.reloaded import Reloaded
from jcollect.rpc.rights import EVERYTHING, NOTHING, READING, Caller

_MOST_TOKEN = 4_096
_MOST_SHOWN = 100
_MOST_NAMES = 100


class UnknownCallerError(Exception):
    """A sentence: why the rights of a client are unknown."""


@dataclass(frozen=True)
class Shown:
    """The credentials that a client has shown: the names of its certificate, and its token; None if it has
    sent none, and empty if that is no bearer token."""

    names: tuple[str, ...] = ()
    token: str | None = None


def shown_in(context: Any) -> Shown:
    """Returns what the client of a call has shown."""
    found = dict(context.auth_context())
    # A common name counts only if there is no other name (RFC 6125).
    names = found.get("x509_subject_alternative_name") or found.get("x509_common_name") or ()
    return Shown(
        tuple(bytes(name).decode("utf-8", "replace") for name in tuple(names)[:_MOST_NAMES]),
        _token(context.invocation_metadata()),
    )


def _token(metadata: Sequence[Any] | None) -> str | None:
    given = [value for key, value in metadata or () if key == "authorization"]
    if not given:
        return None
    scheme, _, token = str(given[0]).partition(" ")
    is_token = len(given) == 1 and scheme.lower() == "bearer" and len(token) <= _MOST_TOKEN
    return token.strip() if is_token else ""


@dataclass(frozen=True)
class Door:
    """How clients connect. `name` describes a client that shows nothing. Such a client has the rights
    `unlisted` without --access, and `beside_rules` if the file does not say. No client has more than
    `most`."""

    name: str
    unlisted: frozenset[str]
    beside_rules: frozenset[str] | None
    most: frozenset[str] = EVERYTHING


# Only the collector's own user and root can connect. They can command the programs without it too.
PRIVATE_SOCKET = Door("the socket's owner", EVERYTHING, EVERYTHING)
# Members of a group, of whom the collector knows nothing else.
GROUP_SOCKET = Door("a member of the socket's group", READING, None)
# An authority may have issued certificates for other purposes.
TLS_PORT = Door("a client without a known certificate", READING, None)
# Others may change what a client sends, and read its token.
INSECURE_PORT = Door("a client over unprotected TCP", READING, None, READING)


class Callers:
    """The clients of one server. For any thread."""

    def __init__(self, door: Door, rules: Reloaded[AccessRules] | None = None) -> None:
        """Without `rules`, all clients have the same rights."""
        self._door = door
        self._rules = rules

    @property
    def version(self) -> object:
        """Another object whenever the rights have changed."""
        return self._rules.current() if self._rules else None

    def caller(self, shown: Shown) -> Caller:
        """Returns the client that has shown this. Raises UnknownCallerError."""
        rules = self._rules.current() if self._rules else None
        if rules is None:
            name = f"certificate {_short(shown.names[0])}" if shown.names else self._door.name
            return Caller(name, self._door.unlisted)
        if shown.token is not None:
            found = rules.with_token(shown.token)
            if found is None:
                raise UnknownCallerError(
                    "the collector does not know this token; its access file has the hash: "
                    'token_sha256 = "...", from printf %s TOKEN | sha256sum'
                )
            return self._limited(found)
        found = rules.with_certificate(shown.names)
        if found is not None:
            return self._limited(found)
        rights = self._door.beside_rules if rules.anyone is None else rules.anyone
        if rights is not None:
            return self._limited(Caller(self._door.name, rights))
        if shown.names:
            names = ", ".join(map(_short, shown.names[:3]))
            raise UnknownCallerError(
                f"the collector's access file has no client with the certificate {names}"
            )
        raise UnknownCallerError(
            "the collector admits only clients of its access file; send a token, as --token-file does"
        )

    def _limited(self, caller: Caller) -> Caller:
        return Caller(caller.name, caller.rights & self._door.most or NOTHING)


def _short(name: str) -> str:
    return printable(name[:_MOST_SHOWN])
