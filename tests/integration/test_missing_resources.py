"""Without threads, memory or files, or after a failure in a thread, jcollect exits with one sentence, an exit
code, and its hit counts, if it had any.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from collector_fixtures import DEADLINE, JCOLLECT, Bench, Command, Target

from cgroup import inside, pids_cgroup
from conditions import require_bpf, wait_until
from java_target import as_user
from stub_image import ENTRY, LONG, Method, StubImage

NO_THREADS = (
    "no more threads can be started: raise the limit of its control group (pids.max), "
    "or those of ulimit -u and ulimit -v"
)
NO_MEMORY = "out of memory: raise ulimit -v, or the limit of its control group (memory.max)"
ABORTED = "raise the limits (ulimit -v, ulimit -u, pids.max)"
NO_FILES = "too many files are open: raise ulimit -n"
FULL = "No space left on device"
CALLS = 10_007


@pytest.fixture(autouse=True)
def _bpf() -> None:
    require_bpf()


@pytest.fixture
def target(bench: Bench) -> Target:
    return bench.target(StubImage([Method("com.acme.Orders", "place", (LONG,), kinds=(ENTRY,))]), "nt")


@pytest.fixture
def group() -> Iterator[Path]:
    """Yields a cgroup, of version 1 or 2, that can limit processes and threads."""
    with pids_cgroup("jprobe-test") as group:
        yield group


def run(*command: object, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        list(map(str, command)), capture_output=True, text=True, timeout=DEADLINE, check=False, **options
    )


def limited_to(group: Path, tasks: int, *command: object) -> subprocess.CompletedProcess[str]:
    (group / "pids.max").write_text(f"{tasks}\n")
    return run(*inside(group), *command)


def sentence_of(result: subprocess.CompletedProcess[str]) -> str:
    assert result.returncode == 1, result
    (line,) = result.stderr.splitlines()
    return line


@pytest.mark.parametrize("tasks", [1, 7])
def test_attach_without_threads_is_refused(group: Path, target: Target, tasks: int) -> None:
    result = limited_to(group, tasks, JCOLLECT, "attach", target.pid, "-o", "json")
    assert sentence_of(result) == f"jcollect: cannot serve events: {NO_THREADS}"
    assert target.semaphores() == 0


@pytest.mark.parametrize("verb", ["observe", "ps"])
def test_clients_without_threads_are_refused(bench: Bench, group: Path, target: Target, verb: str) -> None:
    collector = bench.attach(target)
    result = limited_to(group, 3, JCOLLECT, verb, *([] if verb == "ps" else [target.pid]))
    assert sentence_of(result) == f"jcollect: cannot ask a collector: {NO_THREADS}"
    assert "0 served" in collector.end()


def test_a_collector_that_can_start_no_more_threads_rejects_calls_and_keeps_running(
    bench: Bench, group: Path, target: Target
) -> None:
    collector = bench.attach(target)
    (group / "cgroup.procs").write_text(f"{collector.process.pid}\n")
    tasks = int((group / "pids.current").read_text())
    (group / "pids.max").write_text(f"{tasks}\n")
    result = run(JCOLLECT, "observe", target.pid)
    assert sentence_of(result).endswith(
        "cannot answer: RESOURCE_EXHAUSTED: the collector cannot start more threads"
    )
    result = run(JCOLLECT, "status", target.pid)
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1].endswith("the collector cannot start more threads")
    (group / "pids.max").write_text("max\n")
    observer = bench.observe(target.pid, "--max-events", 7)
    target.fire(1, 7)
    assert observer.wait() == "observed 7 events; 0 lost"
    (group / "pids.max").write_text("1\n")
    assert "7 hits = 7 delivered" in collector.end()


@pytest.mark.parametrize("megabytes", [40, 250, 500])
def test_attach_without_memory_is_refused(target: Target, megabytes: int) -> None:
    result = run("prlimit", f"--as={megabytes << 20}", JCOLLECT, "attach", target.pid, "-o", "json")
    line = sentence_of(result)
    assert line.startswith("jcollect: cannot ")
    assert line.endswith((NO_THREADS, NO_MEMORY, ABORTED))
    assert target.semaphores() == 0


@pytest.mark.parametrize("files", [8, 20])
def test_attach_without_files_is_refused(target: Target, files: int) -> None:
    result = run("prlimit", f"--nofile={files}:{files}", JCOLLECT, "attach", target.pid)
    assert sentence_of(result) == f"jcollect: cannot serve events: {NO_FILES}"
    assert target.semaphores() == 0


@pytest.mark.parametrize("verb", ["ps", "status"])
def test_clients_without_files_are_refused(bench: Bench, target: Target, verb: str) -> None:
    collector = bench.attach(target)
    result = run("prlimit", "--nofile=9:9", JCOLLECT, verb, *([] if verb == "ps" else [target.pid]))
    assert sentence_of(result).endswith(NO_FILES)
    collector.end()


def test_that_a_user_may_start_no_threads_is_reported(bench: Bench, target: Target) -> None:
    collector = bench.attach(target, "--insecure", "--listen", "127.0.0.1:0")
    address = collector.status().split("serving ")[1]
    result = run(
        "prlimit", "--nproc=1", *as_user("nobody", reads_checkout=True), JCOLLECT, "observe", address
    )
    assert sentence_of(result) == f"jcollect: cannot ask a collector: {NO_THREADS}"
    collector.end()


@pytest.mark.takes_long
def test_a_reader_that_runs_out_of_memory_ends_the_command_with_its_hit_counts(
    bench: Bench, target: Target
) -> None:
    collector = bench.attach(target)
    observer = bench.observe(target.pid)
    os.kill(observer.process.pid, signal.SIGSTOP)
    pages = int(Path(f"/proc/{collector.process.pid}/statm").read_text().split()[0])
    size = pages * os.sysconf("SC_PAGE_SIZE")
    subprocess.run(["prlimit", f"--pid={collector.process.pid}", f"--as={size}"], check=True)
    begun = time.monotonic()
    while collector.process.poll() is None and time.monotonic() - begun < DEADLINE:
        target.fire(2, 200_000)
    assert collector.wait(code=1).endswith(f": {NO_MEMORY}")
    summary = collector.errors[-2]
    assert summary.startswith("detached after "), collector.errors
    counts = r": ([\d,]+) hits = ([\d,]+) delivered \+ ([\d,]+) lost .*?(?:; ([\d,]+) hits are un|$)"
    match = re.search(counts, summary)
    assert match, summary
    hits, *parts = (int((part or "0").replace(",", "")) for part in match.groups())
    assert hits == sum(parts) > 0
    assert target.semaphores() == 0
    observer.kill()


def printed_to(stdout: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    return run("sh", "-c", f'exec "$@" {stdout}', "sh", JCOLLECT, *arguments)


@pytest.mark.parametrize(("stdout", "why"), [(">/dev/full", FULL), (">&-", "it is closed")])
def test_a_stdout_that_cannot_be_written_ends_attach_with_its_hit_counts(
    bench: Bench, target: Target, stdout: str, why: str
) -> None:
    collector = subprocess.Popen(
        ["sh", "-c", f'exec "$@" {stdout}', "sh", JCOLLECT, "attach", str(target.pid), "-o", "json"],
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        wait_until(lambda: target.semaphores() == 1, "it is attached")
        target.fire(1, CALLS)
        _, said = collector.communicate(timeout=DEADLINE)
    finally:
        collector.kill()
    armed, summary, problem = said.splitlines()
    assert armed.startswith("armed 1 probe ")
    assert re.fullmatch(
        r"detached after .* hits = .*; subscribers: 1 served, [1-9][\d,]* events lost", summary
    )
    assert problem == f"jcollect: cannot write to stdout: {why}"
    assert collector.returncode == 1


def test_a_stdout_that_is_full_is_an_error_of_every_verb(bench: Bench, target: Target) -> None:
    bench.attach(target)
    for arguments in (["probes", target.pid], ["status", target.pid], ["top", target.pid, "--duration", 1]):
        result = printed_to(">/dev/full", *arguments)
        assert result.returncode == 1
        assert result.stderr.splitlines()[-1].endswith(f": {FULL}")
        assert "Traceback" not in result.stderr


def test_with_stderr_closed_attach_prints_to_no_other_file(target: Target) -> None:
    result = printed_to("2>&-", "attach", target.pid, "--duration", "0.5")
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


# Nothing outside can make jcollect's own code fail at these points, so the tests patch it.
FAULTY = """
import sys, importlib
module, name, method = sys.argv.pop(1).split(":")
def fail(*arguments, **options):
    raise LookupError("made up")
