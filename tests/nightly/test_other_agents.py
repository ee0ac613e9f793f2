"""jprobe beside agents that weave the same class, JaCoCo's and OpenTelemetry's, loaded in either order."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from beside_agents import JACOCO_CLI_JAR, JACOCO_JAR, OPENTELEMETRY_JAR, run_beside
from conditions import require_bpf
from java_target import Jdk, on_every_jdk, run

in_either_order = pytest.mark.parametrize("ours_first", [True, False], ids=["first", "last"])


@pytest.fixture(autouse=True)
def bpf() -> None:
    require_bpf()


@on_every_jdk
@in_either_order
def test_events_are_exact_and_jacoco_s_coverage_is_complete(
    jdk: Jdk, ours_first: bool, targets: Path, digest_agent: Path, tmp_path: Path
) -> None:
    file = tmp_path / "jacoco.exec"
    other = [f"-javaagent:{JACOCO_JAR}=destfile={file},includes=PrimeCalls$Orders"]
    run_beside(other, ours_first, jdk, targets, digest_agent, tmp_path)
    covered = run(jdk.java, "-jar", JACOCO_CLI_JAR, "execinfo", file).stdout
    assert re.search(r" 16 of  16 +PrimeCalls\$Orders$", covered, re.MULTILINE), covered


@on_every_jdk
@in_either_order
def test_events_are_exact_and_opentelemetry_has_all_its_spans(
    jdk: Jdk, ours_first: bool, targets: Path, digest_agent: Path, tmp_path: Path
) -> None:
    other = [
        f"-javaagent:{OPENTELEMETRY_JAR}",
        "-Dotel.instrumentation.methods.include=PrimeCalls$Orders[touch,label,depth]",
        "-Dotel.traces.exporter=console",
        "-Dotel.metrics.exporter=none",
        "-Dotel.logs.exporter=none",
        # Larger than the number of spans, so that none is dropped.
        "-Dotel.bsp.max.queue.size=100000",
    ]
    did, lines = run_beside(other, ours_first, jdk, targets, digest_agent, tmp_path)
    spans = Counter(
        match[1] for line in lines if (match := re.search(r"LoggingSpanExporter - '(.*?)'", line))
    )
    assert spans == {
        # The program also calls it once when it starts.
        "Orders.touch": 2 * did["touch.entry"] + 1,
        "Orders.label": 2 * did["label.entry"],
        "Orders.depth": 2 * did["depth.entry"],
    }
