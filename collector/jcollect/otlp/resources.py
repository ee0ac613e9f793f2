"""The resources of OTLP: who has sent something. Each traced process is a service, named after its main
class."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from functools import cache

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

import jcollect

COLLECTOR = "jprobe"
SCOPE = InstrumentationScope(name=COLLECTOR, version=jcollect.__version__)
# What attributes with integers can hold.
_LEAST, _MOST = -(1 << 63), (1 << 63) - 1

Attribute = str | bool | int | float


def process_resource(pid: int, name: str) -> Resource:
    """Returns that of a traced process."""
    main = name.removeprefix("java ") or f"PID {pid}"
    return Resource(
        attributes=attributes_of(
            {
                "service.name": main,
                "service.instance.id": f"{_host()}:{pid}",
                "process.pid": pid,
                "host.name": _host(),
            }
        )
    )


def collector_resource(pid: int) -> Resource:
    return Resource(
        attributes=attributes_of(
            {
                "service.name": COLLECTOR,
                "service.version": jcollect.__version__,
                "service.instance.id": f"{_host()}:{pid}",
                "process.pid": pid,
                "host.name": _host(),
            }
        )
    )


def attributes_of(values: Mapping[str, Attribute]) -> list[KeyValue]:
    return [KeyValue(key=key, value=_any(value)) for key, value in values.items()]


def _any(value: Attribute) -> AnyValue:
    if isinstance(value, bool):
        return AnyValue(bool_value=value)
    if isinstance(value, int):
        return AnyValue(int_value=value) if _LEAST <= value <= _MOST else AnyValue(string_value=str(value))
    if isinstance(value, float):
        return AnyValue(double_value=value)
    return AnyValue(string_value=utf8(value))


def utf8(text: str) -> str:
    """Returns a text that messages can hold: Java's strings may have half of a surrogate pair."""
    return text.encode(errors="replace").decode()


@cache
def _host() -> str:
    return socket.gethostname()
