"""The agent is loaded into running programs and commanded, with the real gateway and kernel."""

from __future__ import annotations

import os
import re
import signal
import socket
import sys
import time
import zipfile
from pathlib import Path

import pytest

from conditions import require_bpf, wait_until
from java_target import (
    ALL_JDKS,
    JAR,
    JCOLLECT,
    NOBODY,
    ORDERS,
    ORDERS_PROBES,
    Jdk,
    Process,
    as_user,
    attach,
    finish,
    jcollect,
    newest_jdk,
    on_newest_jdk,
    probes_of,
    run,
    wait_for_probes,
)
from prime_calls import ORDERS_METHODS, hits_of, leftovers, prime_calls, run_calls
from processes import opened
from second_agent import digest_now

TOUCH = "PrimeCalls$Orders#touch"
PRIVATE_TMP = 'mount -t tmpfs none /tmp && exec "$@"'
LOOPBACK_UP = 'ip link set lo up && exec "$@"'


@pytest.fixture(autouse=True)
def bpf() -> None:
    require_bpf()


def command(verb: str, pid: int, *arguments: str | Path, **environment: str) -> list[str]:
    """Returns the lines that a verb prints if it succeeds."""
    result = run(JCOLLECT, verb, pid, *arguments, env={**os.environ, **environment})
    assert result.returncode == 0, result
    return result.stdout.splitlines()


def refused(verb: str, pid: int, *arguments: str, **environment: str) -> str:
    result = run(JCOLLECT, verb, pid, *arguments, env={**os.environ, **environment})
    assert (result.returncode, result.stdout) == (1, ""), result
    # A busy JVM takes more than a second to load the agent.
    slow = f"loading the agent into PID {pid} ..."
    (line,) = (line for line in result.stderr.splitlines() if line != slow)
    return line.removeprefix("jcollect: ")


@on_newest_jdk
def test_a_running_program_is_traced_exactly_and_restored(
    jdk: Jdk, targets: Path, digest_agent: Path, tmp_path: Path
) -> None:
    def digest() -> str:
        return digest_now(target.pid, digest_agent, "PrimeCalls$Orders")

    with prime_calls(jdk, targets) as target:
        original = digest()
        lines = command("select", target.pid, ORDERS)
        assert re.fullmatch(
            rf"selected {ORDERS_METHODS} methods, {ORDERS_METHODS} new, in \d+ ms; "
            rf"in total {ORDERS_METHODS} methods with {ORDERS_PROBES} probes",
            lines[0],
        )
        assert lines[1:] == [f"  {ORDERS}: {ORDERS_METHODS} methods"]
        collector = attach(target.pid)
        did = run_calls(target)
        summary = finish(collector)
        hits = hits_of(did)
        assert f" {hits:,} hits = {hits:,} delivered + 0 lost" in summary
        assert command("reset", target.pid)[0].startswith("reset in ")
        wait_until(lambda: leftovers(target.pid) == [], "nothing to be left")
        assert digest() == original
        assert refused("status", target.pid).startswith("there is no jprobe agent")
        assert command("select", target.pid, ORDERS)[1:] == [f"  {ORDERS}: {ORDERS_METHODS} methods"]


@on_newest_jdk
def test_probes_appear_and_retire_with_their_selectors(jdk: Jdk, targets: Path) -> None:
    with prime_calls(jdk, targets) as target:
        command("select", target.pid, "PrimeCalls$Orders#place", "no.Such#thing")
        lines = command("select", target.pid, "PrimeCalls$Orders#touch")
        assert lines[0].startswith("selected 1 method, 1 new, in ")
        assert [line for line in command("status", target.pid) if "#" in line] == [
            "  PrimeCalls$Orders#touch: 1 method",
            "  PrimeCalls$Orders#place: 2 methods",
            "  no.Such#thing: nothing so far",
        ]
        assert command("unselect", target.pid, "PrimeCalls$Orders#place")[0].startswith(
            "unselected 2 methods in"
        )
        active = [probe for probe in probes_of(target.pid) if probe["state"] != "retired"]
        assert {probe["method"] for probe in active} == {"touch"}
        message = refused("unselect", target.pid, "PrimeCalls$Orders#place")
        assert message.startswith(f"PID {target.pid} rejects unselect: no selector 'PrimeCalls$Orders#place'")
        command("unselect", target.pid, "--all")
        wait_until(lambda: leftovers(target.pid) == [], "the agent to end with its last selector")


