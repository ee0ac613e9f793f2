"""Reflection reports methods' parameters as usual while their classes are woven and restored, also on the
JVMs that lose them (tests/jvm_bugs.py).
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from conditions import require_bpf, wait_until
from java_target import (
    COMPILER,
    JAR,
    JCOLLECT,
    Jdk,
    Process,
    attach,
    compile_reflected,
    finish,
    java,
    on_every_jdk,
    probes_of,
    run,
    states_of,
)
from jvm_bugs import FIXES, PARAMETER_NAMES, has_bug
from second_agent import Digests, agent_jar, digest_now

SELECTOR = "Parameters$*#*"
CLASS = "Parameters$Plain"
CYCLES = 2


@pytest.fixture(autouse=True)
def bpf() -> None:
    require_bpf()


@pytest.fixture(scope="session")
def reflected(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_reflected(tmp_path_factory.mktemp("parameters"))


def said(target: Process) -> list[str]:
    """Returns the program's result, and reflection's description of each class."""
    before = len(target.out)
    target.send("run")
    target.wait_for_line("done$")
    return target.out[before : target.out.index("done", before)]


def said_without_agent(jdk: Jdk, reflected: Path) -> list[str]:
    with java(jdk, "-cp", reflected, "Parameters") as target:
        target.wait_for_line("ready")
        lines = said(target)
    text = "\n".join(lines)
    assert "final int base[]" in text
    assert "int $enum$ordinal synthetic[]" in text
    assert "final class Parameters this$0 mandated[]" in text
    # The compiler writes no names for lambdas.
    assert text.count("(no name)") == 2
    return lines


def check_that_all_is_armed(target: Process) -> None:
    assert set(states_of(target.pid)) == {"armed"}, states_of(target.pid)


def number_of_hits(summary: str) -> int:
    found = re.search(r": ([\d,]+) hits = ", summary)
    assert found, summary
    return int(found[1].replace(",", ""))


@on_every_jdk
def test_parameters_are_unchanged_if_the_agent_is_loaded_later(jdk: Jdk, reflected: Path) -> None:
    as_ever = said_without_agent(jdk, reflected)
    with java(jdk, "-cp", reflected, "Parameters") as target:
        target.wait_for_line("ready")
        for _ in range(CYCLES):
            with attach(target.pid, "--select", SELECTOR) as collector:
                check_that_all_is_armed(target)
                assert said(target) == as_ever
                # No loader is asked for a class file: one would throw an error, another would never return.
                assert number_of_hits(finish(collector)) > 40
            wait_until(lambda: not list(Path("/tmp").glob(f"jprobe-{target.pid}-*")), "the agent to go")
            assert said(target) == as_ever
        assert not [line for line in target.err if line.startswith("jprobe:")]


@on_every_jdk
def test_parameters_are_unchanged_whichever_agent_retransforms(
    jdk: Jdk, reflected: Path, digest_agent: Path
) -> None:
    as_ever = said_without_agent(jdk, reflected)
    with java(jdk, "-cp", reflected, "Parameters", probes=SELECTOR) as target:
        target.wait_for_line("ready")
        wait_until(lambda: states_of(target.pid).total() > 100, "all classes to have probes")
        # This retransformation would lose the names even without jprobe, and weaving could not restore them.
        as_first = digest_now(target.pid, digest_agent, CLASS)
        assert said(target) == as_ever
        for _ in range(CYCLES):
            with attach(target.pid) as collector:
                check_that_all_is_armed(target)
                assert said(target) == as_ever
                assert digest_now(target.pid, digest_agent, CLASS) != as_first
                assert said(target) == as_ever
                assert number_of_hits(finish(collector)) > 80
            wait_until(lambda: set(states_of(target.pid)) == {"dormant"}, "all probes to be dormant")
            assert said(target) == as_ever
        assert digest_now(target.pid, digest_agent, CLASS) == as_first
        assert said(target) == as_ever
        assert not [line for line in target.err if line.startswith("jprobe:")]


@on_every_jdk
def test_names_lost_earlier_are_not_invented(
    jdk: Jdk, reflected: Path, targets: Path, tmp_path: Path
) -> None:
    log = tmp_path / "digests"
    agent = f"-javaagent:{agent_jar('DigestAgent', targets, tmp_path)}={log},{CLASS}"
    with java(jdk, "-cp", reflected, "Parameters", jvm=[agent]) as target:
        target.wait_for_line("ready")
        as_ever = said(target)
        as_first = Digests(log, CLASS).of_a_retransformation()
        as_left = said(target)
        assert (as_left != as_ever) == has_bug(jdk, PARAMETER_NAMES)
        with attach(target.pid, "--select", SELECTOR) as collector:
            check_that_all_is_armed(target)
            assert said(target) == as_left
            finish(collector)
        wait_until(lambda: not list(Path("/tmp").glob(f"jprobe-{target.pid}-*")), "the agent to go")
        assert said(target) == as_left
        assert Digests(log, CLASS).of_a_retransformation() == as_first
        assert not [line for line in target.err if line.startswith("jprobe:")]


# Without the names of its parameters, the agent cannot verify that it reads the JVM's memory correctly.
FIRE = "java/jprobe/Fire"


@on_every_jdk
def test_names_seen_at_loading_are_kept_if_the_jvm_cannot_be_read(
    jdk: Jdk, reflected: Path, targets: Path, tmp_path: Path
) -> None:
    as_ever = said_without_agent(jdk, reflected)
    log = tmp_path / "digests"
    agent = f"-javaagent:{agent_jar('DigestAgent', targets, tmp_path)}={log},{FIRE}"
    with java(jdk, "-cp", reflected, "Parameters", probes=SELECTOR, jvm=[agent]) as target:
        target.wait_for_line("ready")
        assert said(target) == as_ever
        Digests(log, FIRE).of_a_retransformation()
        wait_until(lambda: states_of(target.pid).total() > 100, "all classes to have probes")
        with attach(target.pid) as collector:
            check_that_all_is_armed(target)
            assert said(target) == as_ever
            finish(collector)
        wait_until(lambda: set(states_of(target.pid)) == {"dormant"}, "all probes to be dormant")
        assert said(target) == as_ever
        assert not [line for line in target.err if line.startswith("jprobe:")]


def refused(target: Process) -> dict[str, str]:
    """Returns, by class, the JVM bugs because of which it has no probes."""
    listing = run(JCOLLECT, "probes", target.pid, "--all", "--json")
    everything = json.loads(listing.stdout) if listing.returncode == 0 else []
    reasons = {one["class"]: one.get("reason", "") for one in everything}
    return {name: reason for name, reason in reasons.items() if reason.startswith("retransforming ")}


@on_every_jdk
def test_classes_are_rejected_if_their_parameter_names_cannot_be_preserved(
    jdk: Jdk, reflected: Path, targets: Path, tmp_path: Path
) -> None:
    log = tmp_path / "digests"
    agent = f"-javaagent:{agent_jar('DigestAgent', targets, tmp_path)}={log},{FIRE}"
    with java(jdk, "-cp", reflected, "Parameters", jvm=[agent]) as target:
        target.wait_for_line("ready")
        as_ever = said(target)
        # An agent that is loaded and not used shuts down after ten seconds.
        loaded = run(COMPILER.java, "-cp", targets, "LoadAgent", target.pid, JAR, "control=on")
        assert loaded.returncode == 0, loaded
        Digests(log, FIRE).of_a_retransformation()
        done = run(JCOLLECT, "select", target.pid, SELECTOR)
        if has_bug(jdk, PARAMETER_NAMES):
            release, fixes = ".".join(map(str, jdk.release)), FIXES[PARAMETER_NAMES]
            fixed = ".".join(map(str, next(fix for fix in fixes if fix > jdk.release)))
            assert done.returncode == 1, done
            assert f"'{SELECTOR}' matches 62 methods, none of which can be traced" in done.stderr
            assert (
                f": retransforming on JDK {release} would lose the names of its class's parameters"
                f" ({PARAMETER_NAMES}); start the program with -javaagent, or use JDK {fixed} or later"
            ) in done.stderr
            assert not probes_of(target.pid)
        else:
            assert done.returncode == 0, done
            assert probes_of(target.pid)
            assert not refused(target)
            assert run(JCOLLECT, "reset", target.pid).returncode == 0
        assert said(target) == as_ever
