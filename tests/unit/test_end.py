"""What ends `jcollect attach` must be heard whatever is being done at that moment."""

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
from jcollect.stop_request import End

end = End()
assert end.going_on()
quiet = time.monotonic() + 0.05
end.wait(0.05)
assert time.monotonic() >= quiet and end.going_on()

over = time.monotonic() + 2
def shower():
    while time.monotonic() < over:
        os.kill(os.getpid(), signal.SIGHUP)
threading.Thread(target=shower, daemon=True).start()
while time.monotonic() < over:
    end.wait(0.0001)
    end.going_on()
assert not end.going_on()
print("heard", flush=True)
os._exit(0)
"""


def test_a_signal_is_heard_at_any_moment() -> None:
    """Also by a thread that is just looking, or beginning to wait: a lock held there would be for ever."""
    code = [sys.executable, "-c", SIGNALLED_WITHOUT_PAUSE]
    assert subprocess.run(code, capture_output=True, text=True, timeout=20, check=True).stdout == "heard\n"


SIGNALLED_TWICE = """
import os, signal, sys, time
from jcollect.stop_request import End

end = End()
os.kill(os.getpid(), signal.SIGINT)
time.sleep(float(sys.argv[1]))
assert not end.going_on()
os.kill(os.getpid(), signal.SIGINT)
print("went on", flush=True)
"""


@pytest.mark.parametrize(("seconds", "goes_on"), [(0.0, True), (0.6, False)])
def test_a_second_interrupt_ends_at_once_if_it_is_another_one(seconds: float, goes_on: bool) -> None:
    """timeout(1) sends one to the process and then to its group."""
    code = [sys.executable, "-c", SIGNALLED_TWICE, str(seconds)]
    done = subprocess.run(code, capture_output=True, text=True, timeout=20, check=False)
    assert (done.stdout == "went on\n") == goes_on
    assert (done.returncode == 0) == goes_on


IN_THE_BACKGROUND = """
import os, signal, sys, time
from jcollect.stop_request import End

for number in (signal.SIGINT, signal.SIGQUIT):
    signal.signal(number, signal.SIG_IGN)
end = End()
print("ready", flush=True)
end.wait(float(sys.argv[1]))
print("goes on" if end.going_on() else "ends", flush=True)
"""


def test_what_a_script_runs_in_the_background_ends_by_a_signal_and_not_by_a_key() -> None:
    """The shell has both signals ignored there, so that the terminal's Ctrl-C is for others."""
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
