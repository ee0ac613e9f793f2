"""The agent's jar is copied to a path where the target can read it, and is removed completely."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from conditions import as_root, miss, wait_until
from fake_jvm import AS_SOMEBODY, SOMEBODY
from jcollect.control.jar import delivered_jar, find_jar, remove_stale_jars
from jcollect.errors import JcollectError
from jcollect.procfs.apart import apart
from other_root import NOBODY, process_in_other_root
from processes import opened
from stuck_fs import stuck_fs


@pytest.fixture
def other_root(tmp_path: Path) -> Iterator[tuple[int, Path]]:
    """Yields a process of another user with a root of its own, in which /tmp is an absolute link."""
    with process_in_other_root(tmp_path) as (pid, root):
        yield pid, root


@as_root
def test_the_jar_is_delivered_only_for_the_targets_user_and_removed(other_root: tuple[int, Path]) -> None:
    pid, root = other_root
    there = opened(pid)
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
from jcollect.procfs.process import Process

with delivered_jar(Process.open(int(sys.argv[1]))) as delivered:
    print(delivered.jar, flush=True)
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGKILL)
"""


@as_root
@pytest.mark.parametrize("how", ["the next that attaches", "the next that loads"])
def test_the_next_delivery_removes_files_of_a_killed_jcollect(other_root: tuple[int, Path], how: str) -> None:
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
        with delivered_jar(opened(pid)):
            # A directory in use is not removed, whatever their number.
            assert (root / "real" / jar[1:]).exists()
        assert (root / "real" / jar[1:]).exists()
        living.communicate()
    assert (root / "real" / jar[1:]).exists()
    if how == "the next that attaches":
        remove_stale_jars(opened(pid))
        assert not (root / "real" / jar[1:]).parent.exists()
    with delivered_jar(opened(pid)):
        assert not (root / "real" / jar[1:]).parent.exists()
    assert set(os.listdir(root / "real/tmp")) == before
    assert (root / "real/tmp" / others[0] / "jprobe.jar").exists()


DELIVERED_MANY_TIMES = """
import os, sys
from jcollect.control.jar import delivered_jar
from jcollect.procfs.process import Process

target = Process.open(int(sys.argv[1]))
for _ in range(15):
    with delivered_jar(target) as delivered:
        assert delivered.jar.startswith("/tmp/"), delivered
        os.stat(f"/proc/{target.pid}/root/real{delivered.jar}")
"""


@as_root
def test_concurrent_deliveries_do_not_remove_each_other(other_root: tuple[int, Path]) -> None:
    pid, root = other_root
    code = [sys.executable, "-c", DELIVERED_MANY_TIMES, str(pid)]
    racing = [subprocess.Popen(code, stderr=subprocess.PIPE, text=True) for _ in range(4)]
    assert [each.communicate()[1] for each in racing] == [""] * len(racing)
    assert list((root / "real/tmp").iterdir()) == []


REPORTS: dict[str, Callable[[Path], object]] = {
    "a link to another's file": lambda path: path.symlink_to("/etc/shadow"),
    "a pipe": lambda path: os.mkfifo(path),
    "a directory": lambda path: path.mkdir(),
    "removed": lambda path: None,
}


@as_root
@pytest.mark.parametrize("kind", REPORTS)
def test_a_report_that_the_target_has_exchanged_is_not_read(other_root: tuple[int, Path], kind: str) -> None:
    pid, root = other_root
    with delivered_jar(opened(pid)) as delivered:
        report = root / "real" / delivered.report[1:]
        report.unlink()
        REPORTS[kind](report)
        assert delivered.read_report() == ""


@as_root
def test_only_as_much_of_a_report_is_read_as_an_error_can_hold(other_root: tuple[int, Path]) -> None:
    pid, root = other_root
    with delivered_jar(opened(pid)) as delivered:
        with (root / "real" / delivered.report[1:]).open("r+") as report:
            report.truncate(1 << 40)
        assert len(delivered.read_report()) == 8192


