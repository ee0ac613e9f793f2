"""A process is opened once and stays the same process, even if its PID is reused."""

from __future__ import annotations

import gc
import os
import re
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from conditions import as_root, wait_until
from jcollect.errors import JcollectError
from jcollect.probes.host import HostProcess
from jcollect.procfs.apart import apart
from jcollect.procfs.maps import read_maps
from jcollect.procfs.process import Process
from processes import closed, opened

NO_PROCESS = 4_000_000


def descriptors() -> int:
    gc.collect()  # Closes the processes of other tests.
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.parametrize("pid", [NO_PROCESS, 1 << 40])
def test_a_pid_without_a_process_is_an_error(pid: int) -> None:
    before = descriptors()
    with pytest.raises(
        JcollectError, match=f"^there is no process with PID {pid}; jcollect ps lists the processes$"
    ):
        Process.open(pid)
    assert descriptors() == before


def test_a_threads_id_is_an_error_that_names_the_process() -> None:
    stop, ids = threading.Event(), list[int]()

    def run() -> None:
        ids.append(threading.get_native_id())
        stop.wait(60)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        wait_until(lambda: ids, "the thread")
        message = f"{ids[0]} is a thread of the process {os.getpid()}; give the PID {os.getpid()}"
        with pytest.raises(JcollectError, match=re.escape(message)):
            Process.open(ids[0])
    finally:
        stop.set()
        thread.join()


def test_a_process_that_was_not_reaped_has_exited() -> None:
    with subprocess.Popen(["sleep", "60"]) as child:
        process = opened(child.pid)
        assert not process.has_exited
        child.kill()
        wait_until(lambda: process.has_exited, "it to exit")
        # Its files in /proc are still there.
        assert Path(f"/proc/{child.pid}/stat").exists()
        assert process.mapped_pages() == 0
        for read in (process.catches_quit, process.check_alive, lambda: read_maps(process)):
            with pytest.raises(ProcessLookupError):
                read()
        with pytest.raises(JcollectError, match=f"^PID {child.pid} has exited$"):
            Process.open(child.pid)


def test_a_closed_process_has_exited_and_holds_no_descriptor() -> None:
    before = descriptors()
    process = opened(os.getpid())
    assert descriptors() == before + 1
    process.close()
    process.close()
    assert descriptors() == before
    assert process.has_exited
    with pytest.raises(ProcessLookupError):
        apart(process, os.getcwdb)
    forgotten = opened(os.getpid())
    del forgotten
    assert descriptors() == before


def test_several_threads_read_one_process() -> None:
    with opened(os.getpid()) as process, ThreadPoolExecutor(8) as threads:
        read = [threads.submit(lambda: (process.start_time, bool(read_maps(process)))) for _ in range(64)]
        assert {each.result() for each in read} == {(process.start_time, True)}


def test_a_process_of_a_host_scan_is_opened_only_if_it_is_the_same() -> None:
    start = opened(os.getpid()).start_time
    found = HostProcess(os.getpid(), start, os.geteuid(), is_jvm=False, has_stubs=False, jdk="", name="")
    found.open().close()
    later = HostProcess(os.getpid(), start + 1, os.geteuid(), is_jvm=False, has_stubs=False, jdk="", name="")
    before = descriptors()
    with pytest.raises(JcollectError, match=f"^PID {os.getpid()} has exited$"):
        later.open()
    assert descriptors() == before
    assert closed(NO_PROCESS).has_exited


# Runs in a PID namespace of its own, in which it chooses the PID of its next child.
REUSED = """
import os, signal
from jcollect.procfs import apart
from jcollect.procfs.maps import read_maps
from jcollect.procfs.process import Process

def sleeper():
    child = os.fork()
    if child == 0:
        signal.pause()
    return child

apart.start_ahead()
first = sleeper()
process, never_read = Process.open(first), Process.open(first)
assert read_maps(process) and process.start_time and process.mapped_pages()
os.kill(first, signal.SIGKILL)
os.waitpid(first, 0)
with open("/proc/sys/kernel/ns_last_pid", "w") as last:
    last.write(str(first - 1))
second = sleeper()
assert second == first, (first, second)
for each in (process, never_read):
    assert each.has_exited and each.mapped_pages() == 0 and not each.is_stopped()
    for read in (each.catches_quit, lambda: read_maps(each), lambda: apart.apart(each, os.getcwdb)):
        try:
            print("read of the other process:", read())
        except ProcessLookupError:
            pass
try:
    print("start of the other process:", never_read.start_time)
except ProcessLookupError:
    pass
other = Process.open(second)
assert read_maps(other) and not other.has_exited
os.kill(second, signal.SIGKILL)
"""


@as_root
def test_a_pid_that_is_reused_is_not_confused_with_the_first_process() -> None:
    command = ["unshare", "--pid", "--fork", "--mount-proc", sys.executable, "-c", REUSED]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
