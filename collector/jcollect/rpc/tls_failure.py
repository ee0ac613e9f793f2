"""Finds out why a TLS connection fails, by one more attempt: gRPC passes on no reason, or only OpenSSL's."""

from __future__ import annotations

import socket
import ssl

from jcollect.errors import JcollectError
from jcollect.rpc.address import Address
from jcollect.rpc.client_access import ClientAccess
from jcollect.rpc.server_tls import context_with

_SECONDS = 5.0
# X509_V_ERR_*: see verify(1ssl).
_NOT_YET, _EXPIRED, _HOST_MISMATCH, _IP_MISMATCH = 9, 10, 62, 64


def why_tls_failed(address: Address, access: ClientAccess) -> str:
    """Returns a clause with what to do, whose subject is the collector; empty if TLS works, or nothing
    listens."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        if access.certificate:
            context = context_with(access.certificate, access.key, "", "", ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cadata=access.ca.decode("ascii", "replace"))
        context.set_alpn_protocols(["h2"])
        with (
            socket.create_connection((address.host, address.port), _SECONDS) as connection,
            context.wrap_socket(connection, server_hostname=address.host) as secured,
        ):
            # gRPC's server sends its settings first. It verifies the client's certificate after that of its
            # own was sent, and closes the connection without an alert.
            if not secured.recv(1):
                return _about_end(access)
    except (ssl.SSLZeroReturnError, ssl.SSLEOFError, ConnectionResetError):
        return _about_end(access)
    except ssl.SSLCertVerificationError as error:
        return _about_its_certificate(error, address)
    except ssl.SSLError as error:
        return _about_failure(error)
    except (OSError, JcollectError):
        return ""
    return ""


def speaks_tls(address: Address) -> bool:
    """Returns true if the server at a TCP address answers a TLS handshake."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with (
            socket.create_connection((address.host, address.port), _SECONDS) as connection,
            context.wrap_socket(connection, server_hostname=address.host),
        ):
            return True
    except ssl.SSLError as error:
        return "ALERT" in (error.reason or "")
    except OSError:
        return False


def _about_its_certificate(error: ssl.SSLCertVerificationError, address: Address) -> str:
    if error.verify_code == _EXPIRED:
        return "its certificate, or that of its authority, has expired; issue a new one"
    if error.verify_code == _NOT_YET:
        return "its certificate is not valid yet; check the clocks of both machines"
    if error.verify_code in (_HOST_MISMATCH, _IP_MISMATCH):
        return (
            f"its certificate is not for the name {address.host}; connect by a name that is in it, "
            f"or issue one "
            f"with the subject alternative name {address.host}"
        )
    return f"no authority of --tls-ca has issued its certificate ({error.verify_message}); check --tls-ca"


def _about_end(access: ClientAccess) -> str:
    if not access.certificate:
        return "it requires a certificate of its clients; add --tls-cert and --tls-key"
    return (
        "it closes the connection; use a --tls-cert of an authority in its --tls-client-ca, and "
        "check the clock of "
        "its machine; or it has too many clients"
    )


def _about_failure(error: ssl.SSLError) -> str:
    reason = error.reason or ""
    if reason in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG"):
        return "it does not use TLS; leave out --tls-ca, or start it with --tls-cert"
    return f"TLS failed ({reason.lower() or 'no reason given'}); check that both sides use TLS 1.2 or 1.3"
