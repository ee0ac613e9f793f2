"""The JVMs that are known to have a bug have it, and no other installed JVM has it."""

from __future__ import annotations

from pathlib import Path

from conditions import wait_until
from java_target import ROOT, Jdk, compile_reflected, java, on_every_jdk
from jvm_bugs import ANNOTATED_RECORD, PARAMETER_NAMES, has_bug
from second_agent import agent_jar


@on_every_jdk
def test_a_retransformation_loses_only_what_it_is_known_to_lose_on_this_release(
    jdk: Jdk, tmp_path: Path
) -> None:
    classes = compile_reflected(tmp_path / "classes")
    # New constants before the record's names move these in the constant pool.
    source = (ROOT / "tests/targets/reflected/Reflected.java").read_text()
    moved = source.replace("assertNamed(name);", 'assertNamed("not " + "".concat(name));')
    assert moved != source
    (tmp_path / "Reflected.java").write_text(moved)
    others = compile_reflected(tmp_path / "others", tmp_path)
    agent = f"-javaagent:{agent_jar('Altering', classes, tmp_path)}={others}"
    names = "java.lang.String arg0" if has_bug(jdk, PARAMETER_NAMES) else "final java.lang.String name"
    with java(jdk, "-cp", classes, "Reflected", jvm=[agent]) as target:
        target.wait_for_line(rf"named: \[{names}, ")
        last = "NoSuchFieldError" if has_bug(jdk, ANNOTATED_RECORD) else "ready"
        # The line is on another stream and may have come earlier.
        wait_until(lambda: any(last in line for line in [*target.err, *target.out]), last)