from jcollect.commands import main
import jcollect.commands.{verb}
setattr(getattr(importlib.import_module(module), name), method, fail)
main()
"""


@pytest.mark.parametrize(
    ("place", "what"),
    [
        ("jcollect.hub.reader:Reader:_publish", "read events"),
        ("jcollect.sinks.terminal:TerminalSink:take", "write events to stdout"),
        ("jcollect.session.target_lifecycle:TargetLifecycle:_poll_arming", "trace the processes"),
        ("jcollect.session.session:Session:detach", "detach"),
    ],
)
def test_a_fault_in_any_part_of_attach_ends_it_with_its_hit_counts_and_an_exit_code(
    target: Target, place: str, what: str
) -> None:
    program = (sys.executable, "-c", FAULTY.format(verb="attach"), place)
    output = ["-o", "compact"] if what.startswith("write") else []
    collector = Command(("attach", target.pid, *output), program=program)
    try:
        if what in ("trace the processes", "write events to stdout"):
            pass  # These faults occur without a trigger, before the probe is armed.
        elif not collector.status().startswith("armed 1 probe "):
            pytest.fail(f"{collector.errors}")
        elif what == "detach":
            collector.process.send_signal(signal.SIGTERM)
        else:
            target.fire(1, 11)
        last = collector.wait(code=4)
    finally:
        collector.kill()
    assert collector.errors[-2].startswith("detached after "), collector.errors
    assert last.startswith(f"jcollect: cannot {what}: LookupError: made up (")
    assert last.endswith("this is a bug in jcollect; please report it")
    assert target.semaphores() == 0


def test_attach_exits_even_if_its_grpc_server_has_no_thread(target: Target) -> None:
    program = FAULTY.format(verb="attach")
    result = run(sys.executable, "-c", program, "threading:Thread:start", "attach", target.pid)
    assert result.returncode == 4
    assert result.stderr.startswith("jcollect: cannot run jcollect attach: LookupError: made up (")
    assert target.semaphores() == 0


@pytest.mark.parametrize(
    ("verb", "place", "what"),
    [
        ("observe", "jcollect.sinks.terminal:TerminalSink:_print", "print events"),
        ("top", "jcollect.view.summary:Summary:add", "receive events"),
        ("top", "jcollect.cli.method_screen:MethodScreen:show", "show methods"),
    ],
)
def test_a_fault_in_any_part_of_a_client_ends_it_with_an_exit_code(
    bench: Bench, target: Target, verb: str, place: str, what: str
) -> None:
    collector = bench.attach(target)
    program = (sys.executable, "-c", FAULTY.format(verb=verb), place)
    client = Command(
        (verb, target.pid, *(["--events", "--interval", 0.1] if verb == "top" else [])), program=program
    )
    try:
        if verb == "observe":
            assert client.status().startswith("observing ")
        begun = time.monotonic()
        while client.process.poll() is None and time.monotonic() - begun < DEADLINE:
            target.fire(1, 11)
        last = client.wait(code=4)
    finally:
        client.kill()
    assert last.startswith(f"jcollect: cannot {what}: LookupError: made up (")
    if verb == "observe":
        assert client.errors[-2] == "observed 0 events; 0 lost"
    collector.end()


@pytest.mark.takes_long
def test_hit_counts_into_an_unread_pipe_do_not_block_the_exit(bench: Bench, target: Target) -> None:
    pipe = bench.directory / "pipe"
    os.mkfifo(pipe)
    collector = bench.attach(target, "--counts", pipe)
    target.fire(1, 7)
    collector.process.send_signal(signal.SIGINT)
    assert collector.wait(code=1) == (
        f"jcollect: cannot write the hit counts to {pipe}: no process reads this pipe; start its reader first"
    )
    assert "7 hits = 7 delivered" in collector.errors[-2]
