"""Retransformations that would cost the program class data are avoided or not done."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from conditions import wait_until
from java_target import (
    JCOLLECT,
    Jdk,
    Process,
    attach,
    compile_reflected,
    finish,
    java,
    on_every_jdk,
    probes_of,
    run,
)
from jvm_bugs import ANNOTATED_RECORD, has_bug

NAMED, MARKED, PLAIN = (f"Reflected${name}" for name in ("Named", "Marked", "Plain"))


@pytest.fixture(scope="session")
def reflected(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_reflected(tmp_path_factory.mktemp("reflected"))


def said(target: Process) -> str:
    target.send("run")
    return target.wait_for_line("said: ")


def reasons(target: Process) -> dict[str, str]:
    """Returns, by class, the reasons why selected methods have no probes."""
    everything = json.loads(run(JCOLLECT, "probes", target.pid, "--all", "--json").stdout)
    return {one["class"]: one["reason"] for one in everything if not one.get("traceable", True)}


def states_are(target: Process, state: str) -> Callable[[], bool]:
    return lambda: {probe["state"] for probe in probes_of(target.pid)} == {state}


@on_every_jdk
def test_reflection_on_traced_classes_is_unchanged(jdk: Jdk, reflected: Path) -> None:
    # The rejected classes, and the bug that is the reason.
    bugs = {MARKED: ANNOTATED_RECORD} if has_bug(jdk, ANNOTATED_RECORD) else {}
    with java(jdk, "-cp", reflected, "Reflected") as target:
        target.wait_for_line("ready")
        as_ever = said(target)
    assert "[final java.lang.String name, int times]" in as_ever
    assert 'Checked("never empty")' in as_ever
    # One class is read while it is loaded, the others later from the JVM. The file from the JVM may lack data
    # that retransforming must not lose.
    with java(jdk, "-cp", reflected, "Reflected", probes=f"{MARKED}#*") as target:
        target.wait_for_line("ready")
        assert run(JCOLLECT, "select", target.pid, f"{NAMED}#*;{PLAIN}#*").returncode == 0
        assert said(target) == as_ever
        wait_until(lambda: reasons(target).keys() == bugs.keys(), f"{bugs} to be refused")
        for name, reason in reasons(target).items():
            assert reason.startswith(f"retransforming on JDK {'.'.join(map(str, jdk.release))} "), reason
            assert f"({bugs[name]}); use JDK " in reason
        traced = {probe["class"] for probe in probes_of(target.pid)}
        assert traced == {NAMED, MARKED, PLAIN} - bugs.keys()
        with attach(target.pid) as collector:
            assert said(target) == as_ever
            summary = finish(collector)
        wait_until(states_are(target, "dormant"), "all probes to be dormant")
        assert said(target) == as_ever
        # Only one line for the bug, however many methods it affects.
        ours = [line for line in target.err if line.startswith("jprobe:")]
        assert [re.findall(r"\((JDK-\d+)\)", line) for line in ours] == [[bug] for bug in bugs.values()]
    assert " 0 hits" not in summary
