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


def test_a_typo_is_reported_at_the_end(shared_targets: Path) -> None:
    java = (newest_jdk.java, "-cp", str(shared_targets), "FromFirst")
    done = run(JCOLLECT, "run", "--user", "root", "--select", "FromFirst#mian", "--", *java, input="")
    assert (done.returncode, "no loaded class" in done.stderr) == (7, False), done.stderr
    assert "loaded no method that --select matches" in done.stderr
    assert "has removed its selectors" not in done.stderr


def test_a_script_that_starts_java(shared_targets: Path, tmp_path: Path) -> None:
    script, events = tmp_path / "start", tmp_path / "events"
    java = f"{JDKS[0].java} -cp {shared_targets} FromFirst"
    script.write_text(f"#!/bin/sh\n{java} </dev/null\nexit $(($? + 1))\n")
    script.chmod(0o755)
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
        ((*SELECT, "--", "java"), 1, "name one with --user NAME"),
        (("--user", "root", "--", "java"), 2, "run needs --select"),
        (("--user", "root", *SELECT, "--", "sh", "-c", "kill -9 $$"), 137, "no Java program with the agent"),
    ],
)
def test_what_cannot_be_traced(arguments: tuple[str, ...], code: int, message: str) -> None:
    without_sudo = {name: value for name, value in os.environ.items() if not name.startswith("SUDO_")}
    done = run(JCOLLECT, "run", *arguments, env=without_sudo)
    assert (done.returncode, message in done.stderr) == (code, True), done.stderr
