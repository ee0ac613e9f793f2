"""Whether the JVMs here have the bugs for which classes are refused, and no others have them."""

from __future__ import annotations

from pathlib import Path

import pytest

from conditions import wait_until
from java_target import ROOT, Jdk, compile_reflected, java, on_every_jdk
from jvm_bugs import ANNOTATED_RECORD, PARAMETER_NAMES, has_bug
from second_agent import agent_jar


@pytest.mark.every_jdk
@on_every_jdk
def test_a_jvm_loses_by_a_retransformation_what_its_release_is_known_for(jdk: Jdk, tmp_path: Path) -> None:
    classes = compile_reflected(tmp_path / "classes")
    # What comes before the record's own names moves them in the constant pool.
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
        # Of another stream: it may have come before.
        wait_until(lambda: any(last in line for line in [*target.err, *target.out]), last)
