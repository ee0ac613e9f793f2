"""Each layout is defined only in layout/: a copy of the project with fields moved there traces as before.

A number written anywhere else would keep its old value, and a value below would be wrong.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import zipfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from conditions import require_bpf, wait_until
from java_target import COMPILER, JAR, ROOT, Process

# Layouts of the kernel.
FIXED = {"ring_length", "ring_header"}
# Layouts that a different order does not change.
CHANGED = {
    "drain": {'["torn",   -1': '["torn",   -7', '["more",    1': '["more",    9'},
    "stub_library": {
        '["bytes",           32,': '["bytes",           64,',
        '".jprobe.gates"': '".jprobe.moved"',
        '".jprobe.state"': '".jprobe.moods"',
        '"jprobe_gates"': '"moved_gates"',
        '["version", 3,': '["version", 30,',
    },
}
CALLS = 100


def move(folder: Path) -> None:
    """Reverses the order of all fields and bits in the descriptions of a copy, and changes some values.

    Fields without padding between them have none in reverse either; only an open array stays the last.
    """
    moved = 0
    for path in folder.glob("*.toml"):
        tables = re.split(r"^(?=\[\w+\]$)", path.read_text(), flags=re.MULTILINE)
        for number, table in enumerate(tables):
            rows = re.findall(r'^  \["\w+", *(?:"[\w \[\]*]+"|\d+), .*\n', table, re.MULTILINE)
            name = table[1:].split("]")[0]
            if rows and name not in FIXED and re.search(r"^(fields|bits) = ", table, re.MULTILINE):
                closed = [row for row in rows if '[]"' not in row]
                last = [row for row in rows if row not in closed]
                start = table.index(rows[0])
                rest = "".join(line for line in table[start:].splitlines(True) if line not in rows)
                tables[number] = table[:start] + "".join([*reversed(closed), *last]) + rest
                moved += 1
        path.write_text("".join(tables))
    assert moved >= 16
    for file, replacements in CHANGED.items():
        path = folder / f"{file}.toml"
        text = path.read_text()
        for old, new in replacements.items():
            assert text.count(old) == 1, old
            text = text.replace(old, new)
        path.write_text(text)


@dataclass(frozen=True)
class Copy:
    """A built copy of the project; only the parts that depend on layouts are rebuilt."""

    folder: Path
    jar: Path

    def jcollect(self, *arguments: object) -> Process:
        environment = {
            **os.environ,
            "PYTHONPATH": str(self.folder / "collector"),
            # Keeps compiled BPF programs of other layouts out, and leaves none behind.
            "XDG_CACHE_HOME": str(self.folder / "cache"),
        }
        return Process([sys.executable, "-m", "jcollect", *map(str, arguments)], env=environment)

    def run(self, *arguments: object) -> str:
        with self.jcollect(*arguments) as process:
            assert process.wait() == 0, process.err
        return "\n".join(process.out)

    def probes_of(self, pid: int) -> dict[str, dict[str, Any]]:
        """Returns the probes of a process by their names, none while there are none yet."""
        with self.jcollect("probes", pid, "--json") as process:
            if process.wait() != 0:
                return {}
        return {probe["name"]: probe for probe in json.loads("\n".join(process.out))}


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    folder = tmp_path_factory.mktemp("copy")
    for part in ("layout", "proto", "bpf", "collector", "java-agent/src/boot", "java-agent/src/main"):
        generated = shutil.ignore_patterns("__pycache__", "layout.h")
        shutil.copytree(ROOT / part, folder / part, ignore=generated)
    shutil.rmtree(folder / "collector/jcollect/layout")
    move(folder / "layout")
    subprocess.run([sys.executable, folder / "layout/generate.py"], check=True)
    built = folder / f"build/native/linux-{os.uname().machine}"
    shutil.copytree(ROOT / built.relative_to(folder), built)
    main = folder / "java-agent/src/main/c"
    home = COMPILER.home
    compile_c(folder, built / "drain.so", (folder / "collector/jcollect/sources/records/c").glob("*.c"))
    sources = [file for part in ("stub", "agent", "jni") for file in (main / part).glob("*.c")]
    compile_c(folder, built / "libjprobe.so", sources, f"-I{home}/include", f"-I{home}/include/linux", "-ldl")
    return Copy(folder, repack(folder, compile_java(folder), built / "libjprobe.so"))


def compile_c(folder: Path, library: Path, sources: Iterator[Path] | Sequence[Path], *options: str) -> None:
    flags = ["-std=gnu11", "-O1", "-fPIC", "-shared", "-fvisibility=hidden", "-pthread"]
    layouts = f"-I{folder}/build/layout/c"
    subprocess.run(["gcc", *flags, layouts, "-o", library, *sorted(sources), *options], check=True)


def compile_java(folder: Path) -> Path:
    """Compiles the agent against the libraries in the jar. Returns the folder of its classes."""
    libraries, classes = folder / "libraries", folder / "classes"
    with zipfile.ZipFile(JAR) as jar:
        for name in jar.namelist():
            if name.startswith(("inst/org/", "inst/py4j/")) and name.endswith(".classdata"):
                extracted = libraries / name.removeprefix("inst/").replace(".classdata", ".class")
                extracted.parent.mkdir(parents=True, exist_ok=True)
                extracted.write_bytes(jar.read(name))
    sources = [
        file
        for part in ("build/layout/java", "java-agent/src/boot", "java-agent/src/main/java")
        for file in sorted((folder / part).rglob("*.java"))
    ]
    options = ["-proc:none", "-nowarn", "-XDstringConcat=inline", "-parameters", "-d", classes]
    exports = ["--add-exports", "java.base/jdk.internal.misc=ALL-UNNAMED"]
    # The compiler runs too briefly to benefit from C2.
    command = [COMPILER.javac, "-J-XX:TieredStopAtLevel=1", *options, *exports, "-cp", libraries]
    subprocess.run([*command, *sources], check=True)
    return classes


def repack(folder: Path, classes: Path, library: Path) -> Path:
    """Returns a copy of the jar with other classes and another native library."""
    result = folder / "jprobe.jar"
    native = f"inst/native/linux-{os.uname().machine}/libjprobe.so"
    with zipfile.ZipFile(JAR) as old, zipfile.ZipFile(result, "w") as new:
        for entry in old.infolist():
            inside = entry.filename.removeprefix("inst/").replace(".classdata", ".class")
            compiled = classes / inside
            if entry.filename == native:
                new.writestr(entry, library.read_bytes())
            elif compiled.is_file():
                new.writestr(entry, compiled.read_bytes())
            else:
                new.writestr(entry, old.read(entry))
    return result


SELECTORS = (
    "Moved#place;Moved#often every 4;Moved#limited at most 7/s;Moved#quick when duration > 60s;"
    "Moved#shelve(size=arg0.inner.size, weight=arg0.weight())"
)


@pytest.mark.takes_long
def test_fields_that_move_in_the_description_move_everywhere(copy: Copy) -> None:
    require_bpf()
    program = copy.folder / "program"
    subprocess.run([COMPILER.javac, "-d", program, ROOT / "tests/targets/Moved.java"], check=True)
    java = [COMPILER.java, f"-javaagent:{copy.jar}=probes={SELECTORS}", "-cp", program, "Moved"]
    with Process(java) as target:
        target.wait_for_line("ready")
        wait_until(lambda: len(copy.probes_of(target.pid)) == 14, "the probes are published")
        with copy.jcollect("attach", target.pid, "-o", "json") as collector:
            collector.wait_for_line(".*armed 14 probes of 5 methods")
            target.send("run")
            target.wait_for_line("done")
            probes = copy.probes_of(target.pid)
            status = json.loads(copy.run("status", target.pid, "--json"))
            collector.signal(signal.SIGINT)
            assert collector.wait() == 0
    events = [json.loads(line) for line in collector.out if line.startswith("{")]
    assert_values(events)
    assert_counts(events, probes)
    assert status["overhead"]["max_percent"] == 50
    assert status["overhead"]["total_ns"] > 0
    hits = (2 * 5 - 1) * CALLS  # The entry probe of quick has nothing to evaluate.
    delivered = len(events)
    expected = f"{hits:,} hits = {delivered:,} delivered + {hits - delivered:,} filtered + 0 lost"
    assert expected in "\n".join(collector.err)


def assert_values(events: list[dict[str, Any]]) -> None:
    """Checks words of every kind, in registers and on the stack; strings; the order of times; absent values
    with reasons.
    """
    numbers = range(CALLS)
    assert all(one["time"] <= other["time"] for one, other in pairwise(events))
    assert len({(event["tid"], event["thread"]) for event in events}) == 1
    by_probe: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for event in events:
        by_probe[event["probe"]].append(event)
        assert 0 < event.get("duration_ns", 1) < 60e9
    assert [event["args"] for event in by_probe["Moved:place__entry"]] == [
        [i, None if i % 3 == 0 else f"text {i}", i + 1, -i, 7, i / 4] for i in numbers
    ]
    assert [event["value"] for event in by_probe["Moved:place__return"]] == [
        2 * i for i in numbers if i % 10 != 9
    ]
    thrown = [event["exception"] for event in by_probe["Moved:place__throw"]]
    assert thrown == ["java.lang.IllegalStateException"] * (CALLS // 10)
    assert [event["args"] for event in by_probe["Moved:often__entry"]] == [[i] for i in numbers[::4]]
    assert [event["captures"] for event in by_probe["Moved:shelve__entry"]] == [
        {
            "size": {"absent": "null"} if i % 2 == 0 else i,
            "weight": {"absent": "exception"} if i % 3 == 0 else 2 * i,
        }
        for i in numbers
    ]


def assert_counts(events: list[dict[str, Any]], probes: dict[str, dict[str, Any]]) -> None:
    """Checks the gate's decisions, counts and settings, and the semaphores and states."""
    delivered = Counter(event["probe"].removeprefix("Moved:") for event in events)
    calls = {name: 0 if name.endswith("throw") else CALLS for name in probes}
    calls["place__throw"] = CALLS // 10
    calls["place__return"] = CALLS - CALLS // 10
    for name, probe in probes.items():
        assert delivered[name] + probe["filtered"] == calls[name], name
        assert (probe["throttled"], probe["semaphore_count"], probe["state"]) == (0, 1, "armed"), name
        settings = tuple(probe.get(name, 0) for name in ("least_duration_ns", "every", "per_second"))
        assert settings == {
            "often": (0, 4, 0), "limited": (0, 1, 7), "quick": (60_000_000_001, 1, 0),
        }.get(probe["method"], (0, 1, 0)), name  # fmt: skip
    assert delivered["often__return"] == CALLS // 4
    assert 7 <= delivered["limited__entry"] < CALLS
    assert delivered["quick__return"] == 0
