"""A user without any capability traces the user's own programs, and finds the collectors of that."""

from __future__ import annotations

import json
import os
import pwd
import re
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from conditions import as_root, wait_until
from java_target import (
    JCOLLECT,
    NOBODY,
    ORDERS,
    ORDERS_PROBES,
    Process,
    as_user,
    finish,
    java,
    newest_jdk,
    run,
    states_of,
    wait_for_probes,
)
from jcollect.control.agent import find_agent
from jcollect.probes.overhead import read_overhead
from prime_calls import ORDERS_METHODS, hits_of, leftovers, prime_calls, run_calls
from processes import opened

pytestmark = as_root

UNLIMITED = ("--max-overhead", "0")
# Maximum time in which a process is as before after a collector was killed, and for the test to see that.
RESTORED_SECONDS = 1.0
POLLING_SECONDS = 0.2


class User:
    """A user without capabilities, who has a runtime directory."""

    def __init__(self, folder: Path) -> None:
        self.directory = folder / "jprobe"
        self._command = as_user("nobody", reads_checkout=True)
        self._options: dict[str, Any] = {
            "env": {"XDG_RUNTIME_DIR": str(folder), "HOME": str(folder), "PATH": os.environ["PATH"]},
            "cwd": "/",
        }

    def without_directory(self) -> User:
        other = User(self.directory.parent)
        del other._options["env"]["XDG_RUNTIME_DIR"]
        return other

    def start(self, *arguments: str | int | Path, before: Sequence[str] = ()) -> Process:
        """Starts jcollect as this user, by a command that executes another one."""
        return Process([*before, *self._command, JCOLLECT, *map(str, arguments)], **self._options)

    def run(self, *arguments: str | int | Path, before: Sequence[str] = ()) -> Any:
        return run(*before, *self._command, JCOLLECT, *arguments, **self._options)


@pytest.fixture
def user() -> Iterator[User]:
    folder = Path(tempfile.mkdtemp(prefix="jprobe-test-", dir="/var/tmp"))
    nobody = pwd.getpwnam("nobody")
    os.chown(folder, nobody.pw_uid, nobody.pw_gid)
    yield User(folder)
    shutil.rmtree(folder)


@pytest.fixture
def jvm(shared_targets: Path) -> Iterator[Process]:
    """Yields a program without an agent."""
    with prime_calls(newest_jdk, shared_targets, before=NOBODY, cwd="/") as started:
        yield started


@pytest.fixture
def selected(shared_targets: Path) -> Iterator[Process]:
    """Yields a program with an agent that stays when all clients have left."""
    options = {"before": NOBODY, "cwd": "/", "probes": ORDERS, "options": "control=on"}
    with java(newest_jdk, "-cp", shared_targets, "PrimeCalls", guarded=True, **options) as started:
        started.wait_for_line("ready")
        wait_for_probes(started.pid, ORDERS_PROBES)
        yield started


def calls_of(tallies: dict[str, int]) -> int:
    return hits_of(tallies) // 2


def errors_of(tallies: dict[str, int]) -> int:
    return tallies["place.throw"] + tallies["place2.throw"]


def limit_of(pid: int) -> int:
    """Returns the overhead limit in force, in percent of a core."""
    agent = find_agent(opened(pid))
    assert agent is not None
    return read_overhead(agent.libraries[0]).max_percent


def seconds_until(condition: Callable[[], bool], since: float) -> float:
    wait_until(condition, "the program to be as before")
    return time.monotonic() - since


def test_attach_serves_in_the_users_directory_where_clients_find_it(user: User, jvm: Process) -> None:
    with user.start("attach", jvm.pid, "--select", ORDERS, *UNLIMITED) as collector:
        line = collector.wait_for_line("armed ")
        address = f"unix://{user.directory}/{jvm.pid}.sock"
        assert line.endswith(f"serving {address}")
        assert os.stat(user.directory).st_mode & 0o777 == 0o700
        with (
            user.start("observe", jvm.pid, "-o", "json") as observe,
            user.start("top", jvm.pid, "--interval", "0.2") as top,
            user.start("hist", jvm.pid, "--interval", "0.2") as hist,
        ):
            observe.wait_for_line("observing ")
            for counting in (top, hist):
                wait_until(lambda of=counting: of.out, "the first table")
            tallies = run_calls(jvm)
            hits, calls = hits_of(tallies), calls_of(tallies)
            shown = user.run("status", jvm.pid).stdout
            assert address in shown
            assert f"lane: direct for {ORDERS_PROBES} probes" in shown
            assert address in user.run("ps").stdout
            assert f"{hits:,} hits = {hits:,} delivered + 0 lost" in finish(collector)
            for client in (observe, top, hist):
                assert client.wait() == 0, client.err
        assert sum('"kind":"' in line for line in observe.out) == hits
        for counting in (top, hist):
            assert f"{ORDERS_METHODS} methods, {calls:,} calls" in counting.out[-1]
    assert os.listdir(user.directory) == []
    wait_until(lambda: not leftovers(jvm.pid), "the agent to leave")


