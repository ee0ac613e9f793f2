"""Opens what the options of a server's access name: the TLS files, the access file and the audit log."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from jcollect.cli.access_options import ServerAccess
from jcollect.cli.written_file import open_to_append
from jcollect.errors import InvalidCommandError, JcollectError
from jcollect.rpc.access_file import AccessRules, read_access_file
from jcollect.rpc.address import Address
from jcollect.rpc.audit import Audit
from jcollect.rpc.reloaded import Reloaded

if TYPE_CHECKING:
    from jcollect.rpc.server_tls import ServerTls


@dataclass(frozen=True)
class OpenAccess:
    """The rights of clients, None for those of the way in which they connect; and the audit log."""

    rules: Reloaded[AccessRules] | None
    audit: Audit


def open_access(options: ServerAccess) -> OpenAccess:
    """Raises JcollectError."""
    path = options.access
    rules = Reloaded([path], lambda: read_access_file(path), "its content") if path else None
    return OpenAccess(rules, _open_audit(options.audit))


def _open_audit(path: str | None) -> Audit:
    if not path:
        return Audit()
    try:
        return Audit(path, open_to_append)
    except OSError as error:
        raise JcollectError(
            f"cannot write the audit file {path}: {error.strerror}; choose another path with --audit"
        ) from None


def server_tls(options: ServerAccess, address: Address | None, insecure: bool) -> ServerTls | None:
    """Returns what protects the port at an address, None for the default socket; None without TLS. Raises
    JcollectError."""
    if not (options.tls_cert or options.tls_key or options.tls_client_ca):
        return None
    from jcollect.rpc.server_tls import ServerTls, tls_paths

    paths = tls_paths(options.tls_cert, options.tls_key, options.tls_client_ca)
    if address is None or address.path is not None:
        raise InvalidCommandError(
            "TLS is for TCP, and a Unix socket is protected by its mode; leave out --tls-cert, --tls-key and "
            "--tls-client-ca, or add --listen host:port"
        )
    if insecure:
        raise InvalidCommandError("--insecure turns TLS off; leave out either --insecure or --tls-cert")
    return ServerTls(paths) if paths else None
