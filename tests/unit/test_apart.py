"""Functions that run in a separate process: their results, and what happens to readers that do not answer."""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

import jcollect
from conditions import as_root, wait_until
from jcollect.procfs import apart as module
from jcollect.procfs.apart import apart
from jcollect.procfs.files import read_file
from jcollect.procfs.identity import Identity
from jcollect.procfs.mapped import Mapped, open_mapped
from jcollect.procfs.mapped_answer import FileState, digest_of
from jcollect.procfs.mapped_file import mapped
from jcollect.procfs.maps import read_maps
from jcollect.procfs.memory import parts_of, read_memory
from jcollect.procfs.reader_process import ReaderProcess
from processes import opened, ourselves
from stuck_fs import stuck_fs

OURSELVES = os.getpid()
UNUSED_PID = 4_000_000


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    """Hides the readers of other tests."""
    held, module._abandoned[:] = list(module._abandoned), []
    yield
    module._abandoned[:] = [*held, *module._abandoned]


def readers(pid: int = OURSELVES) -> set[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return {int(child) for child in children if b"reader.py" in command_of(int(child))}


def command_of(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


@contextmanager
def open_of(path: Path) -> Iterator[tuple[Mapped, str, FileState, bytes]]:
    """Yields the arguments of open_mapped for a file that is mapped within the block."""
    content = path.read_bytes()
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, mmap.MAP_PRIVATE, mmap.PROT_READ):
        (mapping,) = (each for each in read_maps(ourselves()) if each.path == str(path))
        yield mapped(mapping), str(path), FileState.of(path.stat()), digest_of(content)


def test_a_result_is_returned(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    assert apart(ourselves(), read_file, OURSELVES, str(tmp_path / "file"), 4).content == b"cont"
    with open_of(tmp_path / "file") as held:
        (descriptor,) = apart(ourselves(), open_mapped, OURSELVES, *held).descriptors
    assert os.path.samestat(os.fstat(descriptor), (tmp_path / "file").stat())
    assert not os.get_inheritable(descriptor)
    os.close(descriptor)


def test_an_exception_is_raised_again() -> None:
    with pytest.raises(FileNotFoundError) as raised:
        apart(ourselves(), read_file, OURSELVES, "/no/such", 1)
    assert (raised.value.errno, raised.value.filename) == (errno.ENOENT, "/no/such")
    with pytest.raises(OSError, match="TypeError") as other:
        apart(ourselves(), read_file)
    assert other.value.errno == errno.EIO


def test_readers_are_used_again_and_replaced_once_they_were_killed() -> None:
    apart(ourselves(), os.getcwdb)
    before = readers()
    for _ in range(20):
        apart(ourselves(), os.getcwdb)
    assert readers() == before
    for reader in before:
        os.kill(reader, signal.SIGKILL)
    # A killed process has no command line before its socket is closed.
    wait_until(lambda: all(each.has_hung_up() for each in module._idle), "the readers to end")
    assert apart(ourselves(), os.getcwdb).content == b"/"


def test_a_reader_that_is_started_ahead_serves_the_first_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_idle", [])
    others = readers()
    module.start_ahead()
    (ahead,) = wait_until(lambda: readers() - others, "the reader")
    assert apart(ourselves(), os.getcwdb).content == b"/"
    assert readers() - others == {ahead}
    module._idle.pop().close()


def test_a_reader_that_cannot_be_started_ahead_fails_only_the_first_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_idle", [])
    monkeypatch.setattr(module, "ReaderProcess", refuse_to_start)
    module.start_ahead()
    with pytest.raises(OSError, match="no more processes"):
        apart(ourselves(), os.getcwdb)


def refuse_to_start() -> None:
    raise OSError(errno.EAGAIN, "no more processes")


def test_a_reader_that_does_not_answer_is_killed() -> None:
    with pytest.raises(TimeoutError, match=f"timed out reading the files or memory of PID {OURSELVES}"):
        apart(ourselves(), time.sleep, 600, seconds=0.2)
    wait_until(lambda: not held_now(OURSELVES), "the reader to end")
    assert apart(ourselves(), os.getcwdb).content == b"/"


def test_a_process_that_exits_meanwhile_is_charged_to_its_user() -> None:
    with subprocess.Popen(["sleep", "0.2"], user=64041, group=64041) as process:
        with pytest.raises(TimeoutError):
            apart(opened(process.pid), time.sleep, 600, seconds=1.0)
        assert [each.user for each in module._abandoned if each.pid == process.pid] == [64041]
    wait_until(lambda: not held_now(process.pid), "the reader to end")


def test_too_few_free_descriptors_are_a_distinct_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    process, taken = ourselves(), []
    try:
        with open_of(tmp_path / "file") as held:
            resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 64, hard))
            with suppress(OSError):
                while True:
                    taken.append(os.dup(0))
            with pytest.raises(OSError, match="Too many") as raised:
                apart(process, open_mapped, OURSELVES, *held)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for descriptor in taken:
            os.close(descriptor)
    assert raised.value.errno == errno.EMFILE
    assert apart(ourselves(), os.getcwdb).content == b"/"


def test_memory_reads_that_a_file_system_blocks(tmp_path: Path) -> None:
    with stuck_fs(tmp_path) as stuck:
        where = [(stuck.address, 8)]
        begun = time.monotonic()
        with pytest.raises(TimeoutError, match=f"timed out reading the files or memory of PID {stuck.pid}"):
            apart(opened(stuck.pid), read_memory, stuck.pid, where, seconds=0.3)
        assert 0.3 <= time.monotonic() - begun < 20
        # Further calls use no reader and do not wait.
        held, begun = readers(), time.monotonic()
        for _ in range(100):
            with pytest.raises(TimeoutError):
                apart(opened(stuck.pid), read_memory, stuck.pid, where)
        assert time.monotonic() - begun < 4
        assert readers() <= held
        # Other processes are read in the meantime.
        assert apart(ourselves(), os.getcwdb).content == b"/"
        stuck.end()
        wait_until(lambda: not held_now(stuck.pid), "the reader to end")
        content = apart(opened(stuck.pid), read_memory, stuck.pid, where).content
        assert isinstance(parts_of(content, where)[0], OSError)


