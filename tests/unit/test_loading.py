"""Loading acts in other processes' directories and networks, with other users' rights."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from conditions import as_root, miss
from jcollect.control.gateway import Gateway
from jcollect.control.network import in_network_of
from jcollect.control.standard_stream import STANDARD_ERROR, is_full
from jcollect.control.stub_directory import create
from jcollect.control.target import Target, exists, read_target
from jcollect.errors import JcollectError
from jcollect.procfs.apart import apart
from jcollect.procfs.files import open_directory
from jcollect.procfs.identity import Identity
from jprobe.v1.control_pb2 import ControlEndpoint
from other_root import process_in, process_in_other_root
from stub_gateway import TOKEN
from stuck_fs import stuck_fs


def test_a_process_tells_its_user_and_what_it_catches() -> None:
    code = "import signal, sys; signal.signal(signal.SIGQUIT, print); print(flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        seen = read_target(child.pid)
        child.kill()
    us = Identity(os.geteuid(), os.getegid())
    assert seen == Target(child.pid, child.pid, us, seen.start_time, is_stopped=False, catches_quit=True)


@pytest.fixture
def other_root(tmp_path: Path) -> Iterator[tuple[int, Path]]:
    """A process of another user with a root of its own, in which /tmp is an absolute link."""
    with process_in_other_root(tmp_path) as (pid, root):
        yield pid, root


@as_root
def test_absolute_links_of_a_process_stay_in_its_root(other_root: tuple[int, Path]) -> None:
    pid, root = other_root
    descriptor = open_directory(pid, "/tmp")
    try:
        assert os.path.samestat(os.fstat(descriptor), os.stat(root / "real/tmp"))
    finally:
        os.close(descriptor)


@as_root
def test_links_of_a_process_that_is_root_in_its_own_root_stay_there(tmp_path: Path) -> None:
    # Set up as root of a container, which is our user.
    root = tmp_path / "root"
    (root / "tmp").mkdir(parents=True)
    (root / "tmp/jprobe-1").symlink_to(tmp_path / "ours")
    (tmp_path / "ours").mkdir()
    with process_in(root, 0) as pid:
        user = read_target(pid).user
        # The path is either of those by which it is seen from here.
        for directory in (f"/proc/{pid}/root/tmp/jprobe-1", f"{root}/tmp/jprobe-1"):
            with pytest.raises(FileNotFoundError):
                apart(pid, create, pid, directory, "control.wanted", user=user)
            assert not exists(pid, directory)
        (root / "tmp/jprobe-1").unlink()
        (root / "tmp/jprobe-1").mkdir()
        for directory in (f"/proc/{pid}/root/tmp/jprobe-1", f"{root}/tmp/jprobe-1"):
            assert exists(pid, directory)
            apart(pid, create, pid, directory, "control.wanted", user=user)
    assert list((tmp_path / "ours").iterdir()) == []
    assert (root / "tmp/jprobe-1/control.wanted").exists()


@as_root
def test_a_directory_that_a_process_does_not_have(other_root: tuple[int, Path]) -> None:
    with pytest.raises(FileNotFoundError):
        open_directory(other_root[0], "/var/tmp")


@as_root
def test_a_socket_is_made_in_the_network_of_the_process_and_ours_stays() -> None:
    with subprocess.Popen(
        ["unshare", "-n", "sh", "-c", "echo; exec cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        before = os.stat("/proc/self/ns/net").st_ino
        seen = in_network_of(child.pid, lambda: os.stat("/proc/thread-self/ns/net").st_ino)
        assert seen == os.stat(f"/proc/{child.pid}/ns/net").st_ino != before
        assert os.stat("/proc/thread-self/ns/net").st_ino == before
        with pytest.raises(ZeroDivisionError):
            in_network_of(child.pid, lambda: 1 // 0)
        message = (
            f"loopback interface is down in its network namespace; run: nsenter -t {child.pid} -n ip link"
        )
        with pytest.raises(JcollectError, match=message):
            Gateway(child.pid, ControlEndpoint(port=1, token=TOKEN))
        child.kill()


@as_root
def test_a_standard_error_that_does_not_answer_is_asked_within_limits(tmp_path: Path) -> None:
    if not Path("/dev/fuse").exists():
        miss("it takes /dev/fuse")
    command = ["sh", "-c", 'exec 2<>"$0"; echo; exec sleep 600', tmp_path / "file"]
    with stuck_fs(tmp_path, ["POLL"], command) as there, pytest.raises(TimeoutError):
        apart(there.pid, is_full, there.pid, STANDARD_ERROR, seconds=0.5)
