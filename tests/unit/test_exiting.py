"""A process that is about to exit, whose files in /proc are missing already, is reported as one that has
exited."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from conditions import wait_until
from jcollect.control.agent import find_agent
from jcollect.control.loading import load_agent
from jcollect.errors import JcollectError
from jcollect.probes.scan import scan_traceable
from jcollect.procfs.process import Process
from processes import opened

# The main thread ends, and another one delays the exit of the process, as freeing much memory does.
PROGRAM = """
import ctypes, threading, time
threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
time.sleep(0.5)
ctypes.CDLL(None).syscall(60, 0)
"""


@pytest.fixture
def exiting() -> Iterator[Process]:
    with subprocess.Popen([sys.executable, "-c", PROGRAM]) as child:
        try:
            process = opened(child.pid)
            assert not process.is_exiting()
            wait_until(process.is_exiting, "its main thread to end")
            yield process
        finally:
            child.kill()


@pytest.mark.parametrize("use", [load_agent, find_agent, scan_traceable])
def test_a_process_that_exits_is_not_said_to_be_no_jvm(
    exiting: Process, use: Callable[[Process], object]
) -> None:
    assert not exiting.has_exited
    with pytest.raises(JcollectError, match=f"^PID {exiting.pid} has exited$"):
        use(exiting)
