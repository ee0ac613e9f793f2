"""Loading acts in other processes' directories and networks, with other users' rights."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from conditions import as_root, miss
from jcollect.control.agent import Agent
from jcollect.control.gateway import Gateway
from jcollect.control.network import in_network_of
from jcollect.control.standard_stream import STANDARD_ERROR, is_full
from jcollect.control.stub_directory import create
from jcollect.errors import JcollectError
from jcollect.probes.stub_library import StubLibrary, parse_stub_image
from jcollect.procfs.apart import apart
from jcollect.procfs.files import open_directory
from jcollect.procfs.identity import Identity
from jcollect.procfs.process import Process
from jprobe.v1.control_pb2 import ControlEndpoint
from other_root import process_in, process_in_other_root
from processes import opened
from stub_gateway import TOKEN
from stub_image import StubImage
from stuck_fs import stuck_fs


def test_the_user_and_the_caught_signals_of_a_process_are_read() -> None:
    code = "import signal, sys; signal.signal(signal.SIGQUIT, print); print(flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        with opened(child.pid) as process:
            assert (process.pid, process.inner_pid) == (child.pid, child.pid)
            assert process.user == Identity(os.geteuid(), os.getegid())
            assert process.start_time == int(Path(f"/proc/{child.pid}/stat").read_text().split()[21])
            assert not process.is_stopped()
            assert process.catches_quit()
            child.kill()


@pytest.fixture
def other_root(tmp_path: Path) -> Iterator[tuple[int, Path]]:
    """Yields a process of another user with its own root directory, in which /tmp is an absolute link."""
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


def agent_in(process: Process, directory: str) -> Agent:
    image = parse_stub_image(StubImage([], generation=0).build())
    return Agent(process, (StubLibrary(process, f"{directory}/0.so", 0, image),))


@as_root
def test_links_of_a_process_that_is_root_in_its_own_root_stay_there(tmp_path: Path) -> None:
    # Set up as root of a container, which is our user.
    root = tmp_path / "root"
    (root / "tmp").mkdir(parents=True)
    (root / "tmp/jprobe-1").symlink_to(tmp_path / "ours")
    (tmp_path / "ours").mkdir()
    with process_in(root, 0) as pid:
        process = opened(pid)
        file = "control.wanted"
        # The path is one of the two by which it can be reached from here.
        for directory in (f"/proc/{pid}/root/tmp/jprobe-1", f"{root}/tmp/jprobe-1"):
            with pytest.raises(FileNotFoundError):
                apart(process, create, pid, directory, file, user=process.user)
            assert not agent_in(process, directory).has_directory()
        (root / "tmp/jprobe-1").unlink()
        (root / "tmp/jprobe-1").mkdir()
        for directory in (f"/proc/{pid}/root/tmp/jprobe-1", f"{root}/tmp/jprobe-1"):
            assert agent_in(process, directory).has_directory()
            apart(process, create, pid, directory, file, user=process.user)
    assert list((tmp_path / "ours").iterdir()) == []
    assert (root / "tmp/jprobe-1/control.wanted").exists()


@as_root
def test_a_directory_that_a_process_does_not_have(other_root: tuple[int, Path]) -> None:
    with pytest.raises(FileNotFoundError):
        open_directory(other_root[0], "/var/tmp")


@as_root
def test_a_socket_is_created_in_the_network_namespace_of_the_process_without_leaving_ours() -> None:
    with subprocess.Popen(
        ["unshare", "-n", "sh", "-c", "echo; exec cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        before = os.stat("/proc/self/ns/net").st_ino
        process = opened(child.pid)
        seen = in_network_of(process, lambda: os.stat("/proc/thread-self/ns/net").st_ino)
        assert seen == os.stat(f"/proc/{child.pid}/ns/net").st_ino != before
        assert os.stat("/proc/thread-self/ns/net").st_ino == before
        with pytest.raises(ZeroDivisionError):
            in_network_of(process, lambda: 1 // 0)
        message = (
            f"loopback interface is down in its network namespace; run: nsenter -t {child.pid} -n ip link"
        )
        with pytest.raises(JcollectError, match=message):
            Gateway(process, ControlEndpoint(port=1, token=TOKEN))
        child.kill()


@as_root
def test_a_standard_error_that_does_not_answer_is_asked_within_limits(tmp_path: Path) -> None:
    if not Path("/dev/fuse").exists():
        miss("it takes /dev/fuse")
    command = ["sh", "-c", 'exec 2<>"$0"; echo; exec sleep 600', tmp_path / "file"]
    with stuck_fs(tmp_path, ["POLL"], command) as there, opened(there.pid) as process:
        descriptors = (process.pidfd,)
        with pytest.raises(TimeoutError):
            apart(process, is_full, STANDARD_ERROR, descriptors=descriptors, seconds=0.5)
