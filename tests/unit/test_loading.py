"""Loading acts in other processes' directories and networks, with other users' rights."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from jcollect.control.gateway import Gateway
from jcollect.control.inside import open_directory
from jcollect.control.jar import delivered_jar, find_jar, sweep_for
from jcollect.control.network import in_network_of
from jcollect.control.target import Target, read_target
from jcollect.errors import JcollectError
from jcollect.procfs.identity import Identity
from jprobe.v1.control_pb2 import ControlEndpoint
from stub_gateway import TOKEN

NOBODY = 65534

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="takes root")


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


IN_OTHER_ROOT = """
import os, sys
os.chroot(sys.argv[1])
os.chdir("/")
os.setresgid(int(sys.argv[2]), int(sys.argv[2]), int(sys.argv[2]))
os.setresuid(int(sys.argv[2]), int(sys.argv[2]), int(sys.argv[2]))
print(flush=True)
sys.stdin.read()
"""


@pytest.fixture
def other_root(tmp_path: Path) -> Iterator[tuple[int, Path]]:
    """A process of another user with a root of its own, in which /tmp is an absolute link."""
    root = tmp_path / "root"
    (root / "real/tmp").mkdir(parents=True)
    (root / "real/tmp").chmod(0o1777)
    (root / "tmp").symlink_to("/real/tmp")
    # pytest's directories are for their owner alone, above the new root as well.
    with subprocess.Popen(
        [sys.executable, "-c", IN_OTHER_ROOT, root, str(NOBODY)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        yield child.pid, root
        child.kill()


@as_root
def test_absolute_links_of_a_process_stay_in_its_root(other_root: tuple[int, Path]) -> None:
    pid, root = other_root
    descriptor = open_directory(pid, "/tmp")
    try:
        assert os.path.samestat(os.fstat(descriptor), os.stat(root / "real/tmp"))
    finally:
        os.close(descriptor)


@as_root
def test_a_directory_that_a_process_does_not_have(other_root: tuple[int, Path]) -> None:
    with pytest.raises(FileNotFoundError):
        open_directory(other_root[0], "/var/tmp")


@as_root
def test_the_jar_is_delivered_for_the_targets_user_alone_and_taken_back(other_root: tuple[int, Path]) -> None:
    pid, root = other_root
    there = read_target(pid)
    with delivered_jar(there) as delivered:
        jar = root / "real" / delivered.jar[1:]
        assert jar.read_bytes() == find_jar().read_bytes()
        for path, mode in ((jar.parent, 0o700), (jar, 0o600), (root / "real" / delivered.report[1:], 0o600)):
            status = path.stat()
            assert (status.st_uid, status.st_gid, status.st_mode & 0o777) == (NOBODY, NOBODY, mode)
        assert delivered.read_report() == ""
        (root / "real" / delivered.report[1:]).write_text("ok\n")
        assert delivered.read_report() == "ok"
    assert list((root / "real/tmp").iterdir()) == []


KILLED = """
import os, signal, sys
from jcollect.control.jar import delivered_jar
from jcollect.control.target import read_target

with delivered_jar(read_target(int(sys.argv[1]))) as delivered:
    print(delivered.jar, flush=True)
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGKILL)
"""


@as_root
@pytest.mark.parametrize("how", ["the next that attaches", "the next that loads"])
def test_what_a_killed_jcollect_has_left_is_taken_back_by_the_next(
    other_root: tuple[int, Path], how: str
) -> None:
    pid, root = other_root
    others = ("jprobe-load-of-root", "jprobe-load-with-more")
    for name in others:
        folder = root / "real/tmp" / name
        folder.mkdir(mode=0o700)
        (folder / ("jprobe.jar" if name == others[0] else "diary.txt")).touch()
        if name != others[0]:
            os.chown(folder, NOBODY, NOBODY)
    (root / "real/tmp/jprobe-load-link").symlink_to("jprobe-load-of-root")
    os.chown(root / "real/tmp/jprobe-load-link", NOBODY, NOBODY, follow_symlinks=False)
    before = set(os.listdir(root / "real/tmp"))
    code = [sys.executable, "-c", KILLED, str(pid)]
    with subprocess.Popen(code, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as living:
        assert living.stdout is not None
        jar = living.stdout.readline().strip()
        assert jar.startswith(f"/tmp/jprobe-load-{pid}-")
        with delivered_jar(read_target(pid)):
            # What is in use is not taken away, however many there are.
            assert (root / "real" / jar[1:]).exists()
        assert (root / "real" / jar[1:]).exists()
        living.communicate()
    assert (root / "real" / jar[1:]).exists()
    if how == "the next that attaches":
        sweep_for(pid)
        assert not (root / "real" / jar[1:]).parent.exists()
    with delivered_jar(read_target(pid)):
        assert not (root / "real" / jar[1:]).parent.exists()
    assert set(os.listdir(root / "real/tmp")) == before
    assert (root / "real/tmp" / others[0] / "jprobe.jar").exists()


DELIVERED_MANY_TIMES = """
import os, sys
from jcollect.control.jar import delivered_jar
from jcollect.control.target import read_target

target = read_target(int(sys.argv[1]))
for _ in range(15):
    with delivered_jar(target) as delivered:
        assert delivered.jar.startswith("/tmp/"), delivered
        os.stat(f"/proc/{target.pid}/root/real{delivered.jar}")
"""


@as_root
def test_those_who_deliver_at_once_do_not_sweep_each_other(other_root: tuple[int, Path]) -> None:
    pid, root = other_root
    code = [sys.executable, "-c", DELIVERED_MANY_TIMES, str(pid)]
    racing = [subprocess.Popen(code, stderr=subprocess.PIPE, text=True) for _ in range(4)]
    assert [each.communicate()[1] for each in racing] == [""] * len(racing)
    assert list((root / "real/tmp").iterdir()) == []


@as_root
def test_the_jar_is_taken_back_after_an_error(other_root: tuple[int, Path]) -> None:
    pid, root = other_root
    with pytest.raises(KeyError), delivered_jar(read_target(pid)):
        raise KeyError
    assert list((root / "real/tmp").iterdir()) == []


@as_root
def test_a_process_without_any_place_for_the_jar(other_root: tuple[int, Path]) -> None:
    pid, root = other_root
    (root / "real/tmp").chmod(0o755)
    message = (
        f"cannot hand the agent's jar to PID {pid}: none of its temporary directories takes it "
        r"\(/tmp: Permission denied; /var/tmp: No such file or directory; /dev/shm: No such file"
    )
    with pytest.raises(JcollectError, match=message), delivered_jar(read_target(pid)):
        pass


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
