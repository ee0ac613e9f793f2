"""The native side under -Xcheck:jni and the sanitizers: every kind of call, and random calls of libstapsdt.

tests/nightly and tests/fuzz hold longer runs.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from conditions import require_bpf
from fuzz.fuzz_stapsdt import build, fuzz
from java_target import attach, finish, newest_jdk, wait_for_probes
from native_checks import Checked, complaints, jni_checked, sanitized

KINDS_PROBES = 3 * 105


@pytest.fixture(params=["-Xcheck:jni", "sanitizers"])
def checked(request: pytest.FixtureRequest, tmp_path: Path) -> Checked:
    require_bpf()
    return jni_checked() if request.param == "-Xcheck:jni" else sanitized(tmp_path)


def test_no_check_complains_about_native_code_in_any_call(checked: Checked, targets: Path) -> None:
    with checked.java(newest_jdk, "-cp", targets, "EveryKind", "128", agent="probes=Kinds$**#*") as target:
        target.wait_for_line("ready")
        wait_for_probes(target.pid, KINDS_PROBES)
        with attach(target.pid) as collector:
            target.send("run")
            target.wait_for_line(r"\{", 60)
            assert " + 0 lost" in finish(collector)
        target.send("exit")
        assert target.wait() == 0
        assert complaints(target) == []


@pytest.mark.takes_long
def test_random_calls_of_libstapsdt_break_nothing_and_leave_nothing(tmp_path: Path) -> None:
    """`python3 tests/fuzz/fuzz_stapsdt.py --seconds 3600` runs longer."""
    stubs = tmp_path / "stubs"
    stubs.mkdir()
    result = fuzz(build(tmp_path), seed=1, seconds=3, folder=stubs)
    assert (result.returncode, result.stderr) == (0, "")
    assert int(result.stdout.split()[0]) > 100
    assert list(stubs.iterdir()) == []
