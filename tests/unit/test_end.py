"""What ends `jcollect attach` must be heard whatever is being done at that moment."""

from __future__ import annotations

import subprocess
import sys

SIGNALLED_WITHOUT_PAUSE = """
import os, signal, sys, threading, time
from jcollect.commands.end import End

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
