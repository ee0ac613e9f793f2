"""A program is traced as usual whatever it does with its standard error, and even if that is not read. The
agent's lines wait, or are counted. tests/unit tries every kind of file.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from conditions import require_bpf, wait_until
from java_target import (
    COMPILER,
    JCOLLECT,
    Jdk,
    Process,
    attach,
    finish,
    java,
    newest_jdk,
    on_every_jdk,
    run,
    wait_for_probes,
)
from threads import thread_names

SELECTORS = "Stderr$Calls#add;Stderr$Deep*#run"
DEEP = 10
CALLS = 5


@pytest.fixture(autouse=True)
def bpf() -> None:
    require_bpf()


class Fifo:
    """A full pipe that is not read until `drain`."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "stderr"
        os.mkfifo(self.path)
        self._reading = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK)
        self._writing = os.open(self.path, os.O_WRONLY | os.O_NONBLOCK)
        self._content = b""
        for size in (4096, 1):
            try:
                while True:
                    os.write(self._writing, b"-" * size)
            except BlockingIOError:
                pass

    def drain(self) -> None:
        os.close(self._writing)
        os.set_blocking(self._reading, True)
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        while chunk := os.read(self._reading, 1 << 16):
            self._content += chunk

    @property
    def lines(self) -> list[str]:
        return self._content.decode().lstrip("-").splitlines()


def with_stderr(where: str | Path) -> list[str]:
    """Returns the start of a command that runs with this stderr."""
    return ["sh", "-c", f'exec "$@" 2>{where}', "sh"]


@contextmanager
def program(
    jdk: Jdk, targets: Path, stderr: str | Path, deep: int = DEEP, options: str = "control=on"
) -> Iterator[Process]:
    before = with_stderr(stderr)
    with java(
        jdk, "-cp", targets, "Stderr", str(deep), before=before, probes=SELECTORS, options=options
    ) as target:
        target.wait_for_line("ready")
        wait_for_probes(target.pid, 3 * (1 + deep))
        yield target


def ask(target: Process, command: str) -> str:
    target.send(command)
    return target.wait_for_line(".*")


def assert_is_traced(target: Process) -> None:
    """Attaches, which causes a line for each class that cannot be woven, and counts."""
    with attach(target.pid, "-o", "json") as collector:
        assert ask(target, "call") == "called 15"
        finish(collector)
    events = [json.loads(line) for line in collector.out]
    assert [event["kind"] for event in events] == ["entry", "return"] * CALLS


def assert_takes_commands(target: Process) -> None:
    selected = run(JCOLLECT, "select", target.pid, "Stderr#main")
    assert selected.returncode == 0, selected
    assert selected.stdout.startswith("selected 1 method, 1 new")


def is_about_weaving(line: str) -> bool:
    return re.match(r"jprobe: cannot weave (class )?Stderr\$Deep\d\d\b", line) is not None


@on_every_jdk
def test_no_write_waits_for_a_reader(jdk: Jdk, targets: Path, tmp_path: Path) -> None:
    fifo = Fifo(tmp_path)
    with program(jdk, targets, fifo.path) as target:
        assert_is_traced(target)
        assert_takes_commands(target)
        assert_is_traced(target)
        fifo.drain()
        wait_until(lambda: len(fifo.lines) >= 2 * DEEP, "the lines of two failures each")
        assert all(map(is_about_weaving, fifo.lines))


@pytest.mark.takes_long
def test_lost_lines_are_reported_once_there_is_a_reader(targets: Path, tmp_path: Path) -> None:
    fifo = Fifo(tmp_path)
    # After ten seconds the agent reports of each selector that it has matched nothing. 64 such lines wait for
    # a reader.
    count = 100
    selectors = ";".join(f"com.acme.Nothing{number}#*" for number in range(count))
    before = with_stderr(fifo.path)
    with java(
        newest_jdk, "-cp", targets, "Stderr", "0", before=before, probes=selectors, options="control=on"
    ) as target:
        target.wait_for_line("ready")
        wait_until(lambda: "jprobe-log" in thread_names(target.pid), "a thread that waits for the reader")
        # The watcher answers once it has written all lines.
        assert_takes_commands(target)
        fifo.drain()
        wait_until(lambda: fifo.lines and "could not" in fifo.lines[-1], "how many lines were lost")
        *lines, last = fifo.lines
        assert all(" has matched no method of the classes loaded so far" in line for line in lines)
        assert last == f"jprobe: {count - len(lines)} lines could not be written to stderr"
        wait_until(lambda: "jprobe-log" not in thread_names(target.pid), "the thread to end")


@on_every_jdk
def test_a_program_with_a_mistake_in_its_options_and_an_unread_stderr_starts(
    jdk: Jdk, targets: Path, tmp_path: Path
) -> None:
    fifo = Fifo(tmp_path)
    with java(jdk, "-cp", targets, "Stderr", "0", before=with_stderr(fifo.path), probes="Stderr") as target:
        target.wait_for_line("ready")
        assert ask(target, "call") == "called 15"
        fifo.drain()
        wait_until(lambda: fifo.lines, "the agent's line")
        assert fifo.lines == [
            "jprobe: selector 'Stderr', column 7: expected '#' and a method, as in Stderr#*; "
            "the program runs untraced"
        ]


