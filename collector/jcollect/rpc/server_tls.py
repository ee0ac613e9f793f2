"""The server's side of mutual TLS: its certificate, its key, and the authorities of its clients.

gRPC itself reports a bad certificate to the client that connects, and to nobody else. So the files are tried
here first, in a handshake in memory. gRPC accepts TLS 1.2 and 1.3.
"""

from __future__ import annotations

import contextlib
import os
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import grpc

from jcollect.errors import InvalidCommandError, JcollectError
from jcollect.rpc.own_file import read_own_file
from jcollect.rpc.reloaded import Reloaded

_BEGIN, _END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
# X509_V_ERR_CERT_NOT_YET_VALID, X509_V_ERR_CERT_HAS_EXPIRED.
_NOT_YET, _EXPIRED = 9, 10


@dataclass(frozen=True)
class TlsPaths:
    """Paths of PEM files."""

    certificate: str
    key: str
    client_ca: str


@dataclass(frozen=True)
class _Content:
    certificate: bytes
    key: bytes
    client_ca: bytes


def tls_paths(certificate: str | None, key: str | None, client_ca: str | None) -> TlsPaths | None:
    """Returns the paths of the command line; None if there are none. Raises InvalidCommandError if only some
    are given."""
    if certificate and key and client_ca:
        return TlsPaths(certificate, key, client_ca)
    if certificate or key or client_ca:
        raise InvalidCommandError(
            "TLS needs all of --tls-cert, --tls-key and --tls-client-ca: clients must have certificates too"
        )
    return None


class ServerTls:
    """Reads the files, and again when they change. Open connections keep the certificates that they began
    with."""

    def __init__(self, paths: TlsPaths) -> None:
        """Raises JcollectError."""
        self._reloaded = Reloaded(
            (paths.certificate, paths.key, paths.client_ca), lambda: _read(paths), "the TLS certificate"
        )
        self._given = self._reloaded.current()

    def credentials(self) -> Any:
        """Returns the credentials for a port of gRPC's server."""
        return grpc.dynamic_ssl_server_credentials(
            _configuration(self._given), self._newer, require_client_authentication=True
        )

    def _newer(self) -> Any:
        """Called by gRPC for each connection. Returns None if nothing has changed."""
        content = self._reloaded.current()
        if content is self._given:
            return None
        self._given = content
        return _configuration(content)


def _configuration(content: _Content) -> Any:
    return grpc.ssl_server_certificate_configuration(
        [(content.key, content.certificate)], root_certificates=content.client_ca
    )


def _read(paths: TlsPaths) -> _Content:
    """Raises JcollectError."""
    content = _Content(
        read_own_file(paths.certificate, "the TLS certificate"),
        read_own_file(paths.key, "the TLS key", is_secret=True),
        read_own_file(paths.client_ca, "the certificates of the clients' authorities"),
    )
    check_authorities(content.client_ca, paths.client_ca)
    check_pair(content.certificate, content.key, paths.certificate, paths.key, of_server=True)
    return content


def check_authorities(content: bytes, path: str) -> None:
    """Raises JcollectError if PEM text has no certificate of an authority that is valid now."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    what = f"cannot use the certificates of authorities in {path}"
    with _explained(f"{what}: it has none in PEM format, or a broken one; check its path"):
        context.load_verify_locations(cadata=_ascii(content))
        dates = [ssl.cert_time_to_seconds(str(each["notAfter"])) for each in context.get_ca_certs()]
    if dates and max(dates) < time.time():
        raise JcollectError(f"{what}: they expired on {_date(max(dates))}; issue new ones")


@contextlib.contextmanager
def _explained(problem: str) -> Iterator[None]:
    """Raises JcollectError for what the module ssl raises for broken files: errors of many kinds."""
    try:
        yield
    except (OSError, ValueError, TypeError, ArithmeticError, LookupError):
        raise JcollectError(problem) from None


def _ascii(content: bytes) -> str:
    """Returns PEM text. Comments in it may have any characters, but the module ssl accepts ASCII only."""
    return content.decode("ascii", "replace").replace("\ufffd", "?")


def context_with(
    certificate: bytes, key: bytes, path: str, key_path: str, protocol: int = ssl.PROTOCOL_TLS_SERVER
) -> ssl.SSLContext:
    """Returns a context with a certificate and its key. Raises JcollectError if they do not fit."""
    context = ssl.SSLContext(protocol)
    if b"ENCRYPTED" in key:
        raise JcollectError(
            f"cannot use the TLS key {key_path}: the key is encrypted; decrypt it: "
            "openssl pkey -in KEY -out NEW"
        )
    # The module reads keys from files only.
    files = [_in_memory(certificate), _in_memory(key)]
    try:
        # Without a password, OpenSSL would ask for one on the terminal.
        names = [f"/proc/self/fd/{file}" for file in files]
        context.load_cert_chain(names[0], names[1], password=lambda: "")
    except ssl.SSLError as error:
        raise JcollectError(
            f"cannot use the TLS certificate {path} with the key {key_path}: {_reason(error)}"
        ) from None
    except OSError as error:
        raise JcollectError(f"cannot use the TLS certificate {path}: {error.strerror}") from None
    finally:
        for file in files:
            os.close(file)
    return context


def _in_memory(content: bytes) -> int:
    file = os.memfd_create("pem", os.MFD_CLOEXEC)
    os.write(file, content)
    return file


def _reason(error: ssl.SSLError) -> str:
    if error.reason == "KEY_VALUES_MISMATCH":
        return "the key is not that of the certificate; give the pair that was issued together"
    return "one of them is not in PEM format, or incomplete; check both files"


def check_pair(content: bytes, key: bytes, path: str, key_path: str, *, of_server: bool) -> None:
    """Raises JcollectError if a certificate and its key do not fit, or the first certificate in the file is
    not valid now for a server or a client: tries it in a handshake."""
    server = context_with(content, key, path, key_path)
    client = context_with(content, key, path, key_path, ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_mode = ssl.CERT_NONE
    verifying = client if of_server else server
    verifying.verify_mode = ssl.CERT_REQUIRED
    # Trusts this certificate itself, whoever has issued it.
    verifying.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    what = f"cannot use the TLS certificate {path}"
    own = _ascii(content).partition(_END)[0] + _END
    with _explained(
        f"{what}: its first certificate is not between {_BEGIN} and {_END}; write it in PEM format"
    ):
        verifying.load_verify_locations(cadata=own[max(0, own.rfind(_BEGIN)) :])
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(to_client, to_server, server_side=False),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    use = "a server" if of_server else "a client"
    for _ in range(3):
        for end in ends:
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLCertVerificationError as error:
                if error.verify_code == _EXPIRED:
                    raise JcollectError(f"{what}: it has expired; issue a new one") from None
                if error.verify_code == _NOT_YET:
                    raise JcollectError(f"{what}: it is not valid yet; check the machine's clock") from None
                raise JcollectError(f"{what}: {error.verify_message}; issue one for {use}") from None
            except ssl.SSLError as error:
                raise JcollectError(f"{what}: {error.reason}; issue one for {use}") from None


def _date(seconds: float) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(seconds))
