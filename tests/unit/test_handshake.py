"""Attaching begins with a file and a signal, as the target's user, to exactly the process that was
inspected.
"""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from conditions import as_root, miss, wait_until
from fake_jvm import AS_SOMEBODY, SOMEBODY, FakeJvm, fake_jvm
from jcollect.control import attach_socket, handshake
from jcollect.control.attach_socket import clear_in_ours, served_by, socket_name
from jcollect.control.handshake import open_attach_socket
from jcollect.control.loading import load_agent
from jcollect.errors import JcollectError
from jcollect.procfs.apart import Answer, apart
from jcollect.procfs.process import Process
from processes import opened
from stuck_fs import stuck_fs

pytestmark = as_root

DEADLINE = 20.0
# No process has this number.
UNUSED_PID = 4_000_000


def shake(pid: int, seconds: float = DEADLINE) -> None:
    with opened(pid) as process:
        open_attach_socket(process, time.monotonic() + seconds)


def socket_of(jvm: FakeJvm) -> Path:
    return Path(f"/tmp/.java_pid{jvm.pid}")


@pytest.fixture
def roots_directory(tmp_path: Path) -> Path:
    """Returns a directory that every user can enter, and where only root may create files."""
    for path in (tmp_path.parent, tmp_path):
        path.chmod(0o755)
    return tmp_path


def test_a_jvm_opens_its_socket_and_nothing_else_is_left(roots_directory: Path) -> None:
    with fake_jvm(cwd=roots_directory) as jvm:
        shake(jvm.pid)
        assert stat.S_ISSOCK(socket_of(jvm).lstat().st_mode)
        assert jvm.said() == [f"asked by /tmp/.attach_pid{jvm.pid}"]
        assert not Path(f"/tmp/.attach_pid{jvm.pid}").exists()
        assert list(roots_directory.iterdir()) == []
        # The JVM is not asked again.
        shake(jvm.pid)
        assert jvm.said() == []


def test_a_silent_jvm_ends_the_wait_and_the_attach_file_is_removed(roots_directory: Path) -> None:
    with fake_jvm("silent", cwd=roots_directory) as jvm:
        with pytest.raises(JcollectError, match="has not opened its attach socket within 1 s; it may"):
            shake(jvm.pid, 1)
        assert jvm.said() == [f"asked by /tmp/.attach_pid{jvm.pid}"]
        assert not Path(f"/tmp/.attach_pid{jvm.pid}").exists()


PLANTED: dict[str, Callable[[Path], None]] = {
    "directory": Path.mkdir,
    "file": Path.touch,
    "pipe": os.mkfifo,
    "link": lambda path: path.symlink_to("/etc/passwd"),
    "dangling link": lambda path: path.symlink_to("/nowhere"),
}


@contextmanager
def planted(kind: str, path: Path) -> Iterator[None]:
    """Plants something at the path that belongs to another user than the JVM."""
    PLANTED[kind](path)
    os.chown(path, SOMEBODY + 1, SOMEBODY + 1, follow_symlinks=False)
    try:
        yield
        assert path.lstat().st_uid == SOMEBODY + 1
    finally:
        path.rmdir() if kind == "directory" else path.unlink()


@pytest.mark.parametrize("kind", PLANTED)
def test_what_another_user_has_planted_is_named_and_no_signal_is_sent(
    kind: str, roots_directory: Path
) -> None:
    with fake_jvm(cwd=roots_directory) as jvm:
        path = Path(f"/tmp/.attach_pid{jvm.pid}")
        with planted(kind, path), pytest.raises(JcollectError, match=f"{path}, another user's, is in the wa"):
            shake(jvm.pid)
        assert jvm.said() == []
        # HotSpot would print its threads on stdout otherwise.
        shake(jvm.pid)
        assert jvm.said() == [f"asked by {path}"]


@pytest.mark.parametrize("kind", PLANTED)
def test_what_another_user_has_planted_in_tmp_does_not_matter_if_the_working_directory_is_the_users(
    kind: str, roots_directory: Path
) -> None:
    os.chown(roots_directory, SOMEBODY, SOMEBODY)
    with fake_jvm(cwd=roots_directory) as jvm:
        with planted(kind, Path(f"/tmp/.attach_pid{jvm.pid}")):
            shake(jvm.pid)
        assert jvm.said() == [f"asked by .attach_pid{jvm.pid}"]
        assert list(roots_directory.iterdir()) == []


def test_a_jvm_is_asked_once_by_several_tools_at_once(roots_directory: Path) -> None:
    # HotSpot prints its threads on stdout upon another signal.
    with fake_jvm("opens late", cwd=roots_directory) as jvm:
        with ThreadPoolExecutor() as tools:
            list(tools.map(lambda _: shake(jvm.pid), range(4)))
        assert jvm.said() == [f"asked by /tmp/.attach_pid{jvm.pid}"]
        assert not Path(f"/tmp/.attach_pid{jvm.pid}").exists()


