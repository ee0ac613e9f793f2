"""A request to stop `jcollect attach` takes effect at any moment."""

from __future__ import annotations

import contextlib
import os
import pty
import signal
import subprocess
import sys

import pytest

SIGNALLED_WITHOUT_PAUSE = """
import os, signal, sys, threading, time
from jcollect.stop_request import StopRequest

stop = StopRequest()
assert not stop.is_requested()
quiet = time.monotonic() + 0.05
stop.wait(0.05)
assert time.monotonic() >= quiet and not stop.is_requested()

over = time.monotonic() + 2
def shower():
    while time.monotonic() < over:
        os.kill(os.getpid(), signal.SIGHUP)
threading.Thread(target=shower, daemon=True).start()
while time.monotonic() < over:
    stop.wait(0.0001)
    not stop.is_requested()
assert stop.is_requested()
print("heard", flush=True)
os._exit(0)
"""


def test_a_signal_takes_effect_at_any_moment() -> None:
    """The signal may arrive while the thread polls or starts to wait; a lock held then would block
    forever.
    """
    code = [sys.executable, "-c", SIGNALLED_WITHOUT_PAUSE]
    assert subprocess.run(code, capture_output=True, text=True, timeout=20, check=True).stdout == "heard\n"


SIGNALLED_TWICE = """
import os, signal, sys, time
from jcollect.stop_request import StopRequest

stop = StopRequest()
os.kill(os.getpid(), signal.SIGINT)
time.sleep(float(sys.argv[1]))
assert stop.is_requested()
os.kill(os.getpid(), signal.SIGINT)
print("went on", flush=True)
"""


@pytest.mark.parametrize(("seconds", "goes_on"), [(0.0, True), (0.6, False)])
def test_a_separate_second_interrupt_ends_at_once(seconds: float, goes_on: bool) -> None:
    """timeout(1) signals the process and then its group."""
    code = [sys.executable, "-c", SIGNALLED_TWICE, str(seconds)]
    done = subprocess.run(code, capture_output=True, text=True, timeout=20, check=False)
    assert (done.stdout == "went on\n") == goes_on
    assert (done.returncode == 0) == goes_on


IN_THE_BACKGROUND = """
import os, signal, sys, time
from jcollect.stop_request import StopRequest

for number in (signal.SIGINT, signal.SIGQUIT):
    signal.signal(number, signal.SIG_IGN)
stop = StopRequest()
print("ready", flush=True)
stop.wait(float(sys.argv[1]))
print("goes on" if not stop.is_requested() else "ends", flush=True)
"""


def test_a_background_command_of_a_script_ends_on_sigterm_but_not_on_ctrl_c() -> None:
    """A shell ignores both signals in background commands, so that Ctrl-C does not stop these."""
    for press, seconds, result in ((True, 2, "goes on"), (False, 30, "ends")):
        pid, terminal = pty.fork()
        if pid == 0:
            os.execv(sys.executable, [sys.executable, "-c", IN_THE_BACKGROUND, str(seconds)])
        try:
            said = b""
            while b"ready" not in said:
                said += os.read(terminal, 1024)
            if press:
                os.write(terminal, b"\x03")
            else:
                os.kill(pid, signal.SIGINT)
            with contextlib.suppress(OSError):  # EIO: the other end is closed.
                while part := os.read(terminal, 1024):
                    said += part
            assert said.decode().replace("^C", "").split("\r\n") == ["ready", result, ""]
        finally:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            os.close(terminal)
