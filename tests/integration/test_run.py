"""`jcollect run`: the first call of every method is traced, and the program is the user's own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest

from conditions import require_bpf, wait_until
from java_target import JCOLLECT, JDKS, newest_jdk, run
from threads import thread_names

# The entries of calls in FromFirst.java.
ENTRIES = {
    "main": 1,
    "early": 21,
    "<clinit>": 1,
    "initialize": 1,
    "Initialized.call": 10,
    "Later.call": 10,
    "callShared": 4,
    "Shared.call": 1000,
}
SELECT = ("--select", "FromFirst**#*")
# Where an agent may have its stub directory, and a collector its copy of the agent.
TEMPORARY = ("/tmp", "/var/tmp", "/dev/shm")


@pytest.fixture(autouse=True)
def bpf() -> None:
    require_bpf()


def entries(events: Path) -> Counter[str]:
    """Returns the number of entry events by method."""
    counted: Counter[str] = Counter()
    for line in events.read_text().splitlines():
        event = json.loads(line)
        if event.get("kind") != "entry":
            continue
        method, nested = event["method"], event["class"].partition("$")[2]
        counted[f"{nested}.{method}" if method == "call" else method] += 1
    return counted


def test_every_call_is_seen_from_the_first_on(shared_targets: Path, tmp_path: Path) -> None:
    """sudo's caller runs the program, with its streams, arguments and exit code."""
    events = tmp_path / "events"
    command = [newest_jdk.java, "-cp", str(shared_targets), "FromFirst", "--select", "x"]
    done = run(
        *(JCOLLECT, "run", *SELECT, "-o", "json", "--events", events, "--", *command),
        input="hello",
        env={**os.environ, "SUDO_UID": "65534"},
    )
    assert done.returncode == 7, done.stderr
    assert done.stdout == "user nobody\narguments --select,x\ninput hello\n"
    assert "its own stderr" in done.stderr
    assert "no loaded class" not in done.stderr
    assert "0 lost" in done.stderr
    assert entries(events) == ENTRIES


def test_a_flight_recorder_from_the_start_to_the_exit(shared_targets: Path, tmp_path: Path) -> None:
    events = tmp_path / "events"
    recorder = ("--last", "60s", "--on", "exit", "-o", "json", "--events", events)
    java = (newest_jdk.java, "-cp", str(shared_targets), "FromFirst")
    done = run(JCOLLECT, "run", "--user", "root", *SELECT, *recorder, "--", *java, input="")
    assert done.returncode == 7, done.stderr
    assert "flight recorder: triggered 1 time; 0 more were overwritten or too old" in done.stderr
    assert entries(events) == ENTRIES


def test_a_typo_is_reported_at_the_end(shared_targets: Path) -> None:
    java = (newest_jdk.java, "-cp", str(shared_targets), "FromFirst")
    done = run(JCOLLECT, "run", "--user", "root", "--select", "FromFirst#mian", "--", *java, input="")
    assert (done.returncode, "no loaded class" in done.stderr) == (7, False), done.stderr
    assert "loaded no method that --select matches" in done.stderr
    assert "has removed its selectors" not in done.stderr


def test_a_script_that_starts_java(shared_targets: Path, tmp_path: Path) -> None:
    events = tmp_path / "events"
    java = f"{JDKS[0].java} -cp {shared_targets} FromFirst"
    script = script_of(tmp_path, f"{java} </dev/null\nexit $(($? + 1))")
    done = run(*(JCOLLECT, "run", "--user", "root", *SELECT, "-o", "json", "--events", events, "--", script))
    assert done.returncode == 8, done.stderr
    assert entries(events) == ENTRIES


