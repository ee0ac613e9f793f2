"""A process may hold up whoever reads its memory, but not for ever."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from conditions import wait_until
from jcollect.discovery import deadline, live
from jcollect.discovery.deadline import within
from jcollect.discovery.live import read_states
from jcollect.discovery.stub_library import StubLibrary, parse_stub_image
from stub_image import LONG, StubImage, mark, own_image

# A file system (fuse(4)) which answers everything but reads, and a child that has mapped a file of it. When
# it ends, with its stdin, so do all reads.
HOLDER = """
import ctypes, mmap, os, signal, struct, sys, threading
INIT, LOOKUP, GETATTR, OPEN, READ = 26, 1, 3, 14, 15
device = os.open("/dev/fuse", os.O_RDWR)
options = f"fd={device},rootmode=40000,user_id=0,group_id=0".encode()
libc = ctypes.CDLL(None, use_errno=True)
assert libc.mount(b"own", sys.argv[1].encode(), b"fuse", 0, options) == 0

if os.fork() == 0:
    os.close(device)
    libc.prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    file = os.open(sys.argv[1] + "/file", os.O_RDONLY)
    region = mmap.mmap(file, 1 << 16, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE)
    print(os.getpid(), ctypes.addressof(ctypes.c_char.from_buffer(region)), flush=True)
    signal.pause()

def end():
    sys.stdin.read()
    os._exit(0)

threading.Thread(target=end, daemon=True).start()

def attributes(node):
    mode = 0o40755 if node == 1 else 0o100644
    return struct.pack("6Q10I", node, 1 << 16, 0, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)

while True:
    request = os.read(device, 1 << 20)
    _, operation, unique, node = struct.unpack_from("IIQQ", request)
    error, answer = 0, b""
    if operation == INIT:
        answer = struct.pack("4I2H2I2H8I", 7, 31, 0, 0, 1, 1, 4096, 1, 1, 0, *[0] * 8)
    elif operation == LOOKUP:
        answer = struct.pack("4Q2I", 2, 0, 9, 9, 0, 0) + attributes(2)
    elif operation == GETATTR:
        answer = struct.pack("QII", 9, 0, 0) + attributes(node)
    elif operation == OPEN:
        answer = struct.pack("QII", 1, 0, 0)
    elif operation == READ:
        continue
    else:
        error = -38
    os.write(device, struct.pack("IiQ", 16 + len(answer), error, unique) + answer)
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], int, int]]:
    """The file system, and a process whose memory at an address is in it: its PID, and the address."""
    if os.geteuid() or not Path("/dev/fuse").exists():
        pytest.skip("takes root and /dev/fuse")
    command = ["unshare", "-m", sys.executable, "-c", HOLDER, tmp_path]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        pid, address = process.stdout.readline().split()
        yield process, int(pid), int(address)
    finally:
        process.kill()
        process.wait()


def test_what_is_read_is_returned_and_what_is_raised_is_raised() -> None:
    assert within(1, lambda: b"read") == b"read"
    with pytest.raises(ProcessLookupError):
        within(1, lambda: os.kill(2**22 + 1, 0))
    assert within(1, threading.get_ident) != threading.get_ident()


def test_a_process_that_holds_a_reader_up(
    holder: tuple[subprocess.Popen[str], int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    file_system, pid, address = holder
    image = parse_stub_image(own_image(mark("p", "q", LONG)).build())
    library = StubLibrary(pid, "/x", address - image.states.address, image)
    with monkeypatch.context() as patched:
        patched.setattr(live, "PATIENCE_SECONDS", 0.2)
        begun = time.monotonic()
        with pytest.raises(TimeoutError, match=f"PID {pid} holds up"):
            read_states([library])
        assert 0.2 <= time.monotonic() - begun < 20
    threads = threading.active_count()
    begun = time.monotonic()
    for _ in range(100):  # Not one more thread, and not the patience once more.
        with pytest.raises(TimeoutError):
            read_states([library])
    assert time.monotonic() - begun < 10
    assert threading.active_count() == threads
    # Others are read meanwhile.
    assert within(os.getpid(), Path("/proc/self/comm").read_text)
    file_system.kill()
    wait_until(lambda: pid not in deadline._held_by, "the reader to end")
    with pytest.raises(OSError, match=r"No such|error"):
        read_states([library])


def test_readers_are_used_again() -> None:
    within(1, lambda: 1)
    threads = threading.active_count()
    for _ in range(100):
        within(1, lambda: 1)
    assert threading.active_count() == threads


def test_an_image_without_probes_has_no_states() -> None:
    image = parse_stub_image(StubImage([], generation=0).build())
    assert read_states([StubLibrary(os.getpid(), "/x", 0, image)]) == [b""]
