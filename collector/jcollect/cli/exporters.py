"""Runs the exporters of a collector: the HTTP endpoint for Prometheus, and OTLP."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from jcollect.cli.export_options import ExportOptions
from jcollect.console import status
from jcollect.errors import JcollectError
from jcollect.last_resort import last_resort
from jcollect.rpc.address import Address, parse_address
from jcollect.rpc.limits import Turns
from jcollect.rpc.listening import Claim, claim
from jcollect.session.session import Session

if TYPE_CHECKING:
    from jcollect.otlp.exporter import OtlpExporter

_OPTION = "--metrics"
_READABLE = "which methods the programs call, and how long they take"
_STOP_SECONDS = 10.0
# Maximum time for the last exports, after detaching.
_FLUSH_SECONDS = 5.0


@contextlib.contextmanager
def claimed_metrics(options: ExportOptions, insecure: bool) -> Iterator[Claim | None]:
    """Claims the address of the HTTP endpoint; None without one. Raises JcollectError."""
    if options.metrics is None:
        yield None
        return
    address = parse_address(options.metrics)
    with claim(address, insecure, option=_OPTION, readable=_READABLE) as claimed:
        yield claimed


class Exporters:
    """The exporters of a session, until the block ends."""

    def __init__(self, session: Session, options: ExportOptions, claimed: Claim | None, turns: Turns) -> None:
        """Raises JcollectError if an exporter cannot be started."""
        self._stack = contextlib.ExitStack()
        self._otlp: OtlpExporter | None = None
        if not options.has_any:
            return
        # Each imports what only it needs.
        from jcollect.metrics.readings import Readings

        try:
            readings = Readings(session, options.metrics_methods)
            self._stack.callback(readings.close)
            if claimed is not None:
                from jcollect.web.http_server import HttpServer
                from jcollect.web.metrics_endpoint import PATH, MetricsEndpoint

                endpoint = MetricsEndpoint(readings, turns)
                server = HttpServer(claimed, endpoint.answer, session.failures)
                self._stack.callback(_stop, server.stop, server.address.text)
                status(f"serving metrics at {_url(server.address, PATH)}")
            if options.otlp is not None:
                from jcollect.otlp.exporter import OtlpExporter

                self._otlp = OtlpExporter(session, readings, turns, options.otlp)
                self._stack.callback(self._otlp.stop)
        except BaseException:
            self._stack.close()
            raise

    def finish(self) -> None:
        """Exports the rest, after everything is detached."""
        if self._otlp is not None:
            self._otlp.finish(_FLUSH_SECONDS)

    def __enter__(self) -> Exporters:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()


def _stop(stop: object, address: str) -> None:
    assert callable(stop)
    stuck = f"the endpoint at {address} does not stop; jcollect exits without stopping it"
    with last_resort(_STOP_SECONDS, stuck):
        stop()


def _url(address: Address, path: str) -> str:
    return address.text if address.path is not None else f"http://{address.text}{path}"


def check_can_export(options: ExportOptions) -> None:
    """Raises JcollectError if a package is missing."""
    if options.otlp is None:
        return
    try:
        import opentelemetry.proto.collector.metrics.v1.metrics_service_pb2_grpc  # noqa: F401
    except ImportError:
        raise JcollectError(
            "--otlp needs the package opentelemetry-proto; install it with: pip install 'jprobe[otlp]'"
        ) from None
