"""Kotlin's compiler with all of its constructors woven.

Hundreds of them drop `this` from their frames or reuse its variable.
"""

from __future__ import annotations

import re
import signal
import subprocess
from pathlib import Path

import pytest

from conditions import require_bpf, wait_until
from java_target import COMPILER, KOTLIN_JAR, ROOT, Jdk, Process, java, jcollect, on_every_jdk, states_of

JARS = ROOT / "java-agent/build/targets"
KOTLINC = JARS / "kotlin-compiler-embeddable.jar"
CLASS_PATH = [KOTLINC, *sorted(JARS.glob("kotlin*.jar")), *sorted(JARS.glob("annotations*.jar"))]
PATIENCE_SECONDS = 1_800.0
# Selects the end of every constructor, with a value of the new object; few calls fire.
SELECTOR = "org.jetbrains.kotlin.**#new(s=this,t=thread) when duration >= 0ns && this != null every 9973"
LEAST_CONSTRUCTORS = 20_000
# The compiler's jar lacks the dependencies of these classes.
UNLINKED, UNDEFINED = "it cannot be linked: ", ": the class was not defined, or was unloaded"
SOURCE = """
data class Order(val id: Long, val city: String?)
sealed interface Shape { val area: Double }
class Circle(val radius: Double) : Shape { override val area get() = Math.PI * radius * radius }
class Square(side: Double) : Shape { override val area = side * side }
inline fun <T> timed(block: () -> T): T = try { block() } finally { println("done") }
fun main() {
    val orders = (1L..10L).map { Order(it, if (it % 2 == 0L) "Riga" else null) }
    println(timed { orders.groupBy { it.city ?: "nowhere" }.mapValues { (_, all) -> all.size } })
    println(listOf(Circle(1.0), Square(2.0)).sumOf { if (it is Circle) it.area else 0.0 })
}
"""


@pytest.fixture(autouse=True)
def bpf() -> None:
    require_bpf()


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("kotlinc")
    source = ROOT / "tests/targets/everything/KotlinCompiler.java"
    subprocess.run([COMPILER.javac, "--release", "11", "-d", folder, source], check=True)
    (folder / "orders.kt").write_text(SOURCE)
    return folder


def compiled(target: Process) -> str:
    target.send("compile")
    return target.wait_for_line("compiled ", PATIENCE_SECONDS)


@on_every_jdk
def test_every_constructor_of_the_compiler_can_be_woven(jdk: Jdk, program: Path, tmp_path: Path) -> None:
    command = (
        "-cp",
        ":".join(map(str, [program, *CLASS_PATH])),
        "KotlinCompiler",
        KOTLINC,
        KOTLIN_JAR,
        program / "orders.kt",
        tmp_path,
    )
    with java(jdk, *command) as target:
        unwoven = compiled(target)
    assert unwoven.startswith("compiled OK ")
    selectors = tmp_path / "selectors"
    selectors.write_text(SELECTOR)
    options = f"config={selectors},max-methods=200000"
    with java(jdk, *command[:-1], tmp_path / "out", options=options, jvm=["-Xverify:all"]) as target:
        target.wait_for_line("ready", PATIENCE_SECONDS)
        target.send("load")
        target.wait_for_line("loaded ", PATIENCE_SECONDS)
        wait_until(
            lambda: states_of(target.pid).total() >= 2 * LEAST_CONSTRUCTORS, "all probes", PATIENCE_SECONDS
        )
        collector = jcollect(
            "attach", target.pid, "--max-probes", 1 << 20, "--arm-timeout", int(PATIENCE_SECONDS)
        )
        with collector:
            collector.wait_for_line("armed ", PATIENCE_SECONDS)
            wait_until(
                lambda: set(states_of(target.pid)) <= {"armed", "failed"}, "all to be woven", PATIENCE_SECONDS
            )
            assert states_of(target.pid)["armed"] >= 2 * LEAST_CONSTRUCTORS
            assert compiled(target) == unwoven
            collector.signal(signal.SIGINT)
            assert collector.wait(PATIENCE_SECONDS) == 0, collector.err
        found = re.search(r": ([\d,]+) hits = ", collector.err[-1])
        assert found, collector.err[-1]
        assert int(found[1].replace(",", "")) > 10_000
        wait_until(lambda: set(states_of(target.pid)) == {"dormant"}, "all to be dormant", PATIENCE_SECONDS)
        assert compiled(target) == unwoven
        unwoven = [line for line in target.err if line.startswith("jprobe: cannot weave ")]
        assert not [line for line in unwoven if not line.endswith(UNDEFINED) and UNLINKED not in line]
