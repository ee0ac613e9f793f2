"""Reflection reports the same parameters of all methods of large libraries as in a JVM without the agent.

All methods are woven and restored, also on JVMs that lose parameter names (tests/jvm_bugs.py).
"""

from __future__ import annotations

import itertools
import re
import signal
from dataclasses import dataclass
from pathlib import Path

import pytest

from conditions import require_bpf, wait_until
from java_target import (
    COMPILER,
    JAR,
    JCOLLECT,
    SCALA_JAR,
    UNREADABLE,
    Jdk,
    Process,
    compile_reflected,
    java,
    jcollect,
    on_every_jdk,
    run,
    states_of,
)

JARS = SCALA_JAR.parent
PATIENCE_SECONDS = 1_800.0
FILES = itertools.count()
OPTIONS = "max-methods=200000"


@dataclass(frozen=True)
class Library:
    jars: list[str]
    classes: list[str]
    least_methods: int
    """Minimum number of woven methods: nearly all."""
    left_out: str = ""

    @property
    def selectors(self) -> str:
        # At full rate, methods that take part in class loading would be slow.
        without = [f"!{self.left_out}#*"] if self.left_out else []
        return ";".join([*(f"{classes}#* every 9973" for classes in self.classes), *without])

    def class_path(self, programs: Path) -> str:
        return ":".join(map(str, [programs, *(JARS / f"{jar}.jar" for jar in self.jars)]))


# Selected separately, because one collector reads at most 131,072 probes of one stub library.
KAFKA_MESSAGES = "org.apache.kafka.common.message.**"
LIBRARIES = {
    "guava": Library(["guava", "failureaccess"], ["com.google.common.**"], 15_000),
    "scala": Library(["scala-library"], ["scala.**"], 40_000),
    "spring": Library(
        ["spring-core", "spring-beans", "spring-web", "spring-jcl"], ["org.springframework.**"], 10_000
    ),
    "kafka": Library(["kafka-clients"], ["org.apache.kafka.**"], 10_000, KAFKA_MESSAGES),
    "kafka-messages": Library(["kafka-clients"], [KAFKA_MESSAGES], 10_000),
}
on_every_library = pytest.mark.parametrize("library", LIBRARIES.values(), ids=LIBRARIES)

# Lines of the agent about classes that the JVM cannot link and methods that cannot be woven.
WEAVE = r"jprobe: cannot weave (class )?\S+: "
KNOWN = [
    *UNREADABLE,
    r"jprobe: more classes cannot be woven or restored; ",
    r"jprobe: more classes have no probes, because they cannot be linked",
    WEAVE + r"it cannot be linked: ",
    WEAVE + r"java\.lang\.InternalError: class redefinition failed: invalid class",
    WEAVE + r"the class was not defined, or was unloaded",
    WEAVE + r"the constructor calls super\(\) or this\(\) in several places",
    WEAVE + r"with the probes it would exceed 65535 bytes of bytecode",
]


@pytest.fixture(autouse=True)
def bpf() -> None:
    require_bpf()


@pytest.fixture(scope="session")
def reflected(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_reflected(tmp_path_factory.mktemp("parameters"))


def reflecting(jdk: Jdk, library: Library, reflected: Path, **agent: str) -> Process:
    """Starts ReflectedJars, with all exception messages: compiled code would omit frequent ones."""
    jvm = ["-XX:-OmitStackTraceInFastThrow"]
    return java(jdk, "-cp", library.class_path(reflected), "ReflectedJars", jvm=jvm, **agent)


def described(target: Process, folder: Path) -> list[str]:
    """Returns reflection's description of all methods."""
    file = folder / f"described{next(FILES)}"
    target.send(f"tell {file}")
    target.wait_for_line("told", PATIENCE_SECONDS)
    return file.read_text().splitlines()


def described_without_agent(jdk: Jdk, library: Library, reflected: Path, folder: Path) -> list[str]:
    with reflecting(jdk, library, reflected) as target:
        target.wait_for_line("ready", PATIENCE_SECONDS)
        lines = described(target, folder)
    assert sum("; final " in line for line in lines) > 50
    return lines


def attach_to_all(target: Process, least_methods: int) -> Process:
    def is_published() -> bool:
        return states_of(target.pid).total() >= 2 * least_methods

    wait_until(is_published, "all probes", PATIENCE_SECONDS)
    options = ["--max-probes", 1 << 20, "--arm-timeout", int(PATIENCE_SECONDS), "--max-overhead", 0]
    collector = jcollect("attach", target.pid, *options)
    collector.wait_for_line("armed ", PATIENCE_SECONDS)
    return collector


def finish(collector: Process) -> None:
    collector.signal(signal.SIGINT)
    assert collector.wait(PATIENCE_SECONDS) == 0, collector.err


def woven(target: Process) -> int:
    """Returns the approximate number of woven methods. Checks that every other method has a known reason."""
    states = states_of(target.pid)
    # A class that is not linked waits on JVMs with JDK-8277444.
    assert set(states) <= {"armed", "failed", "waiting"}, states
    ours = [line for line in target.err if line.startswith("jprobe:")]
    assert all(any(re.match(kind, line) for kind in KNOWN) for line in ours), "\n".join(ours)
    return states["armed"] // 3


def check_the_same(now: list[str], before: list[str], when: str) -> None:
    others = [pair for pair in zip(before, now, strict=True) if pair[0] != pair[1]]
    assert not others, f"{when}: {len(others)} differ, {others[:5]}"


@on_every_jdk
@on_every_library
def test_names_are_unchanged_if_the_agent_is_loaded_later(
    jdk: Jdk,
    library: Library,
    reflected: Path,
    targets: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    unchanged = described_without_agent(jdk, library, reflected, tmp_path)
    with reflecting(jdk, library, reflected) as target:
        target.wait_for_line("ready", PATIENCE_SECONDS)
        # Lets reflection load and link the classes that it needs.
        check_the_same(described(target, tmp_path), unchanged, "before")
        options = f"probes={library.selectors},{OPTIONS},max-overhead=0,control=on"
        loaded = run(COMPILER.java, "-cp", targets, "LoadAgent", target.pid, JAR, options, timeout=600)
        assert loaded.returncode == 0, loaded
        with attach_to_all(target, library.least_methods) as collector:
            methods = woven(target)
            with capsys.disabled():
                print(f"\n{jdk} {library.classes[0]}: {methods} methods woven")
            assert methods >= library.least_methods
            check_the_same(described(target, tmp_path), unchanged, "woven")
            finish(collector)
        assert run(JCOLLECT, "reset", target.pid, timeout=600).returncode == 0
        check_the_same(described(target, tmp_path), unchanged, "restored")


@on_every_jdk
@on_every_library
def test_names_are_unchanged_if_the_agent_was_there_first(
    jdk: Jdk, library: Library, reflected: Path, tmp_path: Path
) -> None:
    unchanged = described_without_agent(jdk, library, reflected, tmp_path)
    with reflecting(jdk, library, reflected, probes=library.selectors, options=OPTIONS) as target:
        target.wait_for_line("ready", PATIENCE_SECONDS)
        check_the_same(described(target, tmp_path), unchanged, "dormant")
        for _ in range(2):
            with attach_to_all(target, library.least_methods) as collector:
                assert woven(target) >= library.least_methods
                check_the_same(described(target, tmp_path), unchanged, "woven")
                finish(collector)
            wait_until(
                lambda: set(states_of(target.pid)) == {"dormant"}, "all to be dormant", PATIENCE_SECONDS
            )
            check_the_same(described(target, tmp_path), unchanged, "restored")
