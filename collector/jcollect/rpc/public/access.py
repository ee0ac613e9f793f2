"""The credentials of a public client: files and a token, as the commands do (rpc/client_access.py)."""

from __future__ import annotations

from dataclasses import replace

from jcollect.errors import JcollectError
from jcollect.rpc.client_access import ClientAccess, read_access


def access_of(
    ca: str | None, certificate: str | None, key: str | None, token: str | None, token_file: str | None
) -> ClientAccess:
    """Reads the files. Raises JcollectError."""
    if token is not None and token_file is not None:
        raise JcollectError("cannot use both token and token_file: pass one of them")
    access = read_access(ca, certificate, key, token_file)
    return access if token is None else replace(access, token=token)