@pytest.mark.parametrize("lane", ["auto", "direct"])
def test_a_second_reader_is_told_what_works_beside_the_first(user: User, jvm: Process, lane: str) -> None:
    with user.start("attach", jvm.pid, "--select", ORDERS) as collector:
        collector.wait_for_line("armed ")
        refused = user.run("attach", jvm.pid, "--select", ORDERS, "--lane", lane)
        assert refused.returncode == 1
        assert refused.stderr.splitlines()[-1] == (
            f"jcollect: another jcollect reads the direct lane of PID {jvm.pid}; read its events with "
            f"jcollect observe {jvm.pid}, count calls beside it with jcollect top or hist, or use "
            "--lane kernel as root"
        )
        finish(collector)


def test_observe_prints_every_event(user: User, jvm: Process) -> None:
    with user.start("observe", jvm.pid, "--select", ORDERS, *UNLIMITED, "-o", "json") as observe:
        observe.wait_for_line("armed ")
        hits = hits_of(run_calls(jvm))
        assert f"{hits:,} hits = {hits:,} delivered + 0 lost" in finish(observe)
    assert sum('"kind":"' in line for line in observe.out) == hits
    wait_until(lambda: not leftovers(jvm.pid), "the agent to leave")


@pytest.mark.parametrize("verb", ["top", "hist"])
def test_calls_are_counted_without_events(user: User, jvm: Process, verb: str) -> None:
    with user.start(verb, jvm.pid, "--select", ORDERS, *UNLIMITED) as counting:
        counting.wait_for_line("armed ")
        tallies = run_calls(jvm)
        calls = calls_of(tallies)
        assert f"{calls:,} hits = 0 delivered + {calls:,} counted + 0 lost" in finish(counting)
    assert f"{ORDERS_METHODS} methods, {calls:,} calls" in counting.out[-1]
    if verb == "top":
        assert f"{errors_of(tallies):,} errors" in counting.out[-1]
    wait_until(lambda: not leftovers(jvm.pid), "the agent to leave")


def test_top_sums_up_events(user: User, jvm: Process) -> None:
    with user.start("top", jvm.pid, "--select", ORDERS, *UNLIMITED, "--events") as top:
        top.wait_for_line("armed ")
        tallies = run_calls(jvm)
        hits = hits_of(tallies)
        assert f"{hits:,} hits = {hits:,} delivered + 0 lost" in finish(top)
    assert f"{ORDERS_METHODS} methods, {calls_of(tallies):,} calls" in top.out[-1]


@pytest.mark.parametrize("starts", ["java itself", "a script"])
def test_run_traces_from_the_first_call_on(user: User, shared_targets: Path, starts: str) -> None:
    command = [newest_jdk.java, "-cp", str(shared_targets), "FromFirst"]
    if starts == "a script":
        command = ["sh", "-c", f"{' '.join(command)}; exit $?"]
    with user.start("run", "--select", "FromFirst#early", "--", *command) as running:
        running.finish_input()
        assert running.wait() == 7, running.err
    # Entries and returns.
    assert "42 hits = 42 delivered + 0 lost" in running.err[-1]


@pytest.mark.parametrize("verb", ["attach", "top --events", "top", "hist"])
def test_an_agent_leaves_within_a_second_of_a_kill(user: User, jvm: Process, verb: str) -> None:
    with user.start(*verb.split(), jvm.pid, "--select", ORDERS) as killed:
        killed.wait_for_line("armed ")
        killed.signal(signal.SIGKILL)
        since = time.monotonic()
        # An agent that was loaded for it restores the methods, and leaves.
        assert seconds_until(lambda: not leftovers(jvm.pid), since) < RESTORED_SECONDS + POLLING_SECONDS
    assert run_calls(jvm)["touch.entry"]


