"""Whatever is wrong with a command line, its limits or its output, jcollect ends with an exit code and one
sentence, and never with a traceback."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from conditions import as_root, wait_until
from java_target import JDKS

# No process has this PID: pid_max is 4,194,304 at most.
NO_PID = "4194304"
US = str(os.getpid())
NOT_UTF8 = "A\udcff#b"
ARABIC = "\u0661\u0662"
NOBODY = 65534
SECONDS = "is not a number of seconds greater than 0, and at most 1,000,000,000"
NO_SUCH_PID = f"there is no process with PID {NO_PID}; jcollect ps lists the processes"
WHOLE = "is not a whole number of at least 1"

Run = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def jcollect() -> Iterator[Run]:
    program = Path(__file__).resolve().parents[1] / "forked_cli.py"
    with subprocess.Popen(
        [sys.executable, program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        given, answers = process.stdin, process.stdout

        def run(*argv: str, **row: object) -> dict[str, Any]:
            given.write(json.dumps({"argv": argv, **row}) + "\n")
            given.flush()
            answer: dict[str, Any] = json.loads(answers.readline())
            assert "Traceback" not in answer["stderr"], answer
            assert "this is a bug" not in answer["stderr"], answer
            return answer

        yield run
        given.close()


@pytest.fixture(scope="module", autouse=True)
def jvm(tmp_path_factory: pytest.TempPathFactory, jcollect: Run) -> Iterator[None]:
    """Runs a JVM: `jcollect ps` prints a table only if there is one."""
    source = tmp_path_factory.mktemp("jvm") / "Idle.java"
    source.write_text(
        "class Idle { public static void main(String[] a) throws Exception { System.in.read(); } }"
    )
    with subprocess.Popen([JDKS[0].java, source], stdin=subprocess.PIPE) as process:
        # PIDs are aligned: spaces come before a short one.
        listed = re.compile(rf"^ *{process.pid} ", re.MULTILINE)
        wait_until(lambda: bool(listed.search(jcollect("ps")["stdout"])), "the JVM to be listed")
        yield
        process.kill()


# Exit code, command line, and a part of the only line on stderr.
ARGUMENTS: list[tuple[int, tuple[str, ...], str]] = [
    (2, ("attach",), "attach needs PIDs, --name GLOB or --all"),
    (2, ("attach", "abc"), "'abc' is not a PID, a number from 1 to 4194304 as jcollect ps lists them"),
    (2, ("attach", "0"), "'0' is not a PID"),
    (2, ("attach", "1.5"), "'1.5' is not a PID"),
    (2, ("attach", "1_0"), "'1_0' is not a PID"),
    (2, ("attach", ARABIC), f"'{ARABIC}' is not a PID"),
    (2, ("attach", "9" * 30), f"'{'9' * 30}' is not a PID"),
    (2, ("select", "x", "A#b"), "'x' is not a PID"),
    (2, ("probes", ARABIC), f"'{ARABIC}' is not a PID"),
    (1, ("attach", NO_PID), NO_SUCH_PID),
    (1, ("attach", US), f"PID {US} "),
    (1, ("probes", NO_PID), NO_SUCH_PID),
    (1, ("select", NO_PID, "A#b"), NO_SUCH_PID),
    (1, ("reset", NO_PID), NO_SUCH_PID),
    (1, ("set", NO_PID, "*", "always"), NO_SUCH_PID),
    (1, ("status", NO_PID), NO_SUCH_PID),
    (1, ("top", NO_PID), NO_SUCH_PID),
    (1, ("hist", NO_PID), NO_SUCH_PID),
    (1, ("hist", NO_PID, "--select", "A#b"), NO_SUCH_PID),
    (2, ("hist", US, "--interval", "0.05"), "'0.05' is not a number of seconds of at least 0.1"),
    (2, ("hist", US, "-o", "compact"), "'compact' is not one of"),
    (2, ("hist", US, "--json-strings"), "--json-strings changes JSON, and none is printed; add -o json"),
    (1, ("observe", NO_PID), NO_SUCH_PID),
    (1, ("top", NO_PID, "--select", "A#b"), NO_SUCH_PID),
    (1, ("observe", US), f"no collector is attached to PID {US}; start one with jcollect attach {US}"),
    (2, ("top", ARABIC), f"'{ARABIC}' is not an address: use a PID, unix:///path/of.sock, or host:port"),
    (2, ("status", "\udcff"), "'\\udcff' is not an address"),
    (2, ("attach", US, "--duration", "nan"), f"'nan' {SECONDS}"),
    (2, ("attach", US, "--duration", "inf"), f"'inf' {SECONDS}"),
    (2, ("attach", US, "--duration", "-1"), f"'-1' {SECONDS}"),
    (2, ("attach", US, "--duration", "0"), f"'0' {SECONDS}"),
    (2, ("observe", US, "--duration", "1e300"), f"'1e300' {SECONDS}"),
    (2, ("top", US, "--duration", ARABIC), f"'{ARABIC}' {SECONDS}"),
    (2, ("top", US, "--interval", "inf"), "'inf' is not a number of seconds of at least 0.1"),
    (2, ("top", US, "--interval", "0.05"), "'0.05' is not a number of seconds of at least 0.1"),
    (2, ("top", US, "--rows", "0"), f"'0' {WHOLE}"),
    (2, ("top", US, "--sort", "size"), "'size' is not one of"),
    (2, ("status", US, "--timeout", "inf"), f"'inf' {SECONDS}"),
    (2, ("select", US, "A#b", "--timeout", "nan"), f"'nan' {SECONDS}"),
    (2, ("attach", US, "--max-events", ARABIC), f"'{ARABIC}' {WHOLE}"),
    (2, ("attach", US, "--max-events", "9" * 21), f"{'9' * 21} is too large"),
    (2, ("attach", US, "--max-events", "-1"), f"'-1' {WHOLE}"),
    (2, ("attach", US, "--max-events", "inf"), f"'inf' {WHOLE}"),
    (2, ("attach", US, "--max-probes", "2000000"), "'2000000' is not a whole number from 1 to 1,048,576"),
    (2, ("attach", US, "--max-overhead", "100001"), "'100001' is not a whole number from 0 to 100,000"),
    (2, ("attach", US, "--select", NOT_UTF8), "'A\\udcff#b' is not UTF-8"),
    (2, ("attach", "--name", "\udcff"), "'\\udcff' is not UTF-8"),
    (2, ("observe", US, "--probe", "\udcff"), "'\\udcff' is not UTF-8"),
    (2, ("select", US, NOT_UTF8), "'A\\udcff#b' is not UTF-8"),
    (2, ("unselect", US, NOT_UTF8), "'A\\udcff#b' is not UTF-8"),
    (2, ("set", US, "\udcff", "always"), "'\\udcff' is not UTF-8"),
    (2, ("set", US, "*", "every \udcff"), "'every \\udcff' is not UTF-8"),
    (2, ("attach", US, "-o", "xml"), "'xml' is not a format of events; use json or compact"),
    (2, ("observe", US, "-o", ""), "'' is not a format of events; use json or compact"),
    (2, ("attach", US, "--counts", ""), "--counts needs the path of a file"),
    (2, ("attach", US, "--listen", ""), "'' is not an address"),
    (2, ("attach", US, "--listen", "unix:x"), "the path of a socket must be absolute"),
    (2, ("attach", US, "--listen", "/tmp/x.sock"), "'/tmp/x.sock' is not an address"),
    (2, ("attach", US, "--listen", "127.0.0.1:1"), "cannot listen at 127.0.0.1:1: any user of this machine"),
    (2, ("top", US, "--max-overhead", "5"), "--max-overhead needs --select"),
    (2, ("top", "h:1", "--select", "A#b"), "--select needs a PID to attach to, and 'h:1' is the address of"),
    (2, ("attach", US, "--json-strings"), "--json-strings changes JSON, and none is printed; add -o json"),
    (2, ("observe", US, "--json-strings"), "--json-strings changes JSON, and none is printed; add -o json"),
    (2, ("observe", US, "--json"), "there is no option --json here; use -o json"),
    (2, ("attach", US, "--json"), "there is no option --json here; use -o json"),
    (2, ("\udcff",), "No such command '\\udcff'"),
    (2, ("ps", "--\udcff"), "No such option '--\\udcff'"),
]  # fmt: skip


@as_root
@pytest.mark.parametrize(("code", "argv", "sentence"), ARGUMENTS, ids=lambda value: ascii(value)[:50])
def test_a_wrong_argument_is_one_sentence(
    jcollect: Run, code: int, argv: tuple[str, ...], sentence: str
) -> None:
    answer = jcollect(*argv)
    (line,) = answer["stderr"].splitlines()
    assert line.startswith("jcollect: ")
    assert sentence in line
    assert (answer["code"], answer["stdout"]) == (code, "")


@as_root
@pytest.mark.parametrize(
    ("folder", "problem"),
    [
        ("none", "the directory {} does not exist; create it, or choose another path with --listen"),
        ("file", "{}: Not a directory; choose another path with --listen"),
        ("/proc", "/proc/x.sock.lock: No such file or directory; choose another path with --listen"),
    ],
)
def test_a_directory_in_which_no_socket_can_be_is_named(
    jcollect: Run, tmp_path: Path, folder: str, problem: str
) -> None:
    (tmp_path / "file").touch()
    path = tmp_path / folder
    answer = jcollect("attach", US, "--listen", f"unix://{path}/x.sock")
    assert answer["stderr"] == f"jcollect: cannot listen at unix://{path}/x.sock: {problem.format(path)}\n"
    assert answer["code"] == 1
    assert not (tmp_path / "none").exists()


PRINTED = [("--help",), ("--version",), ("top", "--help"), ("ps",), ("ps", "--json")]


@pytest.mark.parametrize("argv", PRINTED, ids=" ".join)
@pytest.mark.parametrize(
    ("broken", "sentence"),
    [({"full": [1]}, "No space left on device"), ({"closed": [1]}, "it is closed")],
    ids=["full", "closed"],
)
def test_output_that_cannot_be_written_is_one_sentence(
    jcollect: Run, argv: tuple[str, ...], broken: dict[str, list[int]], sentence: str
) -> None:
    answer = jcollect(*argv, **broken)
    assert answer["stderr"] == f"jcollect: cannot write to stdout: {sentence}\n"
    assert answer["code"] == 1


@pytest.mark.parametrize("argv", PRINTED, ids=" ".join)
@pytest.mark.parametrize("broken", [{"full": [2]}, {"closed": [2]}, {"broken": [2]}], ids=str)
def test_output_is_complete_without_stderr(
    jcollect: Run, argv: tuple[str, ...], broken: dict[str, list[int]]
) -> None:
    answer = jcollect(*argv, **broken)
    assert answer["code"] == 0
    assert answer["stdout"].rstrip()
    assert answer["stderr"] == ""


@pytest.mark.parametrize("argv", PRINTED, ids=" ".join)
def test_a_reader_that_needs_no_more_output_is_no_error(jcollect: Run, argv: tuple[str, ...]) -> None:
    answer = jcollect(*argv, broken=[1])
    assert answer["code"] == 0


def test_an_error_without_any_output_is_an_exit_code(jcollect: Run) -> None:
    assert jcollect("attach", "abc", closed=[1, 2])["code"] == 2
    assert jcollect("ps", closed=[1, 2])["code"] == 1


@as_root
@pytest.mark.parametrize(
    ("argv", "limits", "sentence"),
    [
        (("status", US), {"NOFILE": 6}, "too many files are open: raise ulimit -n"),
        (("probes", US), {"NOFILE": 6}, "too many files are open: raise ulimit -n"),
        (("attach", US), {"NOFILE": 6}, "too many files are open: raise ulimit -n"),
        (("attach", US), {"NOFILE": 16}, "cannot serve events: too many files are open: raise ulimit -n"),
        (("attach", US), {"NOFILE": 33}, "cannot serve events: too many files are open: raise ulimit -n"),
        (("top", "unix:///x.sock"), {"NOFILE": 16}, "cannot ask a collector: too many files are open"),
        (("attach", US), {"AS": 520 << 20}, "cannot serve events: out of memory: raise ulimit -v"),
    ],
)
def test_a_limit_that_is_too_low_is_named(
    jcollect: Run, argv: tuple[str, ...], limits: dict[str, int], sentence: str
) -> None:
    answer = jcollect(*argv, limits=limits)
    (line,) = answer["stderr"].splitlines()
    assert sentence in line
    assert answer["code"] == 1


@as_root
def test_a_user_who_may_not_look_for_collectors_is_told(jcollect: Run) -> None:
    Path("/run/jprobe").mkdir(mode=0o700, exist_ok=True)
    answer = jcollect("top", US, uid=NOBODY)
    assert answer["stderr"] == (
        f"jcollect: no collector is attached to PID {US}; start one with jcollect attach {US}; "
        "use sudo to see those of root\n"
    )
    assert answer["code"] == 1
