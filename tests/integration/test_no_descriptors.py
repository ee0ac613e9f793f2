"""A program without a free file descriptor: its probes are published once it has one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from conditions import require_bpf, wait_until
from java_target import Jdk, Process, attach, finish, java, on_every_jdk, states_of, wait_for_probes

SELECTOR = "Descriptors$*#applyAsInt"
CALLS = 3
PROBES = 3


@pytest.fixture(autouse=True)
def bpf() -> None:
    require_bpf()


def ask(target: Process, command: str) -> None:
    target.send(command)
    target.wait_for_line(command.split()[0])


@on_every_jdk
def test_classes_loaded_while_no_descriptor_is_free_get_their_probes_later(jdk: Jdk, targets: Path) -> None:
    # 64 are enough for the JVM.
    limited = ["prlimit", "--nofile=64:64"]
    with java(jdk, "-cp", targets, "Descriptors", probes=SELECTOR, before=limited) as target:
        target.wait_for_line("ready")
        wait_for_probes(target.pid, PROBES)
        ask(target, "fill")
        ask(target, "load")
        target.wait_for_line("jprobe: cannot publish probes: .* Too many open files")
        assert states_of(target.pid) == {"dormant": PROBES}
        ask(target, "clear")
        probes = wait_for_probes(target.pid, 2 * PROBES)
        # The same result as if the first try had not failed.
        assert {probe["provider"] for probe in probes} == {"Descriptors_Early", "Descriptors_Late"}
        ask(target, "fill")
        with attach(target.pid, "-o", "json", "--lane", "kernel") as collector:
            ask(target, f"call {CALLS}")
            finish(collector)
        assert [json.loads(line)["kind"] for line in collector.out] == ["entry", "return"] * CALLS
        ask(target, "clear")
        wait_until(lambda: states_of(target.pid) == {"dormant": 2 * PROBES}, "everything to be dormant")
        # Only one line, however often publishing was tried.
        assert len([line for line in target.err if line.startswith("jprobe:")]) == 1
