"""With a debugger's agent in the JVM, jprobe warns of the debugger state that the JVM will lose."""

from __future__ import annotations

from pathlib import Path

import pytest

from conditions import require_bpf
from java_target import Jdk, attach, finish, java, on_every_jdk, wait_for_probes

JDWP = "-agentlib:jdwp=transport=dt_socket,server=y,suspend=n,address=127.0.0.1:0"


@pytest.fixture(autouse=True)
def bpf() -> None:
    require_bpf()


@pytest.mark.parametrize("debugged", [True, False], ids=["debugged", "plain"])
@on_every_jdk
def test_breakpoints_that_will_be_lost_are_warned_of(jdk: Jdk, debugged: bool, targets: Path) -> None:
    jvm = [JDWP] if debugged else []
    with java(jdk, "-cp", targets, "Unlinked", probes="Unlinked$Guest#applyAsInt", jvm=jvm) as target:
        target.wait_for_line("ready")
        wait_for_probes(target.pid, 3)
        for _ in range(2):
            with attach(target.pid) as collector:
                finish(collector)
            assert any("has a debugger agent (JDWP)" in line for line in collector.err) == debugged
        # Reported only once, however often methods are woven.
        told = [line for line in target.err if line.startswith("jprobe: a debugger's agent (JDWP) is in")]
        assert len(told) == debugged
