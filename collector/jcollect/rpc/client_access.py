"""The credentials of a client: certificates for TLS, and a token."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import grpc

from jcollect.errors import InvalidCommandError, JcollectError
from jcollect.rpc.address import Address
from jcollect.rpc.own_file import read_own_file

_MOST_TOKEN = 4_096


@dataclass(frozen=True)
class ClientAccess:
    """PEM text for TLS, which is used for TCP if there is a `ca`; and a token, empty for none."""

    ca: bytes = b""
    certificate: bytes = b""
    key: bytes = b""
    token: str = ""

    def uses_tls(self, address: Address) -> bool:
        return address.path is None and bool(self.ca)

    def channel(self, address: Address, options: list[Any], library: Any = grpc) -> Any:
        """Returns a channel to a collector. The library is grpc or grpc.aio. Raises JcollectError if the
        channel would reveal the token."""
        if not self.uses_tls(address):
            self._check_keeps_token(address)
            return library.insecure_channel(address.target, options=options)
        credentials = grpc.ssl_channel_credentials(self.ca, self.key or None, self.certificate or None)
        return library.secure_channel(address.target, credentials, options=options)

    def for_address(self, address: Address) -> ClientAccess:
        """Returns what may be shown at an address that was found, and not given."""
        is_safe = address.path is not None or self.uses_tls(address)
        return self if is_safe else replace(self, token="")

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """The metadata of each call."""
        return (("authorization", f"Bearer {self.token}"),) if self.token else ()

    def _check_keeps_token(self, address: Address) -> None:
        if self.token and address.path is None:
            raise JcollectError(
                f"cannot send the token to {address.text}: TCP without TLS does not protect it; add "
                f"--tls-ca, "
                "or leave out --token-file"
            )


NO_ACCESS = ClientAccess()


def read_access(
    ca: str | None, certificate: str | None, key: str | None, token_file: str | None
) -> ClientAccess:
    """Reads the files of the command line. Raises JcollectError."""
    if not (ca or certificate or key):
        return ClientAccess(token=_read_token(token_file)) if token_file else NO_ACCESS
    # Takes several ms, which most commands do not have to pay.
    from jcollect.rpc.server_tls import check_authorities, check_pair

    if (certificate is None) != (key is None):
        raise InvalidCommandError("TLS needs both --tls-cert and --tls-key, or neither")
    if certificate is not None and ca is None:
        raise InvalidCommandError(
            "--tls-cert needs --tls-ca, the certificates that the collector is checked with"
        )
    authorities = content = private = b""
    if ca is not None:
        authorities = read_own_file(ca, "the certificates of authorities")
        check_authorities(authorities, ca)
    if certificate is not None and key is not None:
        content = read_own_file(certificate, "the TLS certificate")
        private = read_own_file(key, "the TLS key", is_secret=True)
        check_pair(content, private, certificate, key, of_server=False)
    return ClientAccess(authorities, content, private, _read_token(token_file) if token_file else "")


def _read_token(path: str) -> str:
    """Returns the first line of a file. Raises JcollectError."""
    text = read_own_file(path, "the token", is_secret=True).decode("utf-8", "replace").strip()
    if not text or len(text) > _MOST_TOKEN or not text.isascii() or not text.isprintable() or " " in text:
        raise JcollectError(
            f"cannot use the token in {path}: it must be one line of at most {_MOST_TOKEN:,} printable ASCII "
            "characters without blanks"
        )
    return text