def test_methods_are_restored_within_a_second_of_a_kill(user: User, selected: Process) -> None:
    before = limit_of(selected.pid)
    with user.start("attach", selected.pid, "--max-overhead", 3) as killed:
        killed.wait_for_line("armed ")
        assert states_of(selected.pid) == {"armed": ORDERS_PROBES}
        wait_until(lambda: limit_of(selected.pid) == 3, "the limit")
        killed.signal(signal.SIGKILL)
        since = time.monotonic()
        seconds = seconds_until(lambda: states_of(selected.pid) == {"dormant": ORDERS_PROBES}, since)
        assert seconds < RESTORED_SECONDS + POLLING_SECONDS
    wait_until(lambda: limit_of(selected.pid) == before, "the limit to be as before")
    assert run_calls(selected)["touch.entry"]


def test_the_limit_ends_with_the_collector(user: User, selected: Process) -> None:
    before = limit_of(selected.pid)
    with user.start("attach", selected.pid, "--max-overhead", 5) as collector:
        collector.wait_for_line("armed ")
        wait_until(lambda: limit_of(selected.pid) == 5, "the limit")
        finish(collector)
    wait_until(lambda: limit_of(selected.pid) == before, "the limit to be as before")


def test_without_a_directory_attach_serves_elsewhere(user: User, jvm: Process) -> None:
    user = user.without_directory()
    with user.start("attach", jvm.pid, "--select", ORDERS, *UNLIMITED) as collector:
        collector.wait_for_line(
            r"jcollect: warning: cannot listen in /run/jprobe: Permission denied, and XDG_RUNTIME_DIR is not "
            "set; other commands find this collector by its address, and not by PID$"
        )
        address = re.search(r"serving unix://(\S+)", collector.wait_for_line("armed "))
        assert address is not None
        directory = os.path.dirname(address[1])
        assert os.stat(directory).st_mode & 0o777 == 0o700
        with user.start("hist", f"unix://{address[1]}", "--interval", "0.2") as hist:
            wait_until(lambda: hist.out, "the first table")
            calls = calls_of(run_calls(jvm))
            finish(collector)
            assert hist.wait() == 0
    assert f"{calls:,} calls" in hist.out[-1]
    assert not os.path.exists(directory)
    wait_until(lambda: not leftovers(jvm.pid), "the agent to leave")


def test_without_a_directory_hist_serves_elsewhere(user: User, jvm: Process) -> None:
    with user.without_directory().start("hist", jvm.pid, "--select", ORDERS, *UNLIMITED) as hist:
        address = re.search(r"serving unix://(\S+)", hist.wait_for_line("armed "))
        assert address is not None
        calls = calls_of(run_calls(jvm))
        finish(hist)
    assert f"{calls:,} calls" in hist.out[-1]
    assert not os.path.exists(os.path.dirname(address[1]))


def test_a_program_in_a_container_is_traced_from_within(user: User, shared_targets: Path) -> None:
    prepare = 'ip link set lo up; mount -t tmpfs tmpfs /tmp; "$@"'
    inside = ("unshare", "-m", "-p", "-n", "-f", "--kill-child", "--mount-proc", "sh", "-c", prepare, "sh")
    with prime_calls(newest_jdk, shared_targets, before=(*inside, *NOBODY), cwd="/") as container:
        (shell,) = children_of(container.pid)
        beside = ("nsenter", "-m", "-p", "-n", "-t", shell)
        listed = user.run("ps", "--json", before=beside)
        (pid,) = [row["pid"] for row in json.loads(listed.stdout) if row["name"] == "PrimeCalls"]
        attach = user.start("attach", pid, "--select", ORDERS, *UNLIMITED, before=beside)
        with attach as collector:
            collector.wait_for_line("armed ")
            with user.start("hist", pid, before=beside) as hist:
                tallies = run_calls(container)
                hits = f"{hits_of(tallies):,}"
                (inner,) = children_of(collector.pid)
                os.kill(int(inner), signal.SIGINT)
                assert collector.wait() == 0, collector.err
                hist.wait()
        assert f"{hits} hits = {hits} delivered + 0 lost" in collector.err[-1]


def children_of(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def test_root_without_capabilities_traces_its_own_program(shared_targets: Path) -> None:
    """As in a container."""
    bare = ("setpriv", "--bounding-set=-all", "--inh-caps=-all")
    with prime_calls(newest_jdk, shared_targets, before=bare) as jvm:
        command = [*bare, JCOLLECT, "hist", str(jvm.pid), "--select", ORDERS, *UNLIMITED, "-o", "json"]
        with Process(command) as hist:
            hist.wait_for_line("armed ")
            calls = calls_of(run_calls(jvm))
            finish(hist)
        assert sum(json.loads(line)["calls"] for line in hist.out) == calls
