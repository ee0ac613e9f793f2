"""Starts threads, and stops a process that hangs in native code."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time

import pytest

from conditions import wait_until
from jcollect import workers
from jcollect.errors import FAULT_EXIT_CODE, JcollectError, explain
from jcollect.workers import Failures, Worker, check_can_start, run_in_parallel


def test_a_worker_runs_and_is_waited_for_within_a_limit() -> None:
    goes_on = [True]

    def run() -> None:
        while goes_on[0]:
            time.sleep(0.01)

    worker = Worker("wait", run)
    assert worker.join(0.0), "what was never started has ended"
    worker.start()
    begun = time.monotonic()
    assert not worker.join(0.1)
    assert time.monotonic() - begun >= 0.1
    goes_on[0] = False
    assert worker.join(30)
    assert worker.join(0.0)


def test_the_first_failure_is_reported_once_raised_and_kept() -> None:
    told = []
    failures = Failures(lambda: told.append(1))
    failures.check()

    def fail() -> None:
        raise ValueError("seven\nof them")

    for worker in [Worker(f"count {n}", fail, failures) for n in (1, 2)]:
        assert worker.start().join(30)
    assert told
    with pytest.raises(JcollectError) as raised:
        failures.check()
    assert raised.value.exit_code == FAULT_EXIT_CODE
    # The location is the last one in jcollect.
    line = Worker._main.__code__.co_firstlineno + 3
    assert raised.value.message == (
        f"cannot count 1: ValueError: seven of them (workers.py:{line}); "
        "this is a bug in jcollect; please report it"
    )


@pytest.mark.parametrize(
    ("error", "message", "code"),
    [
        (JcollectError("as it is", 3), "as it is", 3),
        (MemoryError(), "cannot x: out of memory: raise ulimit -v, or the limit of its ", 1),
        (RuntimeError("can't start new thread"), "cannot x: no more threads can be started: ", 1),
        (OSError(24, "?"), "cannot x: too many files are open: raise ulimit -n", 1),
        (OSError(28, None), "cannot x: No space left on device", 1),
        (FileNotFoundError(2, "No such file", "/a/b"), "cannot x: /a/b: No such file", 1),
        (PermissionError(1, "it is a link of user 7", "/a"), "cannot x: /a: it is a link of user 7", 1),
        (KeyError("k"), "cannot x: KeyError: 'k' (unknown location); this is a bug ", FAULT_EXIT_CODE),
    ],
)
def test_every_error_is_one_sentence(error: BaseException, message: str, code: int) -> None:
    told = explain(error, "x")
    assert told.message.startswith(message)
    assert told.exit_code == code


def test_the_maximum_number_of_threads_can_be_started_at_once() -> None:
    check_can_start(20, "try")
    # Root has no limit of threads, but each one uses 8 MiB of address space.
    script = """
import resource
from jcollect.errors import JcollectError
from jcollect.workers import check_can_start
size = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (size + (60 << 20), size + (60 << 20)))
check_can_start(1, "try")
try:
    check_can_start(40, "try")
except JcollectError as error:
    print(error.message.partition(": raise")[0])
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=True
    )
    assert done.stdout == "cannot try: no more threads can be started\n"


HANGS = """
import ctypes, sys
from jcollect.last_resort import last_resort, report_aborts
report_aborts()
# PyDLL keeps Python's lock for as long as a call lasts, as gRPC does.
library = ctypes.PyDLL(None)
with last_resort(60, "never"), last_resort(float(sys.argv[1]), "stuck in x", 7):
    print("hangs", flush=True)
    if sys.argv[2] == "abort":
        library.abort()
    library.read(0, ctypes.create_string_buffer(1), 1)
print("went on")
"""


def hanging(seconds: float, how: str = "read") -> subprocess.Popen[str]:
    """Blocks while its stdin is open."""
    command = [sys.executable, "-c", HANGS, str(seconds), how]
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "hangs\n"
    return process


def test_waits_overlap_in_the_requested_number_of_threads() -> None:
    lock = threading.Lock()
    done: list[int] = []
    running: list[int] = []
    most = [0]

    def wait(item: int) -> None:
        with lock:
            running.append(item)
            most[0] = max(most[0], len(running))
        wait_until(lambda: most[0] == 4, "four to run at a time")
        with lock:
            running.remove(item)
            done.append(item)

    run_in_parallel("wait", wait, range(40), 4)
    assert sorted(done) == list(range(40))
    assert most == [4]


def test_an_error_is_raised_when_all_has_run() -> None:
    done: list[int] = []

    def run(item: int) -> None:
        done.append(item)
        if item == 0:
            raise OSError("the first")

    with pytest.raises(OSError, match="the first"):
        run_in_parallel("run", run, range(9), 3)
    assert sorted(done) == list(range(9))


@pytest.mark.parametrize("can_start", [0, 2])
def test_all_runs_in_the_threads_that_can_be_started(monkeypatch: pytest.MonkeyPatch, can_start: int) -> None:
    started: list[Worker] = []
    start = Worker.start

    def start_few(worker: Worker) -> Worker:
        if len(started) == can_start:
            raise JcollectError("no more threads")
        started.append(worker)
        return start(worker)

    monkeypatch.setattr(workers.Worker, "start", start_few)
    done: list[int] = []
    run_in_parallel("run", done.append, range(20), 8)
    assert sorted(done) == list(range(20))
    assert len(started) == can_start


def test_a_process_that_hangs_in_native_code_exits_with_a_sentence_and_an_exit_code() -> None:
    begun = time.monotonic()
    with hanging(0.5) as process:
        assert process.wait(30) == 7
        assert time.monotonic() - begun > 0.5
        assert (process.stdout.read(), process.stderr.read()) == ("", "jcollect: stuck in x\n")  # type: ignore[union-attr]


def test_a_process_that_aborts_exits_with_a_sentence_and_an_exit_code() -> None:
    with hanging(30, "abort") as process:
        assert process.wait(30) == 1
        assert process.stderr.read().startswith("jcollect: cannot continue: a library has aborted, ")  # type: ignore[union-attr]


def test_the_time_in_which_a_process_was_stopped_does_not_count() -> None:
    with hanging(2) as process:
        process.send_signal(signal.SIGSTOP)
        over = time.monotonic() + 3
        wait_until(lambda: time.monotonic() > over, "its time would have been over")
        process.send_signal(signal.SIGCONT)
        assert process.communicate(timeout=30) == ("went on\n", "")
        assert process.returncode == 0
