"""A child process that becomes another user is entirely that user, and out of that user's reach."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from conditions import as_root, wait_until
from jcollect.procfs.capabilities import SYS_PTRACE

SOMEBODY = 64021


BECOME = """
import json, os, resource, signal, sys, threading
sys.path.insert(0, sys.argv[3])
from jcollect.procfs.identity import Identity, become
if "--threads" in sys.argv:
    threading.Thread(target=signal.pause, daemon=True).start()
try:
    become(Identity(int(sys.argv[1]), int(sys.argv[1])), eval(sys.argv[2]), parent=os.getppid())
except OSError as error:
    print(json.dumps(error.strerror), flush=True)
    os._exit(1)
status = dict(line.split(":\\t") for line in open("/proc/self/status").read().splitlines() if ":\\t" in line)
status.update(pid=os.getpid(), cwd=os.getcwd(), umask=os.umask(0),
              core=resource.getrlimit(resource.RLIMIT_CORE))
print(json.dumps(status), flush=True)
sys.stdin.read()
"""
COLLECTOR = str(Path(__file__).resolve().parents[2] / "collector")


def command_of(user: int, keep: tuple[int, ...] = (), *more: str) -> list[str]:
    return [sys.executable, "-c", BECOME, str(user), repr(keep), COLLECTOR, *more]


def status_of(command: list[str]) -> dict[str, str]:
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert done.stdout, done.stderr
    answer: dict[str, str] = json.loads(done.stdout)
    return answer


def check_is(status: dict[str, str], user: int, capabilities: int = 0) -> None:
    assert set(status["Uid"].split()) == set(status["Gid"].split()) == {str(user)}
    assert [int(status[name], 16) for name in ("CapEff", "CapPrm")] == [capabilities] * 2
    assert [int(status[name], 16) for name in ("CapInh", "CapBnd", "CapAmb")] == [0] * 3
    assert (status["NoNewPrivs"], status["cwd"], status["umask"]) == ("1", "/", 0o077)
    assert status["core"] == [0, 0]


@as_root
@pytest.mark.parametrize("user", [SOMEBODY, 0])
def test_root_becomes_a_user_with_no_groups_and_only_the_named_capabilities(user: int) -> None:
    with_more = ["setpriv", "--groups=4,27", "--inh-caps=+kill,+setuid", "--ambient-caps=+kill,+setuid"]
    status = status_of([*with_more, *command_of(user, (SYS_PTRACE,))])
    check_is(status, user, 1 << SYS_PTRACE)
    assert status["Groups"].split() == []


@as_root
@pytest.mark.parametrize("wrapper", [["unshare", "-U", "-r"], ["setpriv", "--reuid=64021", "unshare", "-Ur"]])
def test_root_of_a_user_namespace_loses_its_capabilities_too(wrapper: list[str]) -> None:
    # Such a namespace does not let its users change groups.
    check_is(status_of([*wrapper, *command_of(0)]), 0)


@as_root
def test_only_root_can_become_another_user() -> None:
    by_somebody = ["setpriv", f"--reuid={SOMEBODY}", f"--regid={SOMEBODY}", "--clear-groups"]
    assert "requires CAP_SETUID and CAP_SETGID" in status_of([*by_somebody, *command_of(65534)])
    # A user in another group is still the same user.
    for group in (SOMEBODY, 27):
        as_himself = ["setpriv", f"--reuid={SOMEBODY}", f"--regid={group}", "--clear-groups"]
        status = status_of([*as_himself, *command_of(SOMEBODY)])
        assert set(status["Uid"].split()) == {str(SOMEBODY)}
        assert set(status["Gid"].split()) == {str(group)}
        assert int(status["CapPrm"], 16) == 0


@as_root
def test_a_process_with_threads_cannot_become_another_user() -> None:
    assert "more than one thread" in status_of(command_of(SOMEBODY, (), "--threads"))


@pytest.fixture
def child_of_another_user() -> Iterator[int]:
    """Yields the PID of a child process that has become another user."""
    command = command_of(SOMEBODY, (SYS_PTRACE,))
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        yield child.pid
        child.kill()


TAKE_HOLD = """
import ctypes, os, sys
pid = int(sys.argv[1])
for file in "mem", "maps", "environ", "fd/0", "root", "cwd", "exe":
    try:
        os.close(os.open(f"/proc/{pid}/{file}", os.O_RDONLY))
        print(file)
    except PermissionError:
        pass
libc = ctypes.CDLL(None, use_errno=True)
if libc.ptrace(ctypes.c_long(16), ctypes.c_long(pid), None, None) == 0:
    print("ptrace")
"""


@as_root
def test_the_user_can_neither_trace_nor_read_it(child_of_another_user: int) -> None:
    same = ["setpriv", f"--reuid={SOMEBODY}", f"--regid={SOMEBODY}", "--clear-groups"]
    command = [*same, sys.executable, "-c", TAKE_HOLD]
    assert subprocess.check_output([*command, str(child_of_another_user)], text=True) == ""
    # A process of that user that did not use `become` is open to that user.
    with subprocess.Popen([*same, "sleep", "60"]) as other:
        wait_until(lambda: Path(f"/proc/{other.pid}/comm").read_text() == "sleep\n", "sleep to run")
        assert "mem" in subprocess.check_output([*command, str(other.pid)], text=True)
        other.kill()


PARENT = "import subprocess, sys; subprocess.Popen(sys.argv[1:]).wait()"


@as_root
def test_it_ends_with_its_parent() -> None:
    command = [sys.executable, "-c", PARENT, *command_of(SOMEBODY)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pid = json.loads(parent.stdout.readline())["pid"]
        parent.kill()
        # The closed stdin would be another reason to end, but it is open.
        wait_until(lambda: has_ended(pid), "it to end")


def has_ended(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True