@as_root
def test_a_directory_that_replaces_the_jars_directory_is_not_removed(other_root: tuple[int, Path]) -> None:
    pid, root = other_root
    victim = root / "victim"
    (victim / "report").parent.mkdir()
    (victim / "report").touch()
    os.chown(victim, NOBODY, NOBODY)
    with delivered_jar(opened(pid)) as delivered:
        folder = (root / "real" / delivered.jar[1:]).parent
        folder.rename(folder.with_name("aside"))
        folder.symlink_to("/victim")
    assert (victim / "report").exists()
    assert folder.is_symlink()
    assert list(folder.with_name("aside").iterdir()) == []


@as_root
def test_the_agents_options_have_no_separator_in_a_path(other_root: tuple[int, Path]) -> None:
    with delivered_jar(opened(other_root[0])) as delivered:
        for path in (delivered.jar, delivered.report):
            assert re.fullmatch(r"/(tmp|var/tmp|dev/shm)/jprobe-load-[0-9]+-[0-9a-f]{16}/[a-z.]+", path)


@as_root
def test_the_cleanup_of_a_directory_full_of_leftovers_ends_in_time(other_root: tuple[int, Path]) -> None:
    pid, root = other_root
    for i in range(5_000):
        (root / f"real/tmp/jprobe-load-{i}").symlink_to("/")
    for i in range(150):
        folder = root / f"real/tmp/jprobe-load-x{i}"
        folder.mkdir(mode=0o700)
        os.chown(folder, NOBODY, NOBODY)
    begun = time.monotonic()
    remove_stale_jars(opened(pid))
    assert time.monotonic() - begun < 5
    # As many as one cleanup removes at once, of any kind.
    left = sum(path.is_dir() and not path.is_symlink() for path in (root / "real/tmp").iterdir())
    assert left >= 50


@as_root
def test_the_jar_is_removed_after_an_error(other_root: tuple[int, Path]) -> None:
    pid, root = other_root
    with pytest.raises(KeyError), delivered_jar(opened(pid)):
        raise KeyError
    assert list((root / "real/tmp").iterdir()) == []


@as_root
def test_the_jar_is_removed_after_the_target_has_exited(other_root: tuple[int, Path]) -> None:
    pid, root = other_root
    process = opened(pid)
    with delivered_jar(process) as delivered:
        (root / "real" / delivered.report[1:]).write_text("ok\n")
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: process.has_exited, "it to exit")
        assert delivered.read_report() == "ok"
    assert list((root / "real/tmp").iterdir()) == []
    with pytest.raises(JcollectError, match=f"^PID {pid} has exited$"), delivered_jar(process):
        pass
    assert list((root / "real/tmp").iterdir()) == []


@as_root
def test_a_process_without_any_directory_for_the_jar(other_root: tuple[int, Path]) -> None:
    pid, root = other_root
    (root / "real/tmp").chmod(0o755)
    message = (
        f"cannot copy the agent's jar for PID {pid}: none of its temporary directories accepts it "
        r"\(/tmp: Permission denied; /var/tmp: No such file or directory; /dev/shm: No such file"
    )
    with pytest.raises(JcollectError, match=message), delivered_jar(opened(pid)):
        pass


@as_root
def test_with_a_tmp_that_does_not_answer_neither_delivery_nor_cleanup_blocks() -> None:
    if not Path("/dev/fuse").exists():
        miss("it takes /dev/fuse")
    command = [*AS_SOMEBODY, sys.executable, "-E", "-c", "import time; print(flush=True); time.sleep(600)"]
    with stuck_fs(Path("/tmp"), ["OPENDIR", "MKDIR", "LOOKUP"], command, SOMEBODY, False) as there:
        begun = time.monotonic()
        remove_stale_jars(opened(there.pid))
        # The process itself can still be read.
        assert apart(opened(there.pid), os.getcwdb).content == b"/"
        with pytest.raises(TimeoutError), delivered_jar(opened(there.pid)):
            pass
        assert time.monotonic() - begun < 20
