"""Classes that the program links while they are armed. JVMs with JDK-8277444 can crash then."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from conditions import require_bpf, wait_until
from java_target import COMPILER, OLDEST_JAVA, Jdk, java, jcollect, on_every_jdk, states_of, wait_for_probes

PROBES = 3
ROUNDS = 10

# A class file of about 700 KB, which takes milliseconds to link.
METHODS = 120
STATEMENTS = 500
FIELDS = 200
CLASSES = 60


@pytest.fixture(autouse=True)
def bpf() -> None:
    require_bpf()


def large_class(folder: Path) -> Path:
    """Compiles a class that takes a long time to link."""
    fields = "".join(f"static int f{i};" for i in range(FIELDS))
    lines = "".join(f"f{i % FIELDS} += n;" for i in range(STATEMENTS))
    names = ["first", *(f"m{i}" for i in range(METHODS - 2)), "last"]
    methods = "".join(f"public static int {name}(int n) {{ {lines} return n; }}\n" for name in names)
    source = folder / "Large.java"
    source.write_text(f"public class Large {{ {fields}\n{methods} }}\n")
    subprocess.run([COMPILER.javac, "--release", str(OLDEST_JAVA), "-d", folder, source], check=True)
    return folder / "Large.class"


@pytest.mark.parametrize("turn", range(ROUNDS))
@on_every_jdk
def test_a_class_that_is_being_linked_does_not_crash_the_jvm(
    jdk: Jdk, turn: int, targets: Path, tmp_path: Path
) -> None:
    # The JVM does not verify its own classes, so a fault is a crash instead of a VerifyError.
    unverified = ["-XX:+UnlockDiagnosticVMOptions", "-XX:-BytecodeVerificationRemote"]
    quiet = ["-XX:-CreateCoredumpOnCrash", f"-XX:ErrorFile={tmp_path / 'crash'}", "-Xmx1g"]
    program = ["-cp", targets, "LinkRace", large_class(tmp_path), str(CLASSES)]
    with java(jdk, *program, probes="Large#first", jvm=unverified + quiet) as target:
        target.wait_for_line("ready")
        wait_for_probes(target.pid, PROBES * CLASSES)
        with jcollect("attach", target.pid, "-o", "json", "--max-overhead", 0) as collector:
            wait_until(lambda: states_of(target.pid) != {"dormant": PROBES * CLASSES}, "arming to begin")
            target.send("go")
            assert target.wait_for_line("linked|#") == f"linked {CLASSES}"
            wait_until(lambda: states_of(target.pid) == {"armed": PROBES * CLASSES}, "all to be armed")
            collector.end()
        target.send("exit")
        assert target.wait() == 0