def test_the_attach_file_of_a_killed_tool_is_used_and_left(roots_directory: Path) -> None:
    with fake_jvm(cwd=roots_directory) as jvm:
        path = Path(f"/tmp/.attach_pid{jvm.pid}")
        path.touch()
        begun = time.time() - attach_socket._OTHERS_SECONDS
        os.utime(path, (begun, begun))
        try:
            shake(jvm.pid)
            assert jvm.said() == [f"asked by {path}"]
            assert path.exists()
        finally:
            path.unlink()


def test_a_process_that_would_die_of_the_signal_is_spared() -> None:
    with fake_jvm("dies") as jvm:
        with pytest.raises(JcollectError, match="it does not catch SIGQUIT"):
            shake(jvm.pid, 0.5)
        assert jvm.said() == []


@pytest.mark.parametrize("difference", ["start time", "user"])
def test_the_signal_goes_only_to_the_inspected_process(difference: str) -> None:
    with fake_jvm() as jvm:
        with opened(jvm.pid) as process:
            start_time = process.start_time + (difference == "start time")
            uid = SOMEBODY + (difference == "user")
            answer = apart(
                process,
                attach_socket.request,
                *(jvm.pid, jvm.pid, uid, start_time, 1.0),
                user=process.user,
                descriptors=(process.pidfd,),
            )
        assert answer.content == attach_socket.CHANGED
        assert jvm.said() == []
        assert not Path(f"/tmp/.attach_pid{jvm.pid}").exists()


