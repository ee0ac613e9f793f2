"""A program with a full heap: its classes are woven or restored once there is memory."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from conditions import require_bpf, wait_until
from java_target import (
    BINDING,
    COMPILER,
    ROOT,
    Jdk,
    Process,
    attach,
    finish,
    java,
    jcollect,
    on_every_jdk,
    run,
    states_of,
    wait_for_probes,
)
from second_agent import Digests

AGENT_CLASSES = ROOT / "java-agent/build/classes/java/main"
WORK = "FullHeap$Work"
PROBES = 3
# The agent tries once a second at first.
FULL_SECONDS = 2.5
# On a busy machine, the agent may get some memory between two turns of the threads.
TRIES = 10


@pytest.fixture(autouse=True)
def bpf() -> None:
    require_bpf()


class Program:
    """tests/targets/FullHeap.java, traced, with the digest of its class from before."""

    def __init__(self, target: Process, digests: Digests) -> None:
        self.pid = target.pid
        self._target = target
        self._digests = digests
        self._original = digests.of_a_retransformation()
        self._unseen = 0

    def fill(self) -> None:
        self._target.send("f")
        self._target.wait_for_line("full")

    def clear(self) -> None:
        self._target.send("c")
        self._target.wait_for_line("clear")

    def names(self) -> str:
        self._target.send("n")
        return self._target.wait_for_line("named ")

    def is_original(self) -> bool:
        return self._digests.all()[-1] == self._original

    def wait_until_original(self) -> None:
        """Waits until the class is restored, after memory was freed."""
        wait_until(lambda: states_of(self.pid) == {"dormant": PROBES}, "the class to be restored")
        if not self.is_original():
            # The JVM had no memory for the second agent, and restored the class without it.
            self._unseen += 1
            assert self._unseen == 1, "the class is not what it was"
            with attach(self.pid) as collector:
                finish(collector)
        wait_until(self.is_original, "the second agent to see the original class")

    def has_reported_why(self) -> bool:
        reason = "java.lang.OutOfMemoryError: the program has no memory left"
        return f"jprobe: cannot weave class {WORK}: {reason}" in self._target.err


@contextmanager
def program(jdk: Jdk, targets: Path, digest_agent: Path, folder: Path) -> Iterator[Program]:
    witness = f"-javaagent:{digest_agent}={folder / 'digests'},{WORK}"
    small = ["-Xmx16m", "-XX:+UseSerialGC", "-XX:-UseGCOverheadLimit"]
    with java(jdk, witness, "-cp", targets, "FullHeap", probes=f"{WORK}#step", jvm=small) as target:
        target.wait_for_line("ready")
        wait_for_probes(target.pid, PROBES)
        yield Program(target, Digests(folder / "digests", WORK))
        target.send("x")
        assert target.wait() == 0


@pytest.mark.takes_long
@on_every_jdk
def test_a_class_that_could_not_be_restored_is_restored_later(
    jdk: Jdk, targets: Path, digest_agent: Path, tmp_path: Path
) -> None:
    with program(jdk, targets, digest_agent, tmp_path) as full:
        assert any(was_restored_late(full) for _ in range(TRIES))


def was_restored_late(full: Program) -> bool:
    """Returns true if the class could not be restored while the heap was full. It must be restored
    afterwards.
    """
    with attach(full.pid) as collector:
        assert not full.is_original()
        full.fill()
        finish(collector)
    time.sleep(FULL_SECONDS)
    is_late = not full.is_original()
    full.clear()
    full.wait_until_original()
    return is_late


@pytest.mark.takes_long
@on_every_jdk
def test_a_class_that_could_not_be_woven_is_woven_later_or_reported_with_the_reason(
    jdk: Jdk, targets: Path, digest_agent: Path, tmp_path: Path
) -> None:
    with program(jdk, targets, digest_agent, tmp_path) as full:
        assert any(was_woven_late_or_never(full) for _ in range(TRIES))
        with attach(full.pid) as collector:
            assert not full.is_original()
            finish(collector)
        full.wait_until_original()


def was_woven_late_or_never(full: Program) -> bool:
    """Returns true if the class could not be woven while the heap was full. It is woven afterwards, or has a
    reason.
    """
    full.fill()
    with jcollect("attach", full.pid, "--max-overhead", "0") as collector:
        collector.wait_for_line("armed ")
        time.sleep(FULL_SECONDS)
        is_late = full.is_original()
        full.clear()
        wait_until(lambda: set(states_of(full.pid)) <= {"armed", "failed"}, "a decision")
        is_failed = "failed" in states_of(full.pid)
        assert full.is_original() == is_failed
        assert full.has_reported_why() >= is_failed
        finish(collector)
    full.wait_until_original()
    return is_late


@on_every_jdk
def test_the_jvm_survives_retransformations_without_memory(jdk: Jdk, tmp_path: Path) -> None:
    """With Instrumentation.retransformClasses, HotSpot crashes or hangs within a second."""
    class_path = f"{tmp_path}:{AGENT_CLASSES}:{BINDING}"
    source = ROOT / "tests/targets/fullheap/RetransformInFullHeap.java"
    compiled = run(COMPILER.javac, "--release", "11", "-cp", class_path, "-d", tmp_path, source)
    assert compiled.returncode == 0, compiled
    small = ["-Xmx8m", "-XX:+UseSerialGC", "-XX:-UseGCOverheadLimit"]
    with java(jdk, "-cp", class_path, "RetransformInFullHeap", "50", tmp_path, jvm=small) as target:
        assert target.wait() == 0, target.out
        assert re.fullmatch(r"succeeded [1-9]\d*", target.out[-1])


@pytest.mark.takes_long
@on_every_jdk
def test_parameter_names_survive_a_full_heap(jdk: Jdk, digest_agent: Path, tmp_path: Path) -> None:
    source = ROOT / "tests/targets/FullHeap.java"
    compiled = run(COMPILER.javac, "--release", "11", "-parameters", "-d", tmp_path / "named", source)
    assert compiled.returncode == 0, compiled
    with program(jdk, tmp_path / "named", digest_agent, tmp_path) as full:
        for _ in range(3):
            with attach(full.pid) as collector:
                full.fill()
                finish(collector)
            # Without memory to call an agent, the JVM restores the class without it.
            time.sleep(FULL_SECONDS)
            full.clear()
            full.wait_until_original()
            wait_until(lambda: full.names() == "named [final int first, int second]", "the names")
