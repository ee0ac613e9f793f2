"""A fault in the agent's options or environment causes one line, and the program runs."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from conditions import require_bpf, wait_until
from java_target import (
    JCOLLECT,
    JDKS,
    NATIVE_ACCESS_WARNINGS_SINCE,
    ORDERS,
    ORDERS_PROBES,
    ROOT,
    Jdk,
    Process,
    attach,
    finish,
    java,
    newest_jdk,
    on_every_jdk,
    probes_of,
    run,
    wait_for_probes,
)
from layout_headers import INCLUDE_LAYOUTS
from native_checks import NATIVE_PARTS
from prime_calls import run_calls


def runs_with(target: Process) -> list[str]:
    """Runs the target to its end and returns its stderr."""
    with target:
        target.wait_for_line("ready")
        target.send("exit")
        assert target.wait() == 0
    assert target.out == ["ready"]
    return target.err


@on_every_jdk
@pytest.mark.parametrize(
    ("options", "line"),
    [
        (
            "probes=PrimeCalls",
            "jprobe: selector 'PrimeCalls', column 11: expected '#' and a method, as in "
            "PrimeCalls#*; the program runs untraced",
        ),
        (
            "probe=A#b",
            "jprobe: unknown option 'probe'; expected one of probes, config, dir, control, max-overhead, "
            "max-methods, string-limit, ring-size, stack-memory, hold; the program runs untraced",
        ),
        (
            "probes=PrimeCalls$Orders#place(index=arg0) when index => 5,dir=/tmp",
            "jprobe: selector 'PrimeCalls$Orders#place(index=arg0) when index => 5', column 48: "
            "expected '==' to compare, found a single '='; the program runs untraced",
        ),
        (
            "probes=PrimeCalls$Orders#*;PrimeCalls$Orders#place(List<String>)",
            "jprobe: selector 'PrimeCalls$Orders#place(List<String>)', column 29: types are written without "
            "their parameters: List, not List<String>; the program runs untraced",
        ),
        (
            "max-methods=many",
            "jprobe: max-methods is 'many'; expected a number of methods from 1 to 1000000; "
            "the program runs untraced",
        ),
        (
            "config=/no/such/file",
            "jprobe: cannot read config=/no/such/file: /no/such/file (No such file or directory); "
            "expected a file of selectors, one per line; the program runs untraced",
        ),
        ("probes=Nowhere#*", "jprobe: selector Nowhere#* has matched no method"),
        (
            "string-limit=0",
            "jprobe: string-limit is '0'; expected a number of bytes from 1 to 1024; "
            "the program runs untraced",
        ),
        (
            "ring-size=16g",
            "jprobe: ring-size is '16g'; expected a number of bytes from 256k to 1024m, as in 16m; "
            "the program runs untraced",
        ),
    ],
)
def test_a_mistake_in_the_options_causes_one_line(jdk: Jdk, targets: Path, options: str, line: str) -> None:
    assert runs_with(java(jdk, "-cp", targets, "PrimeCalls", options=options)) == [line]


@pytest.mark.parametrize(
    ("selector", "reason"),
    [
        (
            "PrimeCalls$Orders#plcae",
            "matches PrimeCalls$Orders, which has no method 'plcae'; did you mean place?",
        ),
        ("PrimeCalls$Ordres#place", "matches no loaded class; did you mean PrimeCalls$Orders?"),
    ],
)
def test_a_selector_that_matches_nothing_is_explained(targets: Path, selector: str, reason: str) -> None:
    with java(newest_jdk, "-cp", targets, "PrimeCalls", probes=selector) as target:
        # Its classes are read by then.
        run_calls(target)
        target.send("exit")
        assert target.wait() == 0
        assert target.err == [f"jprobe: selector {selector} has matched no method. It {reason}"]


def test_a_mistake_in_a_file_of_selectors_causes_one_line_with_its_location(
    targets: Path, tmp_path: Path
) -> None:
    config = tmp_path / "jprobe.conf"
    config.write_text("# selectors\n\n  PrimeCalls$Orders#place   # all of them\nPrimeCalls$Orders@touch\n")
    assert runs_with(java(newest_jdk, "-cp", targets, "PrimeCalls", options=f"config={config}")) == [
        f"jprobe: config {config}, line 4: selector 'PrimeCalls$Orders@touch', column 18: "
        "'@' cannot be in a class's name; the program runs untraced"
    ]


def test_a_selector_causes_one_line_about_all_methods_that_it_does_not_fit(targets: Path) -> None:
    selectors = "com.acme.parcels.**#*(n=arg0.nothing)"
    with java(newest_jdk, "-cp", targets, "com.acme.parcels.Parcels", probes=selectors) as target:
        target.wait_for_line("ready")
        line = target.wait_for_line("jprobe: cannot trace ")
        assert re.match(
            r"jprobe: cannot trace \d+ selected methods; jcollect probes PID --all lists them, such as "
            r"com\.acme\.parcels\.\w+#.*: selector 'com\.acme\.parcels\.\*\*#\*\(n=arg0\.nothing\)', column ",
            line,
        )
        # Other classes may be read later.
        time.sleep(1)
        assert target.err == [line]


def test_a_second_agent_reports_that_one_is_loaded(targets: Path) -> None:
    again = f"-javaagent:{ROOT / 'java-agent/build/libs/jprobe.jar'}=probes={ORDERS}"
    lines = runs_with(java(newest_jdk, again, "-cp", targets, "PrimeCalls", probes=ORDERS))
    assert len(lines) == 1
    assert lines[0] == "jprobe: this JVM has a jprobe agent already; the second -javaagent is ignored"


@pytest.mark.parametrize("jdk", [j for j in JDKS if j.version >= NATIVE_ACCESS_WARNINGS_SINCE], ids=str)
def test_where_native_access_is_denied_the_program_runs(jdk: Jdk, targets: Path) -> None:
    target = Process(
        [
            jdk.java,
            "--illegal-native-access=deny",
            f"-javaagent:{ROOT / 'java-agent/build/libs/jprobe.jar'}=probes={ORDERS}",
            "-cp",
            str(targets),
            "PrimeCalls",
        ]
    )
    lines = runs_with(target)
    assert len(lines) == 1
    assert lines[0].startswith("jprobe: ")
    assert "--enable-native-access=ALL-UNNAMED" in lines[0]


def test_a_jvm_that_ends_leaves_no_file(targets: Path, tmp_path: Path) -> None:
    runs_with(java(newest_jdk, "-cp", targets, "PrimeCalls", probes=ORDERS, options=f"dir={tmp_path}"))
    assert list(tmp_path.iterdir()) == []


def test_the_next_jvm_removes_files_of_a_killed_one(targets: Path, tmp_path: Path) -> None:
    arguments = {"probes": ORDERS, "options": f"dir={tmp_path}"}
    with java(newest_jdk, "-cp", targets, "PrimeCalls", **arguments) as killed:
        killed.wait_for_line("ready")
        wait_until(lambda: list(tmp_path.glob("jprobe-*/0.so")), "the stub library")
        killed.signal(signal.SIGKILL)
        killed.wait()
        assert [pid_in(path) for path in tmp_path.iterdir()] == [killed.pid]
    with java(newest_jdk, "-cp", targets, "PrimeCalls", **arguments) as target:
        target.wait_for_line("ready")
        assert [pid_in(path) for path in tmp_path.iterdir()] == [target.pid]


def pid_in(stub_directory: Path) -> int:
    """Returns the PID in a stub directory's name, where 16 random digits follow it."""
    name = re.fullmatch(r"jprobe-(\d+)-[0-9a-f]{16}", stub_directory.name)
    assert name, stub_directory
    return int(name[1])


