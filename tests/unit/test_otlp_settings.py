"""Endpoints, headers, conditions and trace contexts of OTLP: what is accepted, and what is rejected how."""

from __future__ import annotations

from pathlib import Path

import pytest

from jcollect.errors import InvalidCommandError, JcollectError
from jcollect.otlp.settings import SpanSelection, headers_of, parse_endpoint, selection_of
from jcollect.otlp.trace_context import TraceContext, trace_context

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.mark.parametrize(
    ("text", "target", "is_secure"),
    [
        ("http://localhost:4317", "localhost:4317", False),
        ("http://127.0.0.1", "127.0.0.1:4317", False),
        ("http://[::1]:99/", "[::1]:99", False),
        ("https://otel.example.com", "otel.example.com:4317", True),
        ("https://otel.example.com:443", "otel.example.com:443", True),
        ("unix:///run/otel.sock", "unix:/run/otel.sock", False),
    ],
)
def test_endpoints(text: str, target: str, is_secure: bool) -> None:
    endpoint = parse_endpoint(text, insecure=False)
    assert (endpoint.text, endpoint.target, endpoint.is_secure) == (text, target, is_secure)


@pytest.mark.parametrize(
    "text",
    [
        "", "localhost:4317", "ftp://x", "http://", "https://u:p@x", "http://x:99999", "http://x?y",
        "https://a b",
        "http://localhost:4317/v1/traces", "https://x\x1b", "http://[::1", "unix:relative", "unix://host/x",
    ],
)  # fmt: skip
def test_anything_else_is_no_endpoint(text: str) -> None:
    with pytest.raises(InvalidCommandError, match="is no endpoint: use https://host:4317"):
        parse_endpoint(text, insecure=True)


def test_what_is_captured_does_not_cross_the_network_in_clear_text() -> None:
    with pytest.raises(InvalidCommandError, match="unencrypted; use https://, or add --insecure"):
        parse_endpoint("http://10.1.2.3:4317", insecure=False)
    assert not parse_endpoint("http://10.1.2.3:4317", insecure=True).is_secure


def test_headers(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("Bearer s3cret\n")
    found = headers_of(["X-Tenant=a b=c", f"authorization=@{tmp_path}/token"])
    assert found == (("x-tenant", "a b=c"), ("authorization", "Bearer s3cret"))


@pytest.mark.parametrize(
    "text",
    ["x", "=y", "a b=y", "grpc-timeout=1", "x-bin=1", "x=", "x=\x1b", "x=é", "x= y", "x=" + "y" * 9000],
)
def test_an_invalid_header_is_rejected_without_its_value(text: str) -> None:
    with pytest.raises(InvalidCommandError, match="--otlp-header") as error:
        headers_of([text])
    assert "y" * 20 not in error.value.message
    with pytest.raises(JcollectError, match="cannot read the header in /nonexistent"):
        headers_of(["x=@/nonexistent"])


def test_conditions() -> None:
    assert selection_of([]) is None
    assert selection_of(["duration > 5ms"]) == SpanSelection(5_000_000, False)
    assert selection_of(["exception"]) == SpanSelection(None, True)
    assert selection_of(["exception", "duration>2s", "duration > 0.5us"]) == SpanSelection(500, True)
    assert selection_of(["duration > 0ns"]) == SpanSelection(0, False)


@pytest.mark.parametrize(
    "text", ["", "duration < 5ms", "duration > 5", "duration > 1e3ms", "exit", "x" * 999]
)
def test_an_invalid_condition_is_rejected(text: str) -> None:
    with pytest.raises(InvalidCommandError, match="use 'duration > 5ms' or exception"):
        selection_of([text])


@pytest.mark.parametrize(
    ("captures", "expected"),
    [
        ({"traceparent": f"00-{TRACE}-{PARENT}-01"}, (TRACE, PARENT, ("traceparent",))),
        (
            {"traceparent": f"01-{TRACE}-{PARENT}-01-more", "trace_id": "1" * 32},
            (TRACE, PARENT, ("traceparent",)),
        ),
        ({"trace_id": TRACE.upper()}, (TRACE, "", ("trace_id",))),
        ({"traceId": PARENT}, ("0" * 16 + PARENT, "", ("traceId",))),
        ({"traceId": TRACE, "spanId": PARENT}, (TRACE, PARENT, ("traceId", "spanId"))),
        ({"trace_id": TRACE, "span_id": "0" * 16}, (TRACE, "", ("trace_id",))),
        ({"traceparent": f"00-{'0' * 32}-{PARENT}-01", "traceId": TRACE}, (TRACE, "", ("traceId",))),
    ],
)
def test_the_trace_is_that_of_the_captured_values(
    captures: dict[str, str], expected: tuple[str, str, tuple[str, ...]]
) -> None:
    trace, parent, names = expected
    assert trace_context(captures) == TraceContext(bytes.fromhex(trace), bytes.fromhex(parent), names)


@pytest.mark.parametrize(
    "captures",
    [
        {},
        {"trace_id": "0" * 32},
        {"trace_id": "x" * 32},
        {"trace_id": "\u0661" * 32},
        {"trace_id": TRACE[:-1]},
        {"trace_id": 42, "traceparent": None},
        {"traceparent": f"ff-{TRACE}-{PARENT}-01"},
        {"traceparent": f"00-{TRACE}-{PARENT}-01-more"},
        {"traceparent": f"00-{TRACE.upper()}-{PARENT}-01"},
        {"span_id": PARENT},
    ],
)
def test_without_a_valid_id_the_trace_is_a_new_one(captures: dict[str, object]) -> None:
    first, second = trace_context(captures), trace_context(captures)
    assert first.trace != second.trace
    assert len(first.trace) == 16
    assert (first.parent, first.names) == (b"", ())
