"""Values that other threads change while they are captured. One JVM."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from conditions import require_bpf
from java_target import Jdk, attach, finish, java, on_newest_jdk

SELECTOR = "Mutated#take(it=value, first=value[0], got=value.get(5), size=((java.util.List) value).size())"


@on_newest_jdk
@pytest.mark.parametrize("seconds", [5, pytest.param(60, marks=pytest.mark.takes_long)])
def test_no_exception_and_no_hang_reaches_the_program(jdk: Jdk, targets: Path, seconds: int) -> None:
    require_bpf()
    with java(jdk, "-cp", targets, "Mutated", probes=SELECTOR) as target:
        target.wait_for_line("ready")
        with attach(target.pid) as collector:
            target.send(str(seconds))
            line = target.wait_for_line("calls ", seconds + 30)
            summary = finish(collector)
        match = re.fullmatch(r"calls (\d+) thrown 0", line)
        assert match, target.out
        assert f"{2 * int(match[1]):,} hits = " in summary
        assert int(match[1]) > 1000 * seconds
        assert target.wait() == 0
        assert target.err == []