@pytest.fixture
def noexec_folder(tmp_path: Path) -> Iterator[Path]:
    require_bpf()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "noexec", "none", tmp_path], check=True)
    yield tmp_path
    subprocess.run(["umount", tmp_path], check=True)


@pytest.fixture
def full_folder(tmp_path: Path) -> Iterator[Path]:
    require_bpf()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "none", tmp_path], check=True)
    with open(tmp_path / "ballast", "wb", buffering=0) as ballast:
        try:
            while True:
                ballast.write(bytes(4096))
        except OSError:
            pass
    yield tmp_path
    subprocess.run(["umount", tmp_path], check=True)


@pytest.mark.parametrize("folder", ["noexec_folder", "full_folder", "absent"])
def test_without_a_usable_directory_the_probes_are_in_memory(
    folder: str, request: pytest.FixtureRequest, targets: Path
) -> None:
    require_bpf()
    directory = "/no/such/directory" if folder == "absent" else request.getfixturevalue(folder)
    target = java(newest_jdk, "-cp", targets, "PrimeCalls", probes=ORDERS, options=f"dir={directory}")
    with target:
        target.wait_for_line("ready")
        probes = wait_for_probes(target.pid, ORDERS_PROBES)
        assert "/memfd:" in os.readlink(probes[0]["file"])
        with attach(target.pid) as collector:
            target.send("run")
            target.wait_for_line(r"\{", 120)
            assert " 300,008 hits = 300,008 delivered + 0 lost" in finish(collector)
        target.send("exit")
        assert target.wait() == 0


@pytest.mark.takes_long
def test_a_jvm_without_the_agent_is_distinguished_from_one_without_probes(targets: Path) -> None:
    require_bpf()
    with java(newest_jdk, "-cp", targets, "PrimeCalls") as target:
        target.wait_for_line("ready")
        for verb in ("attach", "probes"):
            refused = run(JCOLLECT, verb, target.pid)
            assert refused.returncode == 1
            assert refused.stdout == ""
            assert "-javaagent:jprobe.jar" in refused.stderr
            assert refused.stderr.count("\n") == 1
    with java(newest_jdk, "-cp", targets, "PrimeCalls", probes="no.such.Class#*") as target:
        target.wait_for_line("ready")
        assert probes_of(target.pid) == []
        refused = run(JCOLLECT, "attach", target.pid)
        assert refused.returncode == 1
        assert "no.such.Class#*" in refused.stderr
        assert refused.stderr.count("\n") == 1


def test_the_c_side_is_clean_under_the_sanitizers(tmp_path: Path) -> None:
    sources = ROOT / "java-agent/src"
    subprocess.run(
        [
            "gcc",
            "-g",
            "-std=gnu11",
            "-Wall",
            "-Wextra",
            "-Werror",
            "-fsanitize=address,undefined",
            INCLUDE_LAYOUTS,
            "-o",
            tmp_path / "test_native",
            sources / "test/c/test_native.c",
            *NATIVE_PARTS,
            "-ldl",
        ],
        check=True,
    )
    parent = tmp_path / "stubs"
    parent.mkdir()
    result = run(tmp_path / "test_native", parent)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
