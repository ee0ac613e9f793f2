"""System calls that jcollect and its readers forbid themselves."""

from __future__ import annotations

import subprocess
import sys

import pytest

from jcollect.procfs.seccomp import NEVER, NEVER_IN_READERS

# Makes a call of each kind, and prints how it ended.
PROGRAM = """
import ctypes, os, socket, sys
from jcollect.procfs import capabilities, seccomp
capabilities.keep_in_process(())
seccomp.forbid(getattr(seccomp, sys.argv[1]))
libc = ctypes.CDLL(None, use_errno=True)
def tried(*call):
    ctypes.set_errno(0)
    libc.syscall(*map(ctypes.c_long, call))
    return ctypes.get_errno()
print("ptrace", tried(101 if os.uname().machine == "x86_64" else 117, -1))
try:
    socket.socket(socket.AF_UNIX).bind("")
    print("bind 0")
except OSError as error:
    print("bind", error.errno)
if os.fork() == 0:
    os._exit(0)
print("fork", os.wait()[1])
"""


@pytest.mark.parametrize(("calls", "bind"), [("NEVER", 0), ("NEVER_IN_READERS", 1)])
def test_forbidden_calls_fail_and_all_others_work(calls: str, bind: int) -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM, calls], capture_output=True, text=True, timeout=30)
    # ptrace(2) fails with EIO for an invalid request.
    assert done.stdout.splitlines() == ["ptrace 1", f"bind {bind}", "fork 0"], done.stderr


def test_readers_may_do_no_more_than_others() -> None:
    assert NEVER < NEVER_IN_READERS
