"""All JNI code under -Xcheck:jni and the sanitizers, on every JDK; in short also in tests/integration."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from conditions import require_bpf, wait_until
from java_target import (
    BINDING,
    COMPILER,
    ORDERS,
    ORDERS_PROBES,
    ROOT,
    Jdk,
    Process,
    attach,
    finish,
    on_every_jdk,
    states_of,
    wait_for_probes,
)
from jcollect.control.open_gateway import open_gateway
from native_checks import Checked, complaints, jni_checked, sanitized
from prime_calls import leftovers
from processes import opened

HAND_MADE = ("run", "every", "narrow", "texts", "add", "later", "close")


@pytest.fixture(params=["-Xcheck:jni", "sanitizers"])
def checked(request: pytest.FixtureRequest, tmp_path: Path) -> Checked:
    require_bpf()
    return jni_checked() if request.param == "-Xcheck:jni" else sanitized(tmp_path)


@contextmanager
def without_complaints(target: Process) -> Iterator[Process]:
    """Yields the running program, and then checks that it exits normally and that no tool has complained."""
    with target:
        target.wait_for_line("ready")
        yield target
        target.send("exit")
        assert target.wait(60) == 0, target.err
        assert complaints(target) == []


def calls_of(target: Process) -> str:
    """Attaches while the program makes its calls, and returns the collector's hit counts."""
    with attach(target.pid) as collector:
        target.send("run")
        target.wait_for_line(r"\{", 240)
        return finish(collector)


@on_every_jdk
def test_calls_from_many_threads(jdk: Jdk, checked: Checked, targets: Path) -> None:
    with without_complaints(
        checked.java(jdk, "-cp", targets, "PrimeCalls", agent=f"probes={ORDERS}")
    ) as target:
        wait_for_probes(target.pid, ORDERS_PROBES)
        for _ in range(2):
            assert " 300,008 hits = 300,008 delivered + 0 lost" in calls_of(target)


@on_every_jdk
def test_calls_of_every_kind(jdk: Jdk, checked: Checked, targets: Path) -> None:
    arguments = ("-cp", targets, "EveryKind", "1024")
    with without_complaints(
        checked.java(jdk, *arguments, agent="probes=Kinds$**#*,string-limit=1024")
    ) as target:
        wait_for_probes(target.pid, 3 * 105)
        assert " + 0 lost" in calls_of(target)


@on_every_jdk
def test_calls_in_unusual_situations(jdk: Jdk, checked: Checked, targets: Path) -> None:
    probes = "OddPlaces$Mirror#name(me=this.toString());OddPlaces$*#*;OddMaking#*"
    arguments = ("-Xmx48m", "-cp", targets, "OddPlaces")
    with checked.java(jdk, *arguments, agent=f"probes={probes}") as target:
        target.wait_for_line("ready")
        wait_until(lambda: states_of(target.pid), "probes")
        with attach(target.pid) as collector:
            target.send("visit")
            assert target.wait(120) == 7
            assert collector.wait() == 0
        assert complaints(target) == []


@on_every_jdk
def test_selecting_unselecting_and_resetting(jdk: Jdk, checked: Checked, targets: Path) -> None:
    with without_complaints(checked.java(jdk, "-cp", targets, "PrimeCalls", agent="control=on")) as target:
        with open_gateway(opened(target.pid), may_load=False) as gateway:
            for _ in range(10):
                assert gateway.select([ORDERS]).traced_probes == ORDERS_PROBES
                with attach(target.pid) as collector:
                    finish(collector)
                gateway.unselect([])
            gateway.reset()
        wait_until(lambda: leftovers(target.pid) == [], "the agent to be removed completely")


@pytest.fixture(scope="module")
def user_defined(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stapsdt")
    sources = sorted((ROOT / "tests/targets/stapsdt").glob("*.java"))
    subprocess.run([COMPILER.javac, "--release", "11", "-cp", BINDING, "-d", folder, *sources], check=True)
    return folder


@on_every_jdk
def test_user_defined_probes(jdk: Jdk, checked: Checked, user_defined: Path) -> None:
    class_path = f"{user_defined}:{checked.binding}"
    with without_complaints(checked.java(jdk, "-cp", class_path, "HandMade")) as target:
        with attach(target.pid) as collector:
            for command in HAND_MADE:
                target.send(command)
                target.wait_for_line("the provider" if command == "close" else f"did {command}", 60)
            counts = finish(collector)
        assert " + 0 lost" in counts
        assert " 0 hits" not in counts
