"""Chooses the format of a response: the Accept header of HTTP, as far as scrapers use it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from jcollect.metrics.families import Family
from jcollect.web import protobuf_format, text_format

_MOST_CHOICES = 32


class Format(NamedTuple):
    """A format by its Content-Type."""

    content_type: str
    render: Callable[[Iterable[Family]], bytes]


TEXT = Format(text_format.CONTENT_TYPE, text_format.text_of)
PROTOBUF = Format(protobuf_format.CONTENT_TYPE, protobuf_format.protobuf_of)


def format_for(accept: str) -> Format:
    """Returns the acceptable format with the greatest weight; the text format if there is none. The first one
    of equal weight wins, as Prometheus lists them."""
    best, found = 0.0, TEXT
    for kind, parameters, weight in _choices(accept):
        if weight > best and (chosen := _format_of(kind, parameters)) is not None:
            best, found = weight, chosen
    return found


def _format_of(kind: str, parameters: dict[str, str]) -> Format | None:
    if kind == "application/vnd.google.protobuf":
        is_ours = parameters.get("proto") == "io.prometheus.client.MetricFamily"
        return PROTOBUF if is_ours and parameters.get("encoding") == "delimited" else None
    is_text = kind in ("text/plain", "text/*", "*/*") and parameters.get("version", "0.0.4") == "0.0.4"
    return TEXT if is_text else None


def _choices(accept: str) -> Iterator[tuple[str, dict[str, str], float]]:
    for choice in accept.split(",")[:_MOST_CHOICES]:
        kind, *rest = (part.strip() for part in choice.split(";"))
        parameters = {
            name.strip().lower(): value.strip().strip('"')
            for name, _, value in (part.partition("=") for part in rest)
        }
        try:
            weight = float(parameters.pop("q", "1"))
        except ValueError:
            continue
        if 0 < weight <= 1:
            yield kind.lower(), parameters, weight
