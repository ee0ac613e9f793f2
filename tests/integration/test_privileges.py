"""Each verb works on a program of another user with the capabilities that SECURITY.md lists, and keeps no
others."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from java_target import JCOLLECT, NOBODY, ORDERS, Process, as_user, attach, finish, java, newest_jdk, run
from jcollect.cli.privileges import NEEDED
from jcollect.procfs import capabilities as cap
from jprobe.v1 import collector_pb2, collector_pb2_grpc
from threads import threads_of

# A user other than root and the target's.
USER = as_user("64022", "64022")


def with_capabilities(kept: frozenset[int]) -> list[str]:
    """Returns the start of a command that runs as a user with these capabilities."""
    plus = [f"+{cap.NAMES[each].removeprefix('CAP_').lower()}" for each in sorted(kept)]
    only = ",".join(["-all", *plus])
    return [*USER, f"--inh-caps={only}", f"--ambient-caps={only}"]


@pytest.fixture
def jvm(shared_targets: Path) -> Iterator[Process]:
    with java(newest_jdk, "-cp", shared_targets, "PrimeCalls", before=NOBODY) as started:
        started.wait_for_line("ready")
        yield started


@pytest.fixture
def folder() -> Iterator[Path]:
    """Yields a folder in which that user may have a socket and a cache."""
    made = Path(tempfile.mkdtemp(prefix="jprobe-test-", dir="/var/tmp"))
    os.chown(made, 64022, 64022)
    yield made
    shutil.rmtree(made)


def environment(folder: Path) -> dict[str, str]:
    return {"XDG_CACHE_HOME": str(folder), "PATH": os.environ["PATH"]}


def test_verbs_of_an_unprivileged_user_work_with_the_listed_capabilities(jvm: Process, folder: Path) -> None:
    def jcollect(verb: str, *arguments: str | int) -> str:
        needed = NEEDED[f"{verb} --select" if "--select" in arguments else verb]
        done = run(*with_capabilities(needed), JCOLLECT, verb, *arguments, env=environment(folder), cwd="/")
        assert done.returncode == 0, (verb, arguments, done.stderr)
        return str(done.stdout + done.stderr)

    pid = jvm.pid
    assert "selected 6 methods" in jcollect("select", pid, ORDERS)
    assert "PrimeCalls$Orders#touch" in jcollect("probes", pid)
    assert "PrimeCalls" in jcollect("ps")
    assert "6 methods" in jcollect("status", pid)
    jcollect("set", pid, "*#touch", "every 2")
    listen = ("--listen", f"unix://{folder}/x.sock", "--duration", "0.3")
    assert "armed 18 probes" in jcollect("attach", pid, *listen)
    jcollect("unselect", pid, "--all")
    jcollect("select", pid, ORDERS)
    jcollect("reset", pid)
    assert "armed 18 probes" in jcollect("attach", pid, "--select", ORDERS, *listen)
    own = ("--select", ORDERS, "--duration", "0.3")
    assert "armed 18 probes" in jcollect("observe", pid, *own)
    assert "armed 18 probes" in jcollect("top", pid, "--events", *own)
    recording = f"{folder}/a.jprec"
    assert "recorded 0 events" in jcollect("record", pid, "-w", recording, *own)
    assert "replayed 0 events" in jcollect("replay", recording)
    assert "converted 0 events" in jcollect("convert", recording, f"{folder}/a.jsonl")
    for verb in ("top", "hist"):
        assert "armed 12 probes" in jcollect(verb, pid, *own)
    # With those of the JVM's pauses.
    assert "armed 12 probes of 6 methods, and 4 USDT probes" in jcollect("slow", pid, *own)
    assert "armed 18 probes" in jcollect("tree", pid, *own)
    assert "armed 6 probes" in jcollect("exceptions", pid, *own)
    for verb in ("tree", "slow", "exceptions"):
        assert ", 0 lost" in jcollect(verb, recording)


def test_a_program_is_run_with_the_listed_capabilities_and_without_them_itself(
    shared_targets: Path, folder: Path
) -> None:
    command = (
        *("run", "--select", "FromFirst#early", "--listen", f"unix://{folder}/x.sock", "--"),
        *("sh", "-c", f"grep Cap /proc/self/status; {newest_jdk.java} -cp {shared_targets} FromFirst"),
    )
    done = run(
        *(*with_capabilities(NEEDED["run"]), JCOLLECT, *command),
        env=environment(folder), cwd="/", stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == 7, done.stderr
    # Entries and returns.
    assert "42 hits = 42 delivered" in done.stderr
    held = {name: int(value, 16) for name, value in re.findall(r"(Cap\w+):\t(\w+)", done.stdout)}
    assert held["CapEff"] == held["CapPrm"] == held["CapInh"] == held["CapAmb"] == 0


@pytest.mark.parametrize("missing", sorted(NEEDED["attach --select"]), ids=cap.NAMES.get)
def test_attach_needs_each_of_them(missing: int, jvm: Process, folder: Path) -> None:
    with_all_but_one = with_capabilities(NEEDED["attach --select"] - {missing})
    attach_and_end = (
        "attach",
        jvm.pid,
        "--select",
        ORDERS,
        "--listen",
        f"unix://{folder}/x.sock",
        "--duration",
        1,
    )
    done = run(*with_all_but_one, JCOLLECT, *attach_and_end, env=environment(folder), cwd="/")
    assert done.returncode == 1
    assert cap.NAMES[missing] in done.stderr


def test_nothing_else_is_kept(jvm: Process) -> None:
    assert run(JCOLLECT, "select", jvm.pid, ORDERS).returncode == 0
    collector = attach(jvm.pid)
    optional = {cap.SETUID, cap.SETGID, cap.SETPCAP, cap.CHECKPOINT_RESTORE, cap.KILL, cap.SYS_NICE}
    kept = cap.bits(NEEDED["attach"] | optional)
    threads = list(threads_of(collector.pid, "status"))
    assert len(threads) > 1
    for thread, status in threads:
        fields = dict(line.split(":\t", 1) for line in status.splitlines())
        for name in ("CapEff", "CapPrm", "CapBnd"):
            assert int(fields[name], 16) == kept, (thread, name)
        assert fields["NoNewPrivs"] == "1"
        assert fields["Seccomp"] == "2"
    finish(collector)


def test_a_collector_says_which_privilege_a_command_lacks(jvm: Process, folder: Path) -> None:
    """It was started with those of `attach`, and SetProbes needs those of `select`."""
    assert run(JCOLLECT, "select", jvm.pid, ORDERS).returncode == 0
    command = [
        *with_capabilities(NEEDED["attach"]),
        JCOLLECT,
        "attach",
        jvm.pid,
        "--listen",
        f"unix://{folder}/x.sock",
    ]
    with Process(command, env=environment(folder), cwd="/") as collector:
        collector.wait_for_line("armed 18 probes")
        with grpc.insecure_channel(f"unix://{folder}/x.sock") as channel:
            request = collector_pb2.SetProbesRequest(
                pid=jvm.pid, select=collector_pb2.SelectCommand(selectors=["PrimeCalls#main"])
            )
            with pytest.raises(grpc.RpcError) as caught:
                collector_pb2_grpc.CollectorServiceStub(channel).SetProbes(request, timeout=30)
        assert caught.value.code() == grpc.StatusCode.FAILED_PRECONDITION
        assert "CAP_SETUID" in caught.value.details()
        finish(collector)
