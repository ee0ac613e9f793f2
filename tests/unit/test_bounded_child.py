"""jcollect waits for the program that loads the agent, and reads its output, within limits."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from conditions import as_root, miss, wait_until
from jcollect.control import loading
from jcollect.control.bounded_child import MAX_OUTPUT_BYTES, BlockedError, run_bounded
from jcollect.control.loading import load_agent
from jcollect.errors import JcollectError
from processes import opened
from stuck_fs import stuck_fs

LONG = 20.0


def run_code(code: str, seconds: float = LONG) -> tuple[int, str, str]:
    done = run_bounded([sys.executable, "-c", code], seconds, {"ONLY": "this"})
    return done.code, done.output, done.errors


def test_the_output_and_exit_code_of_a_program_are_returned() -> None:
    code = "import os, sys; print(os.environ['ONLY'], os.getcwd()); print('e', file=sys.stderr); sys.exit(3)"
    assert run_code(code) == (3, "this /\n", "e\n")


def test_it_does_not_inherit_our_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAVA_TOOL_OPTIONS", "-Dours")
    monkeypatch.setenv("LD_LIBRARY_PATH", "/ours")
    _, names, _ = run_code("import os; print(*os.environ)")
    # Python itself may set LC_CTYPE.
    assert set(names.split()) <= {"ONLY", "LC_CTYPE"}


def test_no_more_is_read_than_fits() -> None:
    code = f"import os; os.write(1, bytes({4 * MAX_OUTPUT_BYTES})); os._exit(0)"
    with pytest.raises(BlockedError) as held_up:
        run_code(code, 1)
    assert held_up.value.child.poll() is not None
    _, output, _ = run_code(f"import os; os.write(1, bytes({MAX_OUTPUT_BYTES + 1000})); os._exit(0)")
    assert len(output) == MAX_OUTPUT_BYTES


@as_root
def test_a_program_that_cannot_be_killed_is_abandoned_and_its_target_rejected(tmp_path: Path) -> None:
    if not Path("/dev/fuse").exists():
        miss("it takes /dev/fuse")
    with stuck_fs(tmp_path, ["READ"]) as there:
        file = f"/proc/{there.pid}/root{tmp_path}/file"
        begun = time.monotonic()
        with pytest.raises(BlockedError) as held_up:
            run_code(f"open({file!r}, 'rb').read(1)", 1)
        assert time.monotonic() - begun < LONG
        child = held_up.value.child
        assert child.poll() is None
        loading._blocked[there.pid] = child
        try:
            with pytest.raises(JcollectError, match=f"and its process {child.pid} cannot be killed"):
                load_agent(opened(there.pid))
            there.end()
            wait_until(lambda: child.poll() is not None, "the child to end")
            with pytest.raises(JcollectError, match="it is not a JVM"):
                load_agent(opened(there.pid))
        finally:
            loading._blocked.pop(there.pid, None)


def test_an_interrupt_leaves_no_child() -> None:
    program = (
        "import os, sys, threading; from jcollect.control.bounded_child import run_bounded;"
        "threading.Timer(0.5, os.kill, (os.getpid(), 2)).start();"
        "run_bounded([sys.executable, '-c', 'import os, time; print(os.getppid()); time.sleep(60)'], 60, {})"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=LONG, check=False
    )
    # The child exits when its own child's pipe closes.
    assert "KeyboardInterrupt" in done.stderr
