"""jcollect does not attach to a JVM that can start no more threads, because attaching would make it exit."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from cgroup import inside, pids_cgroup
from conditions import require_bpf, wait_until
from java_target import (
    JCOLLECT,
    Jdk,
    Process,
    as_user,
    attach,
    finish,
    java,
    newest_jdk,
    on_every_jdk,
    run,
    wait_for_probes,
)

ADD = "Threads#add"
# A JVM has about thirty threads of its own.
ROOM = 60


@pytest.fixture(autouse=True)
def bpf() -> None:
    require_bpf()


@pytest.fixture
def group() -> Iterator[Path]:
    """Yields the lower of two nested cgroups that can limit threads, of version 1 or 2."""
    with pids_cgroup("jprobe-threads") as upper:
        if (upper / "cgroup.subtree_control").exists():
            (upper / "cgroup.subtree_control").write_text("+pids")
        lower = upper / "lower group"
        lower.mkdir()
        yield lower
        wait_until(lambda: not (lower / "cgroup.procs").read_text(), "the group is empty")
        lower.rmdir()


def limit(group: Path, threads: int | str) -> None:
    (group / "pids.max").write_text(f"{threads}\n")


def name_of(group: Path, pid: int) -> str:
    """Returns the path in /proc/PID/cgroup of the lower group, or of the one above."""
    lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    (path,) = {line.split(":", 2)[2] for line in lines if line.endswith("/lower group")}
    return path if group.name == "lower group" else path.removesuffix("/lower group")


@contextmanager
def program(jdk: Jdk, targets: Path, before: Sequence[str], **options: str) -> Iterator[Process]:
    with java(jdk, "-cp", targets, "Threads", before=before, jvm=["-Xint"], **options) as target:
        target.wait_for_line("ready")
        yield target


def assert_goes_on(target: Process) -> None:
    target.send("call")
    assert target.wait_for_line("called") == "called 15"


def assert_is_spared(target: Process, cause: str) -> None:
    for arguments in (("select", target.pid, ADD), ("attach", target.pid, "--select", ADD)):
        result = run(JCOLLECT, *arguments)
        assert (result.returncode, result.stdout) == (1, ""), result
        # It is said before if the attempt takes more than a second.
        assert result.stderr.removeprefix(f"loading the agent into PID {target.pid} ...\n") == (
            f"jcollect: cannot load the agent into PID {target.pid}: it can start no more threads ({cause}), "
            "and the attempt would end it; raise that limit\n"
        )
        assert_goes_on(target)


def assert_is_traced(target: Process) -> None:
    with attach(target.pid, "--select", ADD, "-o", "json") as collector:
        assert_goes_on(target)
        finish(collector)
    assert len([line for line in collector.out if json.loads(line)["kind"] == "entry"]) == 5


def another_user() -> str:
    """Returns the UID of a user that has no other processes."""
    return str(61_000 + os.getpid() % 4_000)


@on_every_jdk
@pytest.mark.parametrize("which", ["its own", "the one above"])
def test_a_jvm_at_the_limit_of_its_control_group_is_spared(
    jdk: Jdk, targets: Path, group: Path, which: str
) -> None:
    limited = group if which == "its own" else group.parent
    with program(jdk, targets, inside(group)) as target:
        limit(limited, ROOM)
        target.send("fill")
        target.wait_for_line("filled by ")
        assert int((limited / "pids.current").read_text()) == ROOM
        assert_is_spared(target, f"pids.max={ROOM} of {name_of(limited, target.pid)}")
        # Two free threads are too few to rely on one being free a moment later.
        limit(limited, ROOM + 2)
        assert_is_spared(target, f"pids.max={ROOM + 2} of {name_of(limited, target.pid)}")
        limit(limited, "max")
        selected = run(JCOLLECT, "select", target.pid, ADD)
        assert selected.stdout.startswith("selected 1 method, 1 new, in "), selected
        assert_is_traced(target)


def test_a_jvm_that_has_its_attach_socket_is_loaded_into_at_its_limit(targets: Path, group: Path) -> None:
    with program(newest_jdk, targets, inside(group)) as target:
        assert_is_traced(target)
        limit(group, int((group / "pids.current").read_text()) + 2)
        result = run(JCOLLECT, "select", target.pid, ADD)
        assert "it can start no more threads" not in result.stderr
        assert_goes_on(target)


def test_a_jvm_at_the_limit_of_its_user_is_spared(shared_targets: Path) -> None:
    number = another_user()
    user = as_user(number)

    def raise_to(threads: int) -> None:
        assert run(*user, "prlimit", f"--pid={target.pid}", f"--nproc={threads}:").returncode == 0

    before = ["prlimit", f"--nproc={ROOM}:{2 * ROOM}", *user]
    with program(newest_jdk, shared_targets, before) as target:
        target.send("fill")
        target.wait_for_line("filled by ")
        assert_is_spared(target, f"ulimit -u is {ROOM} for user {number}")
        # The JVM that requests the attach runs as that user for a moment, and has more threads than these.
        raise_to(ROOM + 5)
        assert_is_spared(target, f"ulimit -u is {ROOM + 5} for user {number}")
        raise_to(2 * ROOM)
        assert_is_traced(target)


def test_an_agent_that_can_start_no_threads_for_its_gateway_opens_it_later(
    targets: Path, group: Path
) -> None:
    with program(newest_jdk, targets, inside(group), probes=ADD) as target:
        wait_for_probes(target.pid, 3)
        limit(group, 1)  # Far below its current number: exiting threads of the JVM make no room.
        refused = run(JCOLLECT, "unselect", target.pid, ADD, "--timeout", 1)
        assert refused.returncode == 1, refused
        # The gateway does not have a thread yet, nor the command's connection.
        reasons = ("it can start no more threads (pids.max=1 of ", "has closed the control connection")
        assert any(reason in refused.stderr for reason in reasons), refused
        assert_goes_on(target)
        limit(group, "max")
        unselected = run(JCOLLECT, "unselect", target.pid, ADD)
        assert unselected.stdout.startswith("unselected 1 method in "), unselected


def test_the_gateway_is_requested_by_a_file_if_attaching_would_make_the_jvm_exit(
    shared_targets: Path,
) -> None:
    user = as_user(another_user(), reads_checkout=True)
    before = ["prlimit", f"--nproc={2 * ROOM}", *user]
    with program(newest_jdk, shared_targets, before, probes=ADD) as target:
        wait_for_probes(target.pid, 3)
        # Enough for the gateway, but not for the JVM that would request the attach.
        threads = len(os.listdir(f"/proc/{target.pid}/task")) + 8
        assert run(*user, "prlimit", f"--pid={target.pid}", f"--nproc={threads}:").returncode == 0
        result = run(JCOLLECT, "select", target.pid, "Threads#main")
        assert result.stdout.startswith("selected 1 method, 1 new, in "), result
        assert_goes_on(target)
