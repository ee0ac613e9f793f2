"""The process that loads the agent runs as the same user as the target, which may be hostile."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from conditions import as_root, wait_until
from fake_jvm import AS_SOMEBODY, SOMEBODY, FakeJvm, fake_jvm
from java_target import JCOLLECT, ORDERS, newest_jdk, run
from prime_calls import prime_calls

pytestmark = as_root

CAP_DAC_READ_SEARCH, CAP_SYS_PTRACE = 1 << 2, 1 << 19


@pytest.fixture
def silent_jvm() -> Iterator[FakeJvm]:
    """Yields a JVM that keeps its attaching client waiting."""
    # pytest's directories are accessible only to their owner.
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        library = Path(folder, "libjvm.so")
        library.write_bytes(bytes(4096))
        with fake_jvm("has opened", [library]) as jvm:
            yield jvm


@pytest.fixture
def loading(silent_jvm: FakeJvm, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Runs a jcollect that loads an agent, in a directory of root's."""
    command = ["setpriv", "--groups=4,27", JCOLLECT, "select", str(silent_jvm.pid), ORDERS, "--timeout", "60"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        yield process
        process.kill()


def status_of(task: str | int) -> dict[str, str]:
    lines = Path(f"/proc/{task}/status").read_text().splitlines()
    return dict(line.split(":\t") for line in lines if ":\t" in line)


def loader_of(jcollect: int) -> int:
    """Returns the PID of the loader, once it waits for the target."""

    def found() -> int | None:
        for child in Path(f"/proc/{jcollect}/task/{jcollect}/children").read_text().split():
            words = Path(f"/proc/{child}/cmdline").read_bytes()
            if b"jcollect.control.attach_agent" in words:
                held = int(status_of(child)["CapEff"], 16)
                return int(child) if held == CAP_SYS_PTRACE else None
        return None

    pid: int = wait_until(found, "the loader to give up its capabilities")
    return pid


TAKE_HOLD = """
import os, sys
for file in "mem", "environ", "maps", "fd/1", "root":
    try:
        os.close(os.open(f"/proc/{sys.argv[1]}/{file}", os.O_RDONLY))
        print(file)
    except PermissionError:
        pass
"""


def test_it_runs_entirely_as_the_targets_user_and_out_of_that_users_reach(
    loading: subprocess.Popen[str],
) -> None:
    pid = loader_of(loading.pid)
    status = status_of(pid)
    assert set(status["Uid"].split()) == set(status["Gid"].split()) == {str(SOMEBODY)}
    assert status["Groups"].split() == []
    assert int(status["CapPrm"], 16) == CAP_SYS_PTRACE
    assert [int(status[name], 16) for name in ("CapInh", "CapBnd", "CapAmb")] == [0, 0, 0]
    assert status["NoNewPrivs"] == "1"
    for thread in os.listdir(f"/proc/{pid}/task"):
        more = int(status_of(f"{pid}/task/{thread}")["CapPrm"], 16)
        assert not more & ~(CAP_SYS_PTRACE | CAP_DAC_READ_SEARCH)
    assert os.readlink(f"/proc/{pid}/cwd") == "/"
    names = {
        each.partition(b"=")[0] for each in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0") if each
    }
    assert names <= {b"PATH", b"LANG"}
    assert subprocess.check_output([*AS_SOMEBODY, sys.executable, "-E", "-c", TAKE_HOLD, str(pid)]) == b""


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGKILL])
def test_a_target_that_kills_it_gets_no_file_from_it(
    loading: subprocess.Popen[str], tmp_path: Path, number: signal.Signals
) -> None:
    pid = loader_of(loading.pid)
    subprocess.run([*AS_SOMEBODY, "kill", f"-{number.value}", str(pid)], check=True)
    assert loading.stderr is not None
    assert "attaching ended with code " in loading.stderr.read()
    assert loading.wait() == 1
    assert list(tmp_path.iterdir()) == []
    for directory in ("/", "/tmp"):
        assert not Path(directory, f"hs_err_pid{pid}.log").exists()


def test_it_ends_with_jcollect(loading: subprocess.Popen[str]) -> None:
    pid = loader_of(loading.pid)
    loading.kill()
    wait_until(lambda: not Path(f"/proc/{pid}/root/proc").exists(), "the loader to end")


def test_our_variables_do_not_reach_its_jvm(targets: Path) -> None:
    variables = {"JAVA_TOOL_OPTIONS": "-XX:+NoSuchOption", "_JAVA_OPTIONS": "-XX:+NoSuchOption"}
    with prime_calls(newest_jdk, targets) as target:
        selected = run(JCOLLECT, "select", target.pid, ORDERS, env=os.environ | variables)
        assert selected.returncode == 0, selected
