"""The options of the exporters: `--metrics ADDRESS`, `--otlp ENDPOINT`."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import click

from jcollect.cli.argument_types import TEXT, Seconds, WholeNumber
from jcollect.errors import InvalidCommandError, explain
from jcollect.otlp.settings import OtlpSettings, headers_of, parse_endpoint, selection_of

_Command = TypeVar("_Command", bound=Callable[..., Any])

DEFAULT_METHODS = 500
_MOST_METHODS = 10_000
_DEFAULT_INTERVAL = 10.0
_LEAST_INTERVAL = 1.0
_MOST_CERTIFICATE_BYTES = 1 << 20

_OPTIONS = (
    click.option(
        "--metrics",
        type=TEXT,
        metavar="ADDRESS",
        help="Serve metrics for Prometheus over HTTP at ADDRESS: host:port, which needs --insecure, or "
        "unix:///path/of.sock. The path is /metrics.",
    ),
    click.option(
        "--metrics-methods",
        type=WholeNumber(most=_MOST_METHODS),
        default=DEFAULT_METHODS,
        show_default=True,
        metavar="N",
        help="Give N methods series of their own, those with the most calls; the others are summed up as "
        "'other'.",
    ),
    click.option(
        "--no-events",
        is_flag=True,
        help="Only have the programs count calls, for --metrics and --otlp: there are no events.",
    ),
    click.option(
        "--otlp",
        type=TEXT,
        metavar="ENDPOINT",
        help="Export metrics with OpenTelemetry's protocol over gRPC: https://host:4317, or "
        "http://host:4317. Needs "
        "the extra jprobe[otlp].",
    ),
    click.option(
        "--otlp-interval",
        type=Seconds(least=_LEAST_INTERVAL),
        default=_DEFAULT_INTERVAL,
        show_default=True,
        metavar="SECONDS",
        help="Export metrics every SECONDS.",
    ),
    click.option(
        "--otlp-spans",
        type=TEXT,
        multiple=True,
        metavar="CONDITION",
        help="Also export calls as spans: 'duration > 5ms' or 'exception'. Repeatable: one of them must "
        "hold.",
    ),
    click.option(
        "--otlp-header",
        type=TEXT,
        multiple=True,
        metavar="NAME=VALUE",
        help="Send this header with each export. NAME=@FILE reads the value from FILE. Repeatable.",
    ),
    click.option(
        "--otlp-ca",
        type=click.Path(dir_okay=False),
        metavar="FILE",
        help="Trust only the certificates in FILE, in PEM format, for https.",
    ),
)


@dataclass(frozen=True)
class ExportOptions:
    """`metrics` is the address of the HTTP endpoint. With `no_events`, programs only count calls."""

    metrics: str | None = None
    metrics_methods: int = DEFAULT_METHODS
    no_events: bool = False
    otlp: OtlpSettings | None = None

    @property
    def has_any(self) -> bool:
        return self.metrics is not None or self.otlp is not None


def export_options(command: _Command) -> _Command:
    """Adds the options. The command's `exports` are what they say."""

    @functools.wraps(command)
    def with_exports(
        *args: Any,
        metrics: str | None,
        metrics_methods: int,
        no_events: bool,
        otlp: str | None,
        otlp_interval: float,
        otlp_spans: tuple[str, ...],
        otlp_header: tuple[str, ...],
        otlp_ca: str | None,
        **options: Any,
    ) -> Any:
        if otlp is None and (otlp_spans or otlp_header or otlp_ca):
            raise click.UsageError("--otlp-spans, --otlp-header and --otlp-ca need --otlp ENDPOINT")
        settings = None
        if otlp is not None:
            settings = OtlpSettings(
                endpoint=parse_endpoint(otlp, bool(options.get("insecure"))),
                headers=headers_of(otlp_header),
                interval=otlp_interval,
                spans=selection_of(otlp_spans),
                certificates=None if otlp_ca is None else _certificates(otlp_ca),
            )
        if settings is not None and otlp_ca is not None and not settings.endpoint.is_secure:
            raise click.UsageError("--otlp-ca is for endpoints with https://")
        exports = ExportOptions(metrics, metrics_methods, no_events, settings)
        _check(exports, options)
        return command(*args, exports=exports, **options)

    for option in reversed(_OPTIONS):
        with_exports = option(with_exports)
    return cast(_Command, with_exports)


def _check(exports: ExportOptions, options: dict[str, Any]) -> None:
    if not exports.no_events:
        return
    if not exports.has_any:
        raise click.UsageError("--no-events needs --metrics ADDRESS or --otlp ENDPOINT")
    for name in ("output", "max_events", "last"):
        if options.get(name):
            option = "-o" if name == "output" else f"--{name.replace('_', '-')}"
            raise click.UsageError(f"{option} needs events, and --no-events is given")
    if exports.otlp is not None and exports.otlp.spans is not None:
        raise click.UsageError("--otlp-spans needs events, and --no-events is given")


def _certificates(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            content = file.read(_MOST_CERTIFICATE_BYTES + 1)
    except OSError as error:
        raise explain(error, f"read the certificates in {path}") from None
    if len(content) > _MOST_CERTIFICATE_BYTES or b"-----BEGIN CERTIFICATE-----" not in content:
        raise InvalidCommandError(f"cannot use --otlp-ca {path}: it has no certificate in PEM format")
    return content