SEVERAL = """
import os, sys
os.setresuid(*map(int, sys.argv[1:]))
print(flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("kind", ["real", "saved"])
def test_a_process_of_several_users_is_refused(kind: str) -> None:
    several = {"real": (0, SOMEBODY, SOMEBODY), "saved": (SOMEBODY, SOMEBODY, 0)}[kind]
    with subprocess.Popen(
        [sys.executable, "-c", SEVERAL, *map(str, several)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        user_ids = f"real {several[0]}, effective {several[1]}, saved {several[2]}, file system {several[1]}"
        with pytest.raises(JcollectError, match=rf"has several user IDs \({user_ids}\)"):
            print(opened(process.pid).user)
        process.kill()


# Other files at the socket's path


def test_the_socket_of_a_dead_jvm_of_another_user_is_removed_only_in_our_own_tmp() -> None:
    with fake_jvm() as jvm:
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(socket_of(jvm)))
        shake(jvm.pid)
        assert socket_of(jvm).lstat().st_uid == SOMEBODY


@contextmanager
def other_mounts(*commands: str) -> Iterator[int]:
    """Yields a process in a mount namespace where these commands have run."""
    script = " && ".join([*commands, "echo ready", "exec cat"])
    with subprocess.Popen(
        ["unshare", "--mount", "sh", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield process.pid
        process.kill()


def test_in_another_tmp_than_ours_nothing_of_another_user_is_removed() -> None:
    with other_mounts("mount -t tmpfs none /tmp") as pid:
        name = socket_name(UNUSED_PID)
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(f"/proc/{pid}/root/tmp/{name}")
        with pytest.raises(PermissionError):
            apart(opened(pid), clear_in_ours, pid, UNUSED_PID)
        assert os.path.lexists(f"/proc/{pid}/root/tmp/{name}")


@pytest.mark.parametrize("kind", ["file", "socket of another user", "second name of a socket"])
def test_a_mount_of_the_target_over_a_file_does_not_cause_its_removal(kind: str, tmp_path: Path) -> None:
    victim, dead = Path("/tmp", socket_name(UNUSED_PID)), tmp_path / "dead"
    with socket.socket(socket.AF_UNIX) as left, socket.socket(socket.AF_UNIX) as served:
        left.bind(str(dead))
        if kind == "file":
            victim.touch()
        else:
            served.bind(str(victim))
        if kind == "socket of another user":
            served.listen()
            os.chown(victim, SOMEBODY, SOMEBODY)
        if kind == "second name of a socket":
            os.link(victim, tmp_path / "first")
    try:
        with (
            other_mounts(f"mount --bind {dead} {victim}") as pid,
            pytest.raises(OSError, match=r"not permitted|non-socket"),
        ):
            apart(opened(pid), clear_in_ours, pid, UNUSED_PID)
        assert os.path.lexists(victim)
    finally:
        victim.unlink()


def test_a_user_who_blocks_the_removal_of_a_socket_does_not_affect_other_users(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with fake_jvm() as jvm:
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(socket_of(jvm)))
        os.chown(socket_of(jvm), SOMEBODY + 1, SOMEBODY + 1)

        def held_up(
            process: Process, function: Callable[..., bytes], *arguments: Any, **options: Any
        ) -> Answer:
            if function == clear_in_ours:
                return apart(process, time.sleep, 600, **options)
            return apart(process, function, *arguments, **options)

        monkeypatch.setattr(handshake, "apart", held_up)
        begun = time.monotonic()
        with pytest.raises(JcollectError, match="left behind by an earlier process of that PID and another"):
            shake(jvm.pid)
        assert time.monotonic() - begun < DEADLINE / 2
        assert apart(opened(jvm.pid), os.getcwdb).content == b"/"
        socket_of(jvm).unlink()


def test_a_socket_of_an_earlier_process_of_that_number_is_not_used() -> None:
    # The kernel records the listener: a PID, and its user at that time.
    number = os.getpid()
    path = Path("/tmp", socket_name(number))
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        try:
            os.seteuid(SOMEBODY)
            listener.listen()
            os.seteuid(0)
            with pytest.raises(PermissionError, match=f"of user {SOMEBODY} listens"), served_by(number):
                pass
        finally:
            os.seteuid(0)
            path.unlink()


def test_a_socket_at_which_another_process_listens_is_not_used() -> None:
    with fake_jvm() as jvm, socket.socket(socket.AF_UNIX) as ours:
        ours.bind(str(socket_of(jvm)))
        ours.listen()
        with pytest.raises(PermissionError, match=f"PID {os.getpid()} of user 0 listens"), served_by(jvm.pid):
            pass
        socket_of(jvm).unlink()


def test_the_socket_of_a_dead_jvm_is_removed() -> None:
    with fake_jvm() as jvm:
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(socket_of(jvm)))
        os.chown(socket_of(jvm), SOMEBODY, SOMEBODY)
        shake(jvm.pid)
        assert socket_of(jvm).lstat().st_uid == SOMEBODY
        assert len(jvm.said()) == 1


@pytest.mark.parametrize("owner", [0, SOMEBODY])
@pytest.mark.parametrize("kind", ["file", "link to a dead socket", "directory"])
def test_only_sockets_are_removed(tmp_path: Path, kind: str, owner: int) -> None:
    with fake_jvm() as jvm:
        path, dead = socket_of(jvm), tmp_path / "dead"
        with socket.socket(socket.AF_UNIX) as other:
            other.bind(str(dead))
        if kind == "file":
            path.touch()
        elif kind == "directory":
            path.mkdir()
        else:
            path.symlink_to(dead)
        os.chown(path, owner, owner, follow_symlinks=False)
        try:
            with pytest.raises(JcollectError, match=f"{path}, which is not a socket, is in the way; rem"):
                shake(jvm.pid)
            assert os.path.lexists(path)
            assert dead.exists()
            assert jvm.said() == []
        finally:
            path.rmdir() if kind == "directory" else path.unlink()


# A file system that does not answer


CATCHES = """
import mmap, os, signal, sys
libraries = [mmap.mmap(os.open(file, os.O_RDONLY), 4096, prot=mmap.PROT_READ) for file in sys.argv[1:]]
signal.signal(signal.SIGQUIT, print)
print(flush=True)
signal.pause()
"""


@pytest.mark.parametrize("is_for_others", [True, False])
def test_a_tmp_that_does_not_answer_ends_at_the_deadline(is_for_others: bool) -> None:
    if not Path("/dev/fuse").exists():
        miss("it takes /dev/fuse")
    command = [*AS_SOMEBODY, sys.executable, "-E", "-c", CATCHES]
    with stuck_fs(Path("/tmp"), ["LOOKUP", "CREATE"], command, SOMEBODY, is_for_others) as there:
        begun = time.monotonic()
        with pytest.raises(TimeoutError, match=f"timed out reading the files or memory of PID {there.pid}"):
            shake(there.pid, 0.5)
        assert time.monotonic() - begun < DEADLINE
        # No second wait is risked.
        begun = time.monotonic()
        with pytest.raises(TimeoutError, match=f"timed out reading the files or memory of PID {there.pid}"):
            shake(there.pid, DEADLINE)
        assert time.monotonic() - begun < DEADLINE / 2
        there.end()
        wait_until(lambda: reader_has_ended(there.pid), "the reader to end")


def reader_has_ended(pid: int) -> bool:
    try:
        shake(pid, 1)
    except TimeoutError:
        return False
    except (OSError, JcollectError):
        pass
    return True


def test_loading_into_a_jvm_whose_tmp_does_not_answer_is_refused_in_time() -> None:
    if not Path("/dev/fuse").exists():
        miss("it takes /dev/fuse")
    # The folder is in /run, because the process has a different /tmp.
    with tempfile.TemporaryDirectory(dir="/run") as folder:
        os.chmod(folder, 0o755)
        library = Path(folder, "libjvm.so")
        library.write_bytes(bytes(4096))
        command = [*AS_SOMEBODY, sys.executable, "-E", "-c", CATCHES, library]
        with stuck_fs(Path("/tmp"), ["LOOKUP"], command, SOMEBODY, False) as there:
            begun = time.monotonic()
            with pytest.raises(JcollectError, match="its file system did not answer in time; a FUSE"):
                load_agent(opened(there.pid), 1)
            assert time.monotonic() - begun < DEADLINE
