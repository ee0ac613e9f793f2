"""jprobe beside JaCoCo, which weaves each class while it is loaded."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from beside_agents import JACOCO_CLI_JAR, JACOCO_JAR, run_beside
from conditions import require_bpf
from java_target import JDKS, Jdk, newest_jdk, run


@pytest.mark.parametrize(("jdk", "ours_first"), [(JDKS[0], True), (newest_jdk, False)])
def test_events_are_exact_and_the_coverage_is_complete(
    jdk: Jdk, ours_first: bool, targets: Path, digest_agent: Path, tmp_path: Path
) -> None:
    require_bpf()
    file = tmp_path / "jacoco.exec"
    other = [f"-javaagent:{JACOCO_JAR}=destfile={file},includes=PrimeCalls$Orders"]
    run_beside(other, ours_first, jdk, targets, digest_agent, tmp_path)
    covered = run(jdk.java, "-jar", JACOCO_CLI_JAR, "execinfo", file).stdout
    assert re.search(r" 16 of  16 +PrimeCalls\$Orders$", covered, re.MULTILINE), covered
