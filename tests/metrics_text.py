"""Reads metrics: Prometheus' text format, and its protobuf format, as its documentation describes them."""

from __future__ import annotations

import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass

from google.protobuf.internal.decoder import _DecodeVarint32

from jcollect.rpc.address import Address
from jprobe.v1 import prometheus_pb2

PROTOBUF = (
    "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited,"
    "application/openmetrics-text;version=1.0.0;q=0.8,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
_SAMPLE = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)")
_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\.)*)"(?:,|$)')

Key = tuple[str, tuple[tuple[str, str], ...]]


@dataclass(frozen=True)
class Answer:
    """A response of HTTP."""

    status: int
    headers: Mapping[str, str]
    content: bytes


def connect(address: Address) -> socket.socket:
    if address.path is not None:
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(20)
        connection.connect(address.path)
        return connection
    return socket.create_connection((address.host, address.port), 20)


def ask(address: Address, path: str = "/metrics", accept: str = "", method: str = "GET") -> Answer:
    header = f"Accept: {accept}\r\n" if accept else ""
    return send(address, f"{method} {path} HTTP/1.1\r\nHost: x\r\n{header}\r\n".encode())


def send(address: Address, request: bytes) -> Answer:
    """Sends bytes, and returns the response to them."""
    with connect(address) as connection:
        connection.sendall(request)
        return receive(connection)


def receive(connection: socket.socket) -> Answer:
    parts = []
    while part := connection.recv(1 << 16):
        parts.append(part)
    head, _, content = b"".join(parts).partition(b"\r\n\r\n")
    first, *lines = head.decode("ascii").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return Answer(int(first.split(" ")[1]), headers, content)


def samples_of(content: bytes) -> dict[Key, float]:
    """Returns the values of a text; fails for a line that is malformed, and for a sample that occurs
    twice."""
    found: dict[Key, float] = {}
    for line in content.decode().splitlines():
        if line.startswith("#"):
            assert re.fullmatch(r"# (HELP \S+ .+|TYPE \S+ (counter|gauge|histogram))", line), line
            continue
        sample = _SAMPLE.fullmatch(line)
        assert sample, line
        labels = tuple(_LABEL.findall(sample[2] or ""))
        assert ",".join(f'{name}="{value}"' for name, value in labels) == (sample[2] or ""), line
        key = (sample[1], labels)
        assert key not in found, line
        found[key] = float(sample[3])
    return found


def value(samples: Mapping[Key, float], name: str, **labels: str) -> float:
    """Returns the value of the only sample with that name and these labels."""
    (found,) = (
        number
        for (each, present), number in samples.items()
        if each == name and labels.items() <= dict(present).items()
    )
    return found


def families_in(content: bytes) -> dict[str, prometheus_pb2.MetricFamily]:
    found: dict[str, prometheus_pb2.MetricFamily] = {}
    at = 0
    while at < len(content):
        size, at = _DecodeVarint32(content, at)
        family = prometheus_pb2.MetricFamily.FromString(content[at : at + size])
        assert family.name not in found
        found[family.name] = family
        at += size
    return found


def buckets_of(histogram: prometheus_pb2.NativeHistogram) -> dict[int, int]:
    """Returns the counts of Prometheus' buckets by index; those of 0 are left out."""
    found: dict[int, int] = {}
    deltas = iter(histogram.positive_delta)
    index = count = 0
    for span in histogram.positive_span:
        index += span.offset
        for _ in range(span.length):
            count += next(deltas)
            assert count >= 0
            if count:
                found[index] = count
            index += 1
    assert not list(deltas)
    return found