def test_a_held_program_goes_on_without_its_collector(shared_targets: Path) -> None:
    command = [newest_jdk.java, "-cp", str(shared_targets), "FromFirst"]
    started = subprocess.Popen(
        [JCOLLECT, "run", "--user", "root", "--hold", "1", *SELECT, "--", *command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_until(lambda: children(started.pid, "java"), "the program")
    # It attaches to nothing yet: the agent has not started.
    started.send_signal(signal.SIGKILL)
    begun = time.monotonic()
    assert started.stdout is not None
    assert "user root" in started.stdout.read()
    assert time.monotonic() - begun < 20
    started.wait()


@pytest.mark.parametrize("is_script", [False, True], ids=["java", "script"])
def test_a_program_goes_on_when_its_collector_is_killed_while_it_is_held(
    shared_targets: Path, tmp_path: Path, is_script: bool
) -> None:
    command = [str(newest_jdk.java), "-cp", str(shared_targets), "FromFirst"]
    if is_script:
        command = [str(script_of(tmp_path, f"{' '.join(command)}; exit $?"))]
    started = subprocess.Popen(
        [JCOLLECT, "run", "--user", "root", "--hold", "600", *SELECT, "--", *command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )
    wait_until(lambda: jvms_below(started.pid), "the program")
    (program,) = jvms_below(started.pid)
    # One thread accepts connections; another one serves the collector's.
    wait_until(lambda: thread_names(program).count("jprobe-control-") > 1, "the collector to connect")
    started.send_signal(signal.SIGKILL)
    try:
        assert "user root" in started.communicate(timeout=10)[0]
    except subprocess.TimeoutExpired:
        os.kill(program, signal.SIGKILL)
        raise
    assert [file for folder in TEMPORARY for file in Path(folder).glob(f"jprobe*-{program}-*")] == []


def script_of(folder: Path, commands: str) -> Path:
    script = folder / "start"
    script.write_text(f"#!/bin/sh\n{commands}\n")
    script.chmod(0o755)
    return script


def jvms_below(parent: int) -> list[int]:
    """Returns the JVMs that a process or one of its shells has started."""
    shells = [child for name in ("start", "sh") for child in children(parent, name)]
    return [*children(parent, "java"), *(jvm for shell in shells for jvm in children(shell, "java"))]


def test_all_jvms_that_a_script_starts_are_traced(shared_targets: Path, tmp_path: Path) -> None:
    events = tmp_path / "events"
    java = f"{newest_jdk.java} -cp {shared_targets} FromFirst </dev/null"
    script = script_of(tmp_path, f"{java} &\n{java} &\nwait")
    done = run(*(JCOLLECT, "run", "--user", "root", *SELECT, "-o", "json", "--events", events, "--", script))
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("user root") == 2
    assert entries(events) == {name: 2 * count for name, count in ENTRIES.items()}


@pytest.mark.parametrize("is_script", [False, True], ids=["java", "script"])
def test_a_jvm_that_starts_another_one(shared_targets: Path, tmp_path: Path, is_script: bool) -> None:
    """The child gets the agent only through the environment that a script has passed on."""
    events = tmp_path / "events"
    command = [str(newest_jdk.java), "-cp", str(shared_targets), "StartsAnother"]
    if is_script:
        command = [str(script_of(tmp_path, f"exec {' '.join(command)}"))]
    select = (*SELECT, "--select", "StartsAnother#start")
    done = run(
        *(JCOLLECT, "run", "--user", "root", *select, "-o", "json", "--events", events, "--", *command),
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 8, done.stderr
    assert "user root" in done.stdout
    assert entries(events) == {"start": 1, **(ENTRIES if is_script else {})}


def children(parent: int, name: str) -> list[int]:
    found = []
    for each in Path(f"/proc/{parent}/task/{parent}/children").read_text().split():
        if Path(f"/proc/{each}/comm").read_text().strip() == name:
            found.append(int(each))
    return found


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--user", "root", *SELECT, "--", "no-such-program"), 127, "there is no such program"),
        ((*SELECT, "--", "java"), 2, "name one with --user NAME"),
        (("--user", "root", "--", "java"), 2, "run needs --select"),
        (("--user", "root", *SELECT, "--", "sh", "-c", "kill -9 $$"), 137, "no Java program with the agent"),
    ],
)
def test_what_cannot_be_traced(arguments: tuple[str, ...], code: int, message: str) -> None:
    without_sudo = {name: value for name, value in os.environ.items() if not name.startswith("SUDO_")}
    done = run(JCOLLECT, "run", *arguments, env=without_sudo)
    assert (done.returncode, message in done.stderr) == (code, True), done.stderr
