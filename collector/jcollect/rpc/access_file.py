"""Reads the file of --access: which clients there are, how they identify themselves, and their rights."""

from __future__ import annotations

import hashlib
import hmac
import re
import tomllib
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from jcollect.errors import JcollectError
from jcollect.printable import printable
from jcollect.rpc.own_file import read_own_file
from jcollect.rpc.rights import EVERYTHING, NOTHING, VIEW, Caller

_MOST_CLIENTS = 1_000
_MOST_NAME = 64
_MOST_SUBJECT = 255
_HASH = re.compile(r"[0-9a-f]{64}", re.ASCII)
_NAME = re.compile(r"[\w.@:/-]+", re.ASCII)
_KEYS = {"name", "certificate", "token_sha256", "rights"}


@dataclass(frozen=True)
class AccessRules:
    """The clients by their certificates' names and by the hashes of their tokens; `anyone` has the rights of
    clients that show neither, None if the file does not say."""

    by_certificate: dict[str, Caller]
    by_token: dict[bytes, Caller]
    anyone: frozenset[str] | None

    def with_token(self, token: str) -> Caller | None:
        """Returns the client with a token. Takes the same time for all tokens."""
        digest = hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
        found = None
        for known, caller in self.by_token.items():
            if hmac.compare_digest(known, digest):
                found = caller
        return found

    def with_certificate(self, names: Collection[str]) -> Caller | None:
        """Returns the first client in the file that has one of these names."""
        return next((caller for name, caller in self.by_certificate.items() if name in names), None)


class _ProblemError(Exception):
    """A clause."""


def read_access_file(path: str) -> AccessRules:
    """Raises JcollectError."""
    content = read_own_file(path, "the access file")
    try:
        return _rules(tomllib.loads(content.decode()))
    # A ValueError: also a number with too many digits for Python.
    except (ValueError, RecursionError) as error:
        problem = f"it is not TOML: {error}"
    except _ProblemError as error:
        problem = str(error)
    raise JcollectError(
        f"cannot use the access file {path}: {printable(problem)[:300]}; docs/consume-events.md has "
        f"an example"
    )


def _rules(document: dict[str, Any]) -> AccessRules:
    if unknown := document.keys() - {"client", "anyone"}:
        raise _ProblemError(f"it has '{min(unknown)}'; it may have [[client]] and [anyone] only")
    clients = document.get("client", [])
    if not isinstance(clients, list) or not all(isinstance(each, dict) for each in clients):
        raise _ProblemError("'client' is not a list; write [[client]], with two brackets")
    if len(clients) > _MOST_CLIENTS:
        raise _ProblemError(f"it has {len(clients):,} clients; the limit is {_MOST_CLIENTS:,}")
    by_certificate: dict[str, Caller] = {}
    by_token: dict[bytes, Caller] = {}
    names: set[str] = set()
    for number, client in enumerate(clients, 1):
        name = client.get("name")
        if not isinstance(name, str) or len(name) > _MOST_NAME or not _NAME.fullmatch(name):
            raise _ProblemError(
                f"client {number} needs a name of at most {_MOST_NAME} letters, digits and . _ @ : / -"
            )
        if name in names:
            raise _ProblemError(f"it has two clients with the name '{name}'")
        names.add(name)
        _add(client, Caller(name, _rights(client, f"client '{name}'", _KEYS)), by_certificate, by_token)
    anyone = document.get("anyone")
    if anyone is not None and not isinstance(anyone, dict):
        raise _ProblemError("'anyone' is not a table; write [anyone]")
    rights = None if anyone is None else _rights(anyone, "[anyone]", {"rights"})
    return AccessRules(by_certificate, by_token, rights)


def _add(
    client: dict[str, Any], caller: Caller, by_certificate: dict[str, Caller], by_token: dict[bytes, Caller]
) -> None:
    """Adds a client by its certificate, its token, or both."""
    certificate, token = client.get("certificate"), client.get("token_sha256")
    whose = f"client '{caller.name}'"
    if certificate is None and token is None:
        raise _ProblemError(f'{whose} needs certificate = "NAME" or token_sha256 = "HASH"')
    if certificate is not None:
        if not isinstance(certificate, str) or not 0 < len(certificate) <= _MOST_SUBJECT:
            raise _ProblemError(f"{whose} has a certificate that is not a name of a certificate")
        if certificate in by_certificate:
            raise _ProblemError(f"{whose} has the certificate of another client")
        by_certificate[certificate] = caller
    if token is not None:
        if not isinstance(token, str) or not _HASH.fullmatch(token.lower()):
            raise _ProblemError(
                f"{whose} has a token_sha256 that is not 64 hexadecimal digits, as sha256sum prints them"
            )
        digest = bytes.fromhex(token)
        if digest in by_token:
            raise _ProblemError(f"{whose} has the token of another client")
        by_token[digest] = caller


def _rights(table: dict[str, Any], whose: str, keys: set[str]) -> frozenset[str]:
    """Returns the rights in a table; each one includes `view`."""
    if unknown := table.keys() - keys:
        raise _ProblemError(f"{whose} has '{min(unknown)}'; it may have {', '.join(sorted(keys))} only")
    rights = table.get("rights")
    if not isinstance(rights, list) or not all(isinstance(right, str) for right in rights):
        raise _ProblemError(f"{whose} needs rights = [...] with some of {', '.join(sorted(EVERYTHING))}")
    if unknown := set(rights) - EVERYTHING:
        raise _ProblemError(
            f"{whose} has the right '{min(unknown)}'; the rights are {', '.join(sorted(EVERYTHING))}"
        )
    return frozenset((*rights, VIEW)) if rights else NOTHING
