"""Metrics of a real program, as Prometheus reads them: as `jcollect hist` counts, and as the dashboard
asks."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import pytest
from collector_fixtures import Bench
from test_hist import ORDERS, SELECT, calls_in, expected

from conditions import require_bpf, wait_until
from java_target import NOBODY, ROOT, newest_jdk
from jcollect.exponential_histogram import ExponentialHistogram
from jcollect.metrics.families import DURATION
from jcollect.rpc.address import parse_address
from metrics_text import ask, samples_of, value
from otlp_receiver import Receiver, attributes
from prime_calls import prime_calls, run_calls
from prometheus import free_port, prometheus

DASHBOARD = ROOT / "docs/grafana/jprobe.json"
# Prometheus interpolates within a bucket, whose bounds are 4.4% apart; hist prints its middle.
MOST_ERROR = 0.045


@pytest.fixture(autouse=True)
def _bpf() -> None:
    require_bpf()


def expressions() -> list[str]:
    """Returns the queries of all panels, for all processes and methods."""
    panels = json.loads(DASHBOARD.read_text())["panels"]
    found = [target["expr"] for panel in panels for target in panel.get("targets", ())]
    replaced = [each.replace("$__rate_interval", "20s") for each in found]
    return [re.sub(r"\$(process|method)\b", ".*", each) for each in replaced]


def test_prometheus_has_what_hist_counts_and_the_dashboard_asks(
    bench: Bench, shared_targets: Path, tmp_path: Path
) -> None:
    with prime_calls(newest_jdk, shared_targets, before=NOBODY) as jvm:
        port = free_port()
        attach = bench.start("attach", jvm.pid, *SELECT, "--metrics", f"127.0.0.1:{port}", "--insecure")
        attach.line_with(f"serving metrics at http://127.0.0.1:{port}/metrics")
        attach.line_with("armed ")
        with prometheus(tmp_path, port) as server:
            hist = bench.start("hist", jvm.pid, *SELECT, "-o", "json")
            hist.line_with("armed ")
            wait_until(lambda: server.query("jprobe_build_info"), "a scrape")
            tallies = run_calls(jvm)
            counts = {
                (name, descriptor): calls for (name, descriptor), (calls, _) in expected(tallies).items()
            }
            total = sum(counts.values())
            query = f"histogram_count(sum({DURATION}))"
            wait_until(lambda: server.query(query) and server.value(query) == total, "all calls")
            hist.end()
            assert calls_in(hist) == expected(tallies)
            for line in map(json.loads, hist.output):
                chosen = f'{DURATION}{{method="{line["method"]}",descriptor="{line["descriptor"]}"}}'
                assert server.value(f"histogram_count(sum({chosen}))") == line["calls"]
                assert server.value(f"histogram_sum(sum({chosen}))") == line["sum_ns"]
                for fraction, name in ((0.5, "p50_ns"), (0.9, "p90_ns"), (0.99, "p99_ns")):
                    found = server.value(f"histogram_quantile({fraction}, sum({chosen}))")
                    assert math.isclose(found, line[name], rel_tol=MOST_ERROR), (line, fraction)
            hits = server.value("sum(jprobe_hits_total)")
            assert hits == server.value('jprobe_hits_total{account="delivered"}') > total
            run_calls(jvm)
            wait_until(lambda: server.value(query) == 2 * total, "the second calls")
            for expression in expressions():
                assert server.query(expression), f"no data: {expression}"
        attach.end()


def test_a_collector_without_events_counts_and_exports(
    bench: Bench, shared_targets: Path, tmp_path: Path
) -> None:
    receiver = Receiver()
    with prime_calls(newest_jdk, shared_targets, before=NOBODY) as jvm:
        address = parse_address(f"unix://{tmp_path}/m.sock")
        attach = bench.start(
            "attach", jvm.pid, *SELECT, "--no-events", "--metrics", address.text, "--otlp", receiver.endpoint
        )
        attach.line_with("armed 12 probes of 6 methods")
        tallies = run_calls(jvm)
        total = sum(calls for calls, _ in expected(tallies).values())
        samples = samples_of(ask(address).content)
        assert value(samples, "jprobe_hits_total", account="counted") == total
        assert value(samples, "jprobe_hits_total", account="delivered") == 0
        assert value(samples, f"{DURATION}_count", method="touch") == tallies["touch.entry"]
        last = attach.end()
    try:
        assert f"{total:,} hits = 0 delivered + {total:,} counted + 0 lost" in last
        # The export at the end has all calls.
        points = [
            (attributes(resource), point)
            for resource, metric in receiver.latest()
            if metric.WhichOneof("data") == "exponential_histogram"
            for point in metric.exponential_histogram.data_points
        ]
        assert sum(point.count for _, point in points) == total
        assert {about["service.name"] for about, point in points if point.count} == {"PrimeCalls"}
        scale = {point.scale for _, point in points if point.count}
        assert scale == {ExponentialHistogram().scale}
    finally:
        receiver.stop()


def test_exceptions_of_a_real_program_are_spans(bench: Bench, shared_targets: Path) -> None:
    receiver = Receiver()
    try:
        with prime_calls(newest_jdk, shared_targets, before=NOBODY) as jvm:
            attach = bench.start(
                "attach", jvm.pid, "--select", f"{ORDERS[:-1]}place", "--max-overhead", 0,
                "--otlp", receiver.endpoint, "--otlp-spans", "exception",
            )  # fmt: skip
            attach.line_with("armed ")
            tallies = run_calls(jvm)
            attach.end()
        thrown = tallies["place.throw"] + tallies["place2.throw"]
        exported = attach.line_with("exported ")
        counted = re.search(r"and ([\d,]+) spans? to .*; dropped (none|([\d,]+) spans?)", exported)
        assert counted
        spans, dropped = (int((counted[i] or "0").replace(",", "")) for i in (1, 3))
        assert spans + dropped == thrown > 0
        assert len(receiver.spans()) == spans > 0
        resource, span = receiver.spans()[0]
        assert attributes(resource)["service.name"] == "PrimeCalls"
        assert (span.name, span.status.code) == ("PrimeCalls$Orders#place", 2)
        assert attributes(span)["error.type"] == span.status.message
    finally:
        receiver.stop()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ("--metrics", "127.0.0.1:9464"),
            "cannot listen at 127.0.0.1:9464: any user of this machine could connect",
        ),
        (("--metrics", "x"), "'x' is not an address"),
        (("--no-events",), "--no-events needs --metrics ADDRESS or --otlp ENDPOINT"),
        (("--no-events", "--metrics", "unix:///tmp/m.sock", "-o", "json"), "-o needs events"),
        (("--otlp-spans", "exception"), "need --otlp ENDPOINT"),
        (("--otlp", "localhost:4317"), "is no endpoint: use https://host:4317"),
        (("--otlp", "http://192.0.2.1:4317"), "would cross the network unencrypted"),
        (("--otlp", "http://localhost", "--otlp-ca", "/dev/null"), "has no certificate in PEM format"),
        (("--otlp", "http://localhost", "--otlp-header", "authorization"), "--otlp-header is no NAME=VALUE"),
    ],
)
def test_invalid_options_end_the_command(bench: Bench, options: tuple[str, ...], message: str) -> None:
    found = bench.run("attach", 1, *options)
    assert found.returncode != 0
    assert message in found.stderr
    assert "Traceback" not in found.stderr