@on_newest_jdk
def test_a_gate_is_changed_while_calls_are_counted(jdk: Jdk, targets: Path) -> None:
    with prime_calls(jdk, targets, options="control=on", probes="PrimeCalls$Orders#touch") as target:
        wait_for_probes(target.pid, 3)
        calls = run_calls(target)["touch.entry"]
        assert command("set", target.pid, "*Orders#touch", "every 7")[1:] == [
            "  PrimeCalls$Orders#touch()V: every 7"
        ]
        collector = attach(target.pid, "--probe", "*touch__entry")
        run_calls(target)
        summary = finish(collector)
        assert re.search(rf"{calls:,} hits = {-(-calls // 7):,} delivered \+ .* filtered \+ 0 lost", summary)
        assert "  PrimeCalls$Orders#touch()V: every 7" in command("status", target.pid)
        command("set", target.pid, "*Orders#touch", "as selected")
        assert "changed settings:" not in command("status", target.pid)
        message = refused("set", target.pid, "*Orders#touch", "when", "arg0 > 1")
        assert message.startswith(f"PID {target.pid} rejects set: settings 'when arg0 > 1', column ")


@on_newest_jdk
def test_an_agent_started_by_javaagent_opens_its_gateway_when_loaded_again(jdk: Jdk, targets: Path) -> None:
    with prime_calls(jdk, targets, probes=ORDERS) as target:
        wait_for_probes(target.pid, ORDERS_PROBES)
        assert command("status", target.pid)[-2:] == [
            f"selected: {ORDERS}",
            "control: off; to turn it on, use jcollect select, or the agent option control=on",
        ]
        assert "gateway is off" in refused("unselect", target.pid, "--all", "--no-load")
        assert command("unselect", target.pid, ORDERS)[0].endswith("remaining: 0 methods with 0 probes")
        lines = command("status", target.pid)
        assert "control: on; the agent was started with -javaagent" in lines
        assert "selected: nothing" in lines


def test_with_control_on_commands_do_not_use_the_attach_mechanism(targets: Path) -> None:
    jvm = "-XX:+DisableAttachMechanism"
    with prime_calls(newest_jdk, targets, jvm, options="control=on") as target:
        lines = command("select", target.pid, ORDERS, "--no-load")
        assert lines[1] == f"  {ORDERS}: {ORDERS_METHODS} methods"
        command("reset", target.pid)
        wait_until(lambda: leftovers(target.pid) == [], "nothing to be left")


