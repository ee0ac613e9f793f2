"""Files of a process are read as it sees them, as its user, without waiting, and beneath its root."""

from __future__ import annotations

import mmap
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from test_jvm_from_outside import perf_data

from jcollect.errors import JcollectError
from jcollect.procfs.files import open_directory, read_file
from jcollect.procfs.java_process import name_and_version
from jcollect.procfs.jvm import describe_jvm, is_perfdata
from jcollect.procfs.maps import Mapping, read_maps
from jcollect.procfs.status import read_status
from processes import of_user, opened, ourselves

NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
NO_LIBJVM = Mapping(0, 4096, "r-xp", 0, 8, 1, 2, "/nowhere/lib/server/libjvm.so", False)
IN_CHROOT = """
import os, sys
os.chroot(sys.argv[1])
os.chdir("/inner")
print("ready", flush=True)
sys.stdin.read()
"""


@contextmanager
def process(command: Sequence[str | Path]) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as started:
        try:
            yield started
        finally:
            started.kill()


@pytest.fixture
def confined(tmp_path: Path) -> Iterator[tuple[int, Path]]:
    """Yields a process in chroot(2), and its root."""
    root = tmp_path / "root"
    (root / "inner").mkdir(parents=True)
    with process([sys.executable, "-c", IN_CHROOT, root]) as started:
        assert started.stdout is not None
        assert started.stdout.readline() == "ready\n"
        yield started.pid, root


def test_relative_paths_begin_where_the_process_is_and_end_at_its_root(confined: tuple[int, Path]) -> None:
    pid, root = confined
    (root / "inner/file").write_text("inner")
    (root / "file").write_text("at its root")
    (root.parent / "file").write_text("outside")
    assert read_file(pid, "file", 100) == b"inner"
    assert read_file(pid, "../file", 100) == b"at its root"
    assert read_file(pid, "../../../../file", 100) == b"at its root"
    assert read_file(pid, "/inner/file", 2) == b"in"


def test_links_resolve_in_the_root_of_the_process_and_not_in_ours(confined: tuple[int, Path]) -> None:
    pid, root = confined
    (root.parent / "secret").write_text("outside")
    (root / "absolute").symlink_to(root.parent / "secret")
    (root / "relative").symlink_to("../../../../../../../../../../etc/passwd")
    (root / "folder").symlink_to("/etc")
    for path in ("/absolute", "/relative", "/folder/passwd", "../relative"):
        with pytest.raises(FileNotFoundError):
            read_file(pid, path, 100)
    with pytest.raises(FileNotFoundError):
        open_directory(pid, "/folder")


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero"), os.mkdir])
def test_only_regular_files_are_opened(make: Callable[[Path], None], tmp_path: Path) -> None:
    make(tmp_path / "odd")
    with pytest.raises(OSError, match="not a regular file"):
        read_file(os.getpid(), str(tmp_path / "odd"), 100)


def named_java(arguments: Sequence[str | Path], before: Sequence[str] = NOBODY) -> list[str]:
    """Returns a command with the command line of a java launcher; it waits for files with the names of its
    arguments."""
    return [
        *before,
        "bash",
        "-c",
        'exec -a java tail --sleep-interval=600 -F "$@"',
        "bash",
        *map(str, arguments),
    ]


def wait_for_exec(pid: int) -> None:
    deadline = time.monotonic() + 20
    while not Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"java\0"):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_an_argument_file_that_its_user_may_not_read_is_not_read(tmp_path: Path) -> None:
    secret, link = tmp_path / "secret", tmp_path / "link"
    secret.write_text("the.content.of.the.Secret")
    secret.chmod(0o600)
    link.symlink_to(secret)
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)
    with process(named_java([f"@{link}"])) as target:
        wait_for_exec(target.pid)
        assert describe_jvm(opened(target.pid), [NO_LIBJVM]).name == f"@{link}"
        secret.chmod(0o644)
        assert describe_jvm(opened(target.pid), [NO_LIBJVM]).name == "the.content.of.the.Secret"


def test_no_more_argument_files_are_read_than_the_limit(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("-Xint")
    (tmp_path / "main").write_text("a.Main")
    for count, name in ((15, "a.Main"), (16, f"@{tmp_path}/main")):
        with process(named_java([f"@{tmp_path}/empty"] * count + [f"@{tmp_path}/main"], ())) as target:
            wait_for_exec(target.pid)
            found = name_and_version(target.pid, NO_LIBJVM.path, 4096)
            assert found.decode() == f"{name}\0"


def test_the_release_file_of_the_jdk(tmp_path: Path) -> None:
    (tmp_path / "release").write_text('X="1"\nJAVA_VERSION="17.0.15"\n')
    libjvm = NO_LIBJVM.__class__(**{**NO_LIBJVM.__dict__, "path": f"{tmp_path}/lib/server/libjvm.so"})
    assert describe_jvm(ourselves(), [libjvm]).jdk == "17.0.15"


def test_performance_data_of_another_user_is_not_trusted(tmp_path: Path) -> None:
    path = tmp_path / "hsperfdata_own/1"
    path.parent.mkdir()
    path.write_bytes(perf_data({"sun.rt.javaCommand": "a.Main x", "java.property.java.version": "17.0.15"}))
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, mmap.MAP_SHARED, mmap.PROT_READ):
        (mapping,) = filter(is_perfdata, read_maps(ourselves(), b"/hsperfdata_own/1"))
        assert describe_jvm(ourselves(), [NO_LIBJVM, mapping]) == ("a.Main", "17.0.15", True, True)
        os.chown(path, 65534, 65534)
        assert describe_jvm(ourselves(), [NO_LIBJVM, mapping]) == ("", "", False, True)


def test_files_are_read_as_the_user_that_the_process_had_before(tmp_path: Path) -> None:
    """A process may execute a program of another user, with arguments of its own, at any moment."""
    secret = tmp_path / "secret"
    secret.write_text("the.content")
    command = ["java", "-c", "import time; time.sleep(60)", f"@{secret}"]
    with subprocess.Popen(command, executable=sys.executable) as target:
        try:
            before = of_user(target.pid, os.pidfd_open(target.pid), (64041, 64041))
            found = describe_jvm(before, [NO_LIBJVM])
        finally:
            target.kill()
    assert "the.content" not in found.name


def test_a_process_of_several_users_has_no_single_user() -> None:
    program = "import os, time; os.setresuid(64041, 0, 0); print(flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as target:
        try:
            assert target.stdout is not None
            target.stdout.readline()
            several = opened(target.pid)
            assert not several.has_one_user
            with pytest.raises(JcollectError, match="has several user IDs"):
                print(several.user)
            assert read_status(target.pid).uids[0] == 64041
        finally:
            target.kill()