def held_now(pid: int) -> bool:
    try:
        module._check_not_blocked(module._Charge(pid, False, os.geteuid()))
    except TimeoutError:
        return True
    return False


def test_a_user_who_blocks_readers_has_less_time_and_finally_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ReaderProcess, "has_ended", lambda self: False)
    other = subprocess.Popen(["sleep", "60"])
    patience = []
    try:
        for number in range(module._MOST_ABANDONED_BY_USER):
            begun = time.monotonic()
            with pytest.raises(TimeoutError):
                # Makes it another of the user's processes each time.
                apart(opened(other.pid), time.sleep, 60, seconds=1.6)
            patience.append(time.monotonic() - begun)
            module._abandoned[-1] = module._abandoned[-1]._replace(pid=UNUSED_PID + number)
        assert sum(patience) < 10
        assert patience[0] >= 1.6
        assert patience[1] >= 0.8
        with pytest.raises(TimeoutError):
            apart(opened(other.pid), os.getcwdb)
        module._abandoned.pop()
        assert apart(opened(other.pid), os.getcwdb, seconds=600).content == b"/"
    finally:
        for each in module._abandoned:
            each.reader.close()
        module._abandoned.clear()
        other.kill()
        other.wait()


def test_reads_aside_do_not_count_against_other_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ReaderProcess, "has_ended", lambda self: False)
    with pytest.raises(TimeoutError):
        apart(ourselves(), time.sleep, 60, seconds=0.2, aside=True)
    assert apart(ourselves(), os.getcwdb).content == b"/"
    with pytest.raises(TimeoutError):
        apart(ourselves(), os.getcwdb, aside=True)
    module._abandoned.pop().reader.close()


# Stops the process, which then outlives its parent. Its user can do that between the change of user and the
# request for the parent-death signal.
STOP = "import signal, ctypes; ctypes.CDLL(None).prctl(1, 0); signal.raise_signal(signal.SIGSTOP)"
# Does the same after the answer.
STOP_LATER = f"(setattr(__import__('os'), '_exit', lambda code: exec({STOP!r})), b'done')[1]"
NOBODY = Identity(65534, 65534)


@as_root
@pytest.mark.parametrize(("function", "code"), [(exec, STOP), (eval, STOP_LATER)])
def test_a_child_stopped_by_its_user_is_killed_with_its_reader(
    function: Callable[..., bytes], code: str
) -> None:
    with pytest.raises(TimeoutError):
        apart(ourselves(), function, code, seconds=0.3, user=NOBODY)
    (held,) = module._abandoned
    wait_until(held.reader.has_ended, "the reader and its child to end")
    assert apart(ourselves(), os.getcwdb).content == b"/"


@as_root
def test_another_user_who_can_hold_up_a_reader_is_charged_instead_of_the_process() -> None:
    with pytest.raises(TimeoutError):
        apart(ourselves(), time.sleep, 600, seconds=0.2, charged=64042)
    assert [each.user for each in module._abandoned] == [64042]
    assert apart(ourselves(), os.getcwdb).content == b"/"


@pytest.mark.parametrize(
    "call",
    [
        "os.getcwdb",
        "time.sleep, 600, seconds=1",
        pytest.param(f"exec, {STOP!r}, user=Identity(65534, 65534)", marks=as_root),
    ],
)
def test_readers_of_a_collector_that_was_killed_end(call: str) -> None:
    # A thread of the collector blocks all signals.
    script = "import os, signal, time; signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals());"
    script += "from jcollect.procfs.identity import Identity; from jcollect.procfs.apart import apart;"
    script += "from jcollect.procfs.process import Process;"
    script += f"apart(Process.open(os.getpid()), {call}); input()"
    collector = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE)
    left: set[int] = set()
    try:
        wait_until(lambda: readers(collector.pid), "the reader to be there")
        left = readers(collector.pid)
        if "user" in call:
            (reader,) = left
            left |= wait_until(lambda: stopped_children(reader), "its child to be stopped")
    finally:
        collector.kill()
        collector.communicate()
    wait_until(lambda: not any(b"reader.py" in command_of(reader) for reader in left), "the reader to end")


def stopped_children(pid: int) -> set[int]:
    children = set(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))
    return {child for child in children if ") T " in Path(f"/proc/{child}/stat").read_text()}


def test_parts_of_memory_are_read_each_for_itself() -> None:
    content = b"so many bytes"
    buffer = ctypes.create_string_buffer(content)
    wanted = [(ctypes.addressof(buffer), 2), (8, 5), (2**70, 1), (ctypes.addressof(buffer) + 3, 4), (0, 0)]
    parts = parts_of(bytes(read_memory(OURSELVES, wanted)), wanted)
    assert parts[0] == b"so"
    assert isinstance(parts[1], OSError)
    assert isinstance(parts[2], OSError)
    assert parts[3:] == [b"many", b""]


def test_readers_import_only_the_standard_library() -> None:
    root = Path(jcollect.__file__).parent
    modules = [f"jcollect.procfs.{file.stem}" for file in (root / "procfs").glob("*.py")]
    imports = ",".join([*modules, "jcollect.procfs.java_process"])
    script = f"import sys; sys.path.append({str(root.parent)!r}); import {imports}"
    subprocess.run([sys.executable, "-I", "-S", "-c", script], check=True)