def test_an_agent_of_another_version_says_so(targets: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.jar"
    with zipfile.ZipFile(JAR) as ours, zipfile.ZipFile(other, "w") as theirs:
        for entry in ours.infolist():
            theirs.writestr(entry, b"0.0.7" if entry.filename == "inst/version" else ours.read(entry))
    with prime_calls(newest_jdk, targets, f"-javaagent:{other}=probes={ORDERS}") as target:
        wait_for_probes(target.pid, ORDERS_PROBES)
        assert refused("select", target.pid, ORDERS).startswith(
            f"cannot load the agent into PID {target.pid}: jprobe 0.0.7 is in this JVM already, and "
        )
        assert command("status", target.pid)[0] == f"agent: 0.0.7 in PID {target.pid}"


# Lease holders and stopped processes


LEASE = """
import sys
from jcollect.control.lease import leased_selection
from jcollect.procfs.process import Process
with leased_selection(Process.open(int(sys.argv[1])), [sys.argv[2]]) as selected:
    print(selected.selected.added, flush=True)
    sys.stdin.read()
"""


@on_newest_jdk
@pytest.mark.parametrize("end", ["in order", "killed"])
def test_a_leased_selection_ends_with_its_holder(jdk: Jdk, targets: Path, end: str) -> None:
    with prime_calls(jdk, targets) as target:
        with Process([sys.executable, "-c", LEASE, str(target.pid), ORDERS]) as holder:
            holder.wait_for_line(f"{ORDERS_METHODS}")
            assert len(probes_of(target.pid)) == ORDERS_PROBES
            if end == "killed":
                holder.signal(signal.SIGKILL)
            else:
                holder.finish_input()
            holder.wait()
        wait_until(lambda: leftovers(target.pid) == [], "the agent to end with the lease")


def test_a_stopped_jvm_is_named_and_not_waited_for(targets: Path) -> None:
    with prime_calls(newest_jdk, targets, options="control=on") as target:
        target.signal(signal.SIGSTOP)
        wait_until(lambda: opened(target.pid).is_stopped(), "it is stopped")
        stopped = f"cannot command PID {target.pid}: it is stopped; resume it first: kill -CONT {target.pid}"
        for arguments in (["select", ORDERS], ["unselect", "--all"], ["set", "*", "always"], ["reset"]):
            assert refused(arguments[0], target.pid, *arguments[1:]) == stopped
        assert refused("attach", target.pid, "--select", ORDERS) == stopped
        # Facts that can be read from outside are reported anyway.
        said = run(JCOLLECT, "status", target.pid)
        assert said.returncode == 1
        assert f"agent: 0.1.0 in PID {target.pid}" in said.stdout
        assert "control: no answer" in said.stdout
        assert said.stderr.splitlines()[-1] == f"jcollect: {stopped}"
        assert str(target.pid) in run(JCOLLECT, "ps").stdout
        target.signal(signal.SIGCONT)
        assert "selected: nothing" in command("status", target.pid)


def test_a_stopped_jvm_blocks_neither_the_start_nor_the_end_of_attach(targets: Path) -> None:
    require_bpf()
    with prime_calls(newest_jdk, targets, probes=ORDERS) as target:
        wait_for_probes(target.pid, ORDERS_PROBES)
        target.signal(signal.SIGSTOP)
        wait_until(lambda: opened(target.pid).is_stopped(), "it is stopped")
        with jcollect("attach", target.pid, "--arm-timeout", "0.5") as collector:
            collector.wait_for_line(
                f"jcollect: warning: {ORDERS_PROBES} probes not armed after 0.5 s .dormant., because "
                f"PID {target.pid} is stopped"
            )
            collector.signal(signal.SIGINT)
            assert collector.wait() == 0
            assert collector.err[-1].startswith("detached after ")


def test_a_jvm_stopped_later_does_not_block_the_end_of_attach(targets: Path) -> None:
    require_bpf()
    with prime_calls(newest_jdk, targets) as target:
        collector = attach(target.pid, "--select", ORDERS)
        target.signal(signal.SIGSTOP)
        wait_until(lambda: opened(target.pid).is_stopped(), "it is stopped")
        collector.signal(signal.SIGINT)
        begun = time.monotonic()
        assert collector.wait() == 0
        assert time.monotonic() - begun < 10
        assert collector.err[-2].startswith("detached after ")
        assert collector.err[-1] == (
            f"jcollect: warning: PID {target.pid} has not unselected the methods yet (it is stopped); "
            "it will when it resumes"
        )
        target.signal(signal.SIGCONT)
        wait_until(lambda: leftovers(target.pid) == [], "the agent to end with the lease")


# Other users, other namespaces


def jvm_under(pid: int) -> int:
    """Returns the PID of the JVM that a chain of wrappers has started."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return jvm_under(int(children[0])) if children else pid


PLACES = {
    "another user": NOBODY,
    "other mounts and PIDs, a /tmp of its own": (
        "unshare", "-m", "-p", "-f", "--mount-proc", "sh", "-c", PRIVATE_TMP, "sh"
    ),
    "another network": ("unshare", "-n", "sh", "-c", LOOPBACK_UP, "sh"),
    "another user namespace": ("unshare", "-U", "-r"),
    "another user's user namespace": (*NOBODY, "unshare", "-U", "-r"),
    "a container without root": (
        *NOBODY, "unshare", "-U", "-r", "-m", "-p", "-f", "--mount-proc", "-n",
        "sh", "-c", f"ip link set lo up && {PRIVATE_TMP}", "sh",
    ),
}  # fmt: skip


@on_newest_jdk
@pytest.mark.parametrize("place", PLACES)
def test_programs_of_other_users_and_namespaces_are_commanded(
    jdk: Jdk, shared_targets: Path, place: str
) -> None:
    wrapped = [*PLACES[place], jdk.java, "-cp", shared_targets, "PrimeCalls"]
    with Process(wrapped, cwd="/") as target:
        target.wait_for_line("ready")
        pid = jvm_under(target.pid)
        assert command("select", pid, TOUCH)[1:] == [f"  {TOUCH}: 1 method"]
        collector = attach(pid)
        hits = 2 * run_calls(target)["touch.entry"]
        assert f" {hits:,} hits = {hits:,} delivered + 0 lost" in finish(collector)
        assert "control: on; the agent was loaded into the running JVM" in command("status", pid)
        command("reset", pid)
        wait_until(lambda: leftovers(pid) == [], "nothing to be left")
        target.send("exit")
        assert target.wait() == 0


def test_a_user_commands_their_own_programs_without_root(shared_targets: Path) -> None:
    nobody = as_user("nobody", reads_checkout=True)
    with Process([*NOBODY, newest_jdk.java, "-cp", shared_targets, "PrimeCalls"], cwd="/") as target:
        target.wait_for_line("ready")
        refusal = run(*as_user("12345", "12345", reads_checkout=True), JCOLLECT, "select", target.pid, TOUCH)
        assert refusal.returncode == 1
        assert refusal.stderr.endswith("needs CAP_SYS_PTRACE or the process's own user; run with sudo\n")
        selected = run(*nobody, JCOLLECT, "select", target.pid, TOUCH)
        assert selected.returncode == 0, selected
        assert selected.stdout.splitlines()[1] == f"  {TOUCH}: 1 method"
        assert run(*nobody, JCOLLECT, "reset", target.pid).returncode == 0
        wait_until(lambda: leftovers(target.pid) == [], "nothing to be left")


# The API of JDK 17 looks for the socket in its own /tmp.
RUNTIMES = [jdk for jdk in ALL_JDKS if (jdk.home / "lib/libattach.so").exists()]


@pytest.mark.parametrize("runtime", RUNTIMES, ids=str)
def test_loading_leaves_nothing_in_tmp_but_what_the_jvm_has_there(runtime: Jdk, shared_targets: Path) -> None:
    wrapped = ["unshare", "-m", "sh", "-c", PRIVATE_TMP, "sh", newest_jdk.java, "-cp", shared_targets]
    with Process([*wrapped, "PrimeCalls"], cwd="/") as target:
        target.wait_for_line("ready")
        place = Path(f"/proc/{target.pid}/root/tmp")
        before = set(os.listdir(place))
        # A killed jcollect has left it. A killed JVM may have left a file of the same name.
        link = Path(f"/tmp/.java_pid{target.pid}")
        link.unlink(missing_ok=True)
        link.symlink_to("/proc/self/fd/1000")
        command("select", target.pid, TOUCH, JAVA_HOME=str(runtime.home))
        command("reset", target.pid)
        assert set(os.listdir(place)) - before == {f".java_pid{target.pid}"}
        if runtime.version < 25:
            assert not link.is_symlink()
            link.touch()
            message = refused("select", target.pid, TOUCH, JAVA_HOME=str(runtime.home))
            assert f"no link can be created there ({link}: File exists); set JAVA_HOME to a" in message
        link.unlink()
        assert "Full thread dump" not in "\n".join(target.out)


def test_the_socket_of_an_earlier_jvm_with_the_pid_is_removed(shared_targets: Path) -> None:
    with Process([*NOBODY, newest_jdk.java, "-cp", shared_targets, "PrimeCalls"], cwd="/") as target:
        target.wait_for_line("ready")
        left = Path(f"/tmp/.java_pid{target.pid}")
        with socket.socket(socket.AF_UNIX) as of_root:
            of_root.bind(str(left))
        refusal = run(*as_user("nobody", reads_checkout=True), JCOLLECT, "select", target.pid, TOUCH)
        assert refusal.stderr.startswith(
            f"jcollect: cannot load the agent into PID {target.pid}: {left}, left behind by an earlier"
        )
        assert command("select", target.pid, TOUCH)[1:] == [f"  {TOUCH}: 1 method"]
        assert left.owner() == "nobody"
        command("reset", target.pid)
        assert command("select", target.pid, TOUCH)[1:] == [f"  {TOUCH}: 1 method"]
        target.send("exit")
        assert target.wait() == 0
        assert not left.exists()


# Refusals


@pytest.mark.parametrize(
    ("jvm", "reason"),
    [
        (
            "-XX:-EnableDynamicAgentLoading",
            "the JVM reports: Failed to load agent library: Dynamic agent loading is not enabled. "
            "Use -XX:+EnableDynamicAgentLoading to launch target VM. (JEP 451); "
            "or start it with -javaagent:jprobe.jar",
        ),
        (
            "-XX:+DisableAttachMechanism",
            "the JVM reports: The VM does not support the attach mechanism; "
            "it was started with -XX:+DisableAttachMechanism",
        ),
    ],
)
@on_newest_jdk
def test_a_jvm_that_allows_no_agents(jdk: Jdk, targets: Path, jvm: str, reason: str) -> None:
    with prime_calls(jdk, targets, jvm) as target:
        message = refused("select", target.pid, ORDERS)
        assert message == f"cannot load the agent into PID {target.pid}: {reason}"
        wait_until(lambda: leftovers(target.pid) == [], "nothing to be left")


def test_a_jvm_that_would_die_of_the_handshake_is_spared(targets: Path) -> None:
    # The JVM has no performance counters, so it does not reveal that attaching is disabled.
    jvm = ("-Xrs", "-XX:+DisableAttachMechanism", "-XX:-UsePerfData")
    with prime_calls(newest_jdk, targets, *jvm) as target:
        message = refused("select", target.pid, ORDERS, "--timeout", "1")
        assert "it does not catch SIGQUIT, the signal that starts attaching and would end this JVM" in message
        target.send("exit")
        assert target.wait() == 0


def test_a_stopped_jvm_is_not_loaded_into(targets: Path) -> None:
    with prime_calls(newest_jdk, targets) as target:
        target.signal(signal.SIGSTOP)
        wait_until(lambda: "T (stopped)" in Path(f"/proc/{target.pid}/status").read_text(), "it to stop")
        assert refused("select", target.pid, ORDERS) == (
            f"cannot load the agent into PID {target.pid}: it is stopped; "
            f"resume it first: kill -CONT {target.pid}"
        )


def test_a_process_that_is_no_jvm(targets: Path) -> None:
    assert refused("select", os.getpid(), ORDERS).startswith(
        f"cannot load the agent into PID {os.getpid()}: it is not a JVM"
    )


def test_a_read_only_tmp(shared_targets: Path) -> None:
    script = 'mount -t tmpfs -o ro none /tmp && exec "$@"'
    wrapper = ["unshare", "-m", "sh", "-c", script, "sh"]
    with Process([*wrapper, newest_jdk.java, "-cp", shared_targets, "PrimeCalls"], cwd="/proc") as target:
        target.wait_for_line("ready")
        assert refused("select", target.pid, ORDERS) == (
            f"cannot load the agent into PID {target.pid}: attaching requires a socket in its /tmp, "
            "and its /tmp is read-only"
        )


SILENT = """
import mmap, os, socket, sys
library = open(sys.argv[1], "w+b")
library.truncate(4096)
mapped = mmap.mmap(library.fileno(), 4096)
path = f"/tmp/.java_pid{os.getpid()}"
listener = socket.socket(socket.AF_UNIX)
listener.bind(path)
os.chmod(path, 0o600)
listener.listen()
print("ready", flush=True)
sys.stdin.readline()
os.unlink(path)
"""


def test_an_attach_socket_without_a_server_is_an_error_after_the_stated_time(tmp_path: Path) -> None:
    with Process([sys.executable, "-c", SILENT, tmp_path / "libjvm.so"]) as target:
        target.wait_for_line("ready")
        assert refused("select", target.pid, ORDERS, "--timeout", "2") == (
            f"cannot load the agent into PID {target.pid}: "
            "it did not answer the attach request in time; it may be stopped or busy, and may still load the "
            f"agent. Check with: jcollect status {target.pid}"
        )
        wait_until(lambda: leftovers(target.pid) == [], "nothing to be left")
        target.send("")
        target.wait()


def test_an_agent_that_cannot_be_commanded_shuts_down(targets: Path) -> None:
    with prime_calls(newest_jdk, targets, "-Djava.io.tmpdir=/nowhere") as target:
        for _ in range(2):
            assert "commands need a stub directory" in refused("select", target.pid, ORDERS)
            wait_until(lambda: leftovers(target.pid) == [], "nothing to be left")
        assert refused("status", target.pid).startswith("there is no jprobe agent")


def test_no_java_of_our_own(targets: Path, tmp_path: Path) -> None:
    with prime_calls(newest_jdk, targets) as target:
        assert refused("select", target.pid, ORDERS, JAVA_HOME=str(tmp_path)) == (
            "loading the agent into a running JVM requires a Java runtime 17 or later with the module "
            f"jdk.attach on this machine, and JAVA_HOME={tmp_path} has none; "
            "install openjdk-17-jdk-headless, or set JAVA_HOME to one"
        )
