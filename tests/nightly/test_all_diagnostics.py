"""Many diagnostic requests to a JVM at the same time, while methods are woven and unwoven under load."""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from conditions import require_bpf, wait_until
from java_target import COMPILER, H2_JAR, JCOLLECT, Jdk, Process, java, on_every_jdk, probes_of, run
from jcollect.control.open_gateway import open_gateway
from processes import opened
from second_agent import digest_now

SECONDS = float(os.environ.get("JPROBE_DIAGNOSTICS_SECONDS", "20"))
WOVEN = ("org/h2/command/Parser", "org/h2/mvstore/MVMap", "org/h2/engine/SessionLocal")
ALWAYS = "org.h2.command.*#*;org.h2.mvstore.**#*"
NOW_AND_THEN = "org.h2.engine.**#*"


@pytest.fixture(autouse=True)
def bpf() -> None:
    require_bpf()


class Storm:
    """Repeats several actions concurrently until the time is up."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds
        self._threads: list[threading.Thread] = []
        self.done: Counter[str] = Counter()
        self.problems: list[str] = []

    def keep_doing(self, what: str, action: Callable[[], object]) -> None:
        thread = threading.Thread(target=self._repeat, args=(what, action), name=what)
        self._threads.append(thread)
        thread.start()

    def _repeat(self, what: str, action: Callable[[], object]) -> None:
        while time.monotonic() < self._end:
            try:
                action()
            except Exception as problem:  # Any exception is a result of the test.
                self.problems.append(f"{what}: {problem!r}")
                return
            self.done[what] += 1

    def wait(self) -> None:
        for thread in self._threads:
            thread.join()


def jcmd(pid: int, *command: str | Path) -> None:
    result = run(COMPILER.home / "bin/jcmd", pid, *command, timeout=120)
    assert result.returncode == 0, result


def heap_dump(pid: int, folder: Path) -> None:
    file = folder / "heap.hprof"
    jcmd(pid, "GC.heap_dump", file)
    assert file.stat().st_size > 1_000_000
    file.unlink()


def record_flight(pid: int, folder: Path) -> None:
    file = folder / "flight.jfr"
    jcmd(pid, "JFR.start", "name=storm", "settings=profile")
    jcmd(pid, "JFR.dump", "name=storm", f"filename={file}")
    jcmd(pid, "JFR.stop", "name=storm")
    assert file.stat().st_size > 10_000
    file.unlink()


def select_and_unselect(pid: int) -> None:
    with open_gateway(opened(pid), may_load=False, seconds=120) as gateway:
        assert gateway.select([NOW_AND_THEN]).methods
        gateway.unselect([NOW_AND_THEN])


def attach_and_detach(pid: int) -> None:
    collected = run(JCOLLECT, "attach", pid, "--duration", "0.5", timeout=120)
    assert collected.returncode == 0, collected


def dump_threads(pid: int) -> None:
    os.kill(pid, signal.SIGQUIT)
    time.sleep(0.1)  # Sets a pace: signals in quick succession are merged into one.


def jfr_is_there(jdk: Jdk) -> bool:
    return (jdk.home / "lib/jfr").exists()


def start_server(jdk: Jdk, folder: Path) -> Process:
    arguments: Sequence[str | Path] = ("-cp", H2_JAR, "org.h2.tools.Server", "-tcp", "-tcpPort", "0")
    return java(
        jdk,
        *arguments,
        "-ifNotExists",
        probes=ALWAYS,
        options="control=on",
        jvm=["-Xmx128m", "-XX:+EnableDynamicAgentLoading"],
        cwd=folder,
    )


@on_every_jdk
def test_all_diagnostics_at_once_under_load(
    jdk: Jdk, targets: Path, digest_agent: Path, tmp_path: Path
) -> None:
    with start_server(jdk, tmp_path) as server:
        address = re.search(r"tcp://\S+", server.wait_for_line("TCP server running"))
        assert address
        url = f"jdbc:h2:tcp://localhost:{address[0].rsplit(':', 1)[1]}/mem:storm"
        load_seconds = str(int(SECONDS) + 10)
        with java(jdk, "-cp", f"{targets}:{H2_JAR}", "H2Load", url, "100", load_seconds) as load:
            load.wait_for_line("loading")
            wait_until(lambda: len(probes_of(server.pid)) > 2_000, "most of the database to be loaded")
            before = [digest_now(server.pid, digest_agent, name) for name in WOVEN]
            storm = Storm(SECONDS)
            for command in ("Thread.print", "VM.classloader_stats", "Compiler.queue", "GC.run"):
                storm.keep_doing(command, lambda command=command: jcmd(server.pid, command))  # type: ignore[misc]
            storm.keep_doing("SIGQUIT", lambda: dump_threads(server.pid))
            storm.keep_doing("heap dump", lambda: heap_dump(server.pid, tmp_path))
            if jfr_is_there(jdk):
                storm.keep_doing("JFR", lambda: record_flight(server.pid, tmp_path))
            storm.keep_doing("select", lambda: select_and_unselect(server.pid))
            storm.keep_doing("attach", lambda: attach_and_detach(server.pid))
            storm.wait()
            assert storm.problems == []
            assert min(storm.done.values()) > 0, storm.done
            assert load.wait(120) == 0, load.err
            assert load.err == []
        wait_until(
            lambda: {probe["state"] for probe in probes_of(server.pid)} <= {"dormant", "retired"},
            "all probes to rest",
        )
        assert [digest_now(server.pid, digest_agent, name) for name in WOVEN] == before
        assert [line for line in server.err if line.startswith("jprobe:")] == []
        assert sorted(tmp_path.glob("hs_err*")) == []
        print(storm.done)