@on_every_jdk
def test_an_agent_without_a_gateway_opens_one_without_blocking_the_jvm(
    jdk: Jdk, targets: Path, tmp_path: Path
) -> None:
    fifo = Fifo(tmp_path)
    with program(jdk, targets, fifo.path, 1, options="") as target:
        assert_takes_commands(target)
        assert_is_traced(target)
        assert sorted(path.name for path in stub_directory(target).iterdir()) == [
            "0.so",
            "1.so",
            "2.so",
            "control",
        ]
        fifo.drain()
        wait_until(lambda: fifo.lines, "the agent's line")
        assert is_about_weaving(fifo.lines[0])


def stub_directory(target: Process) -> Path:
    (directory,) = Path("/tmp").glob(f"jprobe-{target.pid}-*")
    return directory


def test_no_agent_is_loaded_into_a_jvm_that_would_block_on_its_warning(targets: Path, tmp_path: Path) -> None:
    fifo = Fifo(tmp_path)
    before = with_stderr(fifo.path)
    with java(newest_jdk, "-cp", targets, "Stderr", "0", before=before) as target:
        target.wait_for_line("ready")
        refused = run(JCOLLECT, "select", target.pid, "Stderr$Calls#add")
        assert refused.returncode == 1
        assert refused.stderr.startswith(
            f"jcollect: cannot load the agent into PID {target.pid}: its standard error is a full pipe"
        )
        fifo.drain()
        wait_until(
            lambda: run(JCOLLECT, "select", target.pid, "Stderr$Calls#add").returncode == 0, "the agent"
        )
        assert_is_traced(target)
        assert fifo.lines[0].startswith("WARNING: A Java agent has been loaded dynamically")


def test_an_agent_is_loaded_into_a_jvm_that_does_not_warn_of_agents(targets: Path, tmp_path: Path) -> None:
    fifo = Fifo(tmp_path)
    before = with_stderr(fifo.path)
    jvm = ["-XX:+EnableDynamicAgentLoading"]
    with java(newest_jdk, "-cp", targets, "Stderr", "0", before=before, jvm=jvm) as target:
        target.wait_for_line("ready")
        selected = run(JCOLLECT, "select", target.pid, "Stderr$Calls#add")
        assert selected.returncode == 0, selected
        assert_is_traced(target)


@pytest.mark.parametrize("becomes", ["null", "throwing"])
def test_the_agent_does_not_write_by_system_err(becomes: str, targets: Path, tmp_path: Path) -> None:
    stderr = tmp_path / "stderr"
    with program(newest_jdk, targets, stderr) as target:
        assert ask(target, becomes) == "done"
        assert_is_traced(target)
        assert_takes_commands(target)
        wait_until(lambda: stderr.read_text().count("\n") == DEEP, "a line of each class")
        assert all(map(is_about_weaving, stderr.read_text().splitlines()))


def test_where_system_err_is_closed_the_program_is_traced(targets: Path, tmp_path: Path) -> None:
    stderr = tmp_path / "stderr"
    with program(newest_jdk, targets, stderr) as target:
        # The JDK then opens /dev/null as descriptor 2.
        assert ask(target, "closed") == "done"
        assert_is_traced(target)
        assert_takes_commands(target)
        assert stderr.read_text() == ""


def test_without_a_standard_error_the_program_is_traced_and_no_file_gets_lines(
    targets: Path, tmp_path: Path
) -> None:
    with program(newest_jdk, targets, "&-") as target:
        assert ask(target, f"open {tmp_path / 'data'}") == "done"
        assert_is_traced(target)
        assert_takes_commands(target)
        assert (tmp_path / "data").read_bytes() == b""


@pytest.fixture(scope="module")
def reusing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Builds a library that gives a program's file the number of its standard error, which Java cannot do."""
    library = tmp_path_factory.mktemp("reusing") / "libreuse.so"
    source = library.with_suffix(".c")
    source.write_text(
        "#include <fcntl.h>\n#include <jni.h>\n#include <unistd.h>\n"
        "JNIEXPORT jint JNICALL Java_Stderr_reuse(JNIEnv *env, jclass type, jbyteArray name)\n"
        "{\n"
        "  char file[4096] = {0};\n"
        "  (*env)->GetByteArrayRegion(env, name, 0, (*env)->GetArrayLength(env, name), (jbyte *)file);\n"
        "  close(2);\n"
        "  return open(file, O_WRONLY | O_CREAT, 0600);\n"
        "}\n"
    )
    includes = [f"-I{COMPILER.home}/include", f"-I{COMPILER.home}/include/linux"]
    subprocess.run(["gcc", "-shared", "-fPIC", *includes, "-o", library, source], check=True)
    return library


def test_a_file_with_the_descriptor_number_of_stderr_gets_no_lines(
    reusing: Path, targets: Path, tmp_path: Path
) -> None:
    stderr, data = tmp_path / "stderr", tmp_path / "data"
    with program(newest_jdk, targets, stderr) as target:
        assert ask(target, f"reuse {reusing} {data}") == "descriptor 2"
        assert_is_traced(target)
        assert_takes_commands(target)
        assert data.read_bytes() == b""
        assert stderr.read_text() == ""
