"""Opens the gRPC channels of all clients, with their options and credentials."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc

from jcollect.errors import JcollectError
from jcollect.rpc.address import Address
from jcollect.rpc.keepalive import OPTIONS

# A batch has at most 1 MiB. A description has about 500 bytes, so 250,000 of them fit.
_MOST_MESSAGE_BYTES = 128 << 20
_OPTIONS: list[tuple[str, Any]] = [("grpc.max_receive_message_length", _MOST_MESSAGE_BYTES), *OPTIONS]
_TOKEN_HEADER = "authorization"


@dataclass(frozen=True)
class Credentials:
    """What a client shows and whom it trusts. `ca`, `certificate` and `key` are PEM files: that of the
    authority of the collector's certificate, and the client's own. `token` is sent with each call."""

    ca: str | None = None
    certificate: str | None = None
    key: str | None = None
    token: str | None = field(default=None, repr=False)

    @property
    def uses_tls(self) -> bool:
        return self.ca is not None or self.certificate is not None

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """The metadata of each call."""
        return ((_TOKEN_HEADER, f"Bearer {self.token}"),) if self.token else ()

    def tls(self) -> Any:
        """Returns the credentials of a channel. Raises JcollectError for files that cannot be read."""
        if (self.certificate is None) != (self.key is None):
            raise JcollectError("cannot use TLS: a certificate needs its key; pass tls_cert and tls_key")
        return grpc.ssl_channel_credentials(_read(self.ca), _read(self.key), _read(self.certificate))


NO_CREDENTIALS = Credentials()


def _read(file: str | None) -> bytes | None:
    if file is None:
        return None
    try:
        return Path(file).read_bytes()
    except OSError as error:
        raise JcollectError(f"cannot read {file} for TLS: {error.strerror}") from None


def open_channel(
    address: Address,
    credentials: Credentials = NO_CREDENTIALS,
    options: Sequence[tuple[str, Any]] = (),
    is_async: bool = False,
) -> Any:
    """Returns a grpc.Channel, or a grpc.aio.Channel of the running event loop. Raises JcollectError."""
    if credentials.token and not credentials.uses_tls and not address.is_local:
        raise JcollectError(
            f"cannot send a token to {address.text} without TLS, because others could read it; pass tls_ca"
        )
    # Use a proxy (http_proxy, https_proxy, grpc_proxy) only for other machines.
    proxy = [("grpc.enable_http_proxy", 0)] if address.is_on_this_machine() else []
    all_options = [*_OPTIONS, *proxy, *options]
    kind = grpc.aio if is_async else grpc
    if credentials.uses_tls and address.path is None:
        return kind.secure_channel(address.target, credentials.tls(), options=all_options)
    return kind.insecure_channel(address.target, options=all_options)
