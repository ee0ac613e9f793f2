"""A file system (fuse(4)) that never answers some operations, and a process that uses it.

It holds a directory with one file, "file". A process that waits for an answer cannot be killed: only the end
of the file system ends the wait.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

_SERVER = """
import ctypes, os, struct, subprocess, sys, threading
INIT, LOOKUP, GETATTR, OPEN, READ = 26, 1, 3, 14, 15
NUMBERS = dict(LOOKUP=1, GETATTR=3, SYMLINK=6, MKDIR=9, UNLINK=10, OPEN=14, READ=15, STATFS=17, FLUSH=25,
               OPENDIR=27, READDIR=28, CREATE=35, POLL=40, READDIRPLUS=44)
mount, user, others, stuck, *command = sys.argv[1:]
hanging = {NUMBERS[name] for name in stuck.split(",") if name}
device = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
options = f"fd={device},rootmode=40000,user_id={user},group_id={user}{others}"
libc = ctypes.CDLL(None, use_errno=True)
if libc.mount(b"stuck", mount.encode(), b"fuse", 0, options.encode()) != 0:
    raise OSError(ctypes.get_errno(), "cannot mount it")

def attributes(node):
    mode = 0o41777 if node == 1 else 0o100644
    return struct.pack("6Q10I", node, 1 << 16, 0, 0, 0, 0, 0, 0, 0, mode, 1, int(user), int(user), 0, 4096, 0)

def serve():
    while True:
        request = os.read(device, 1 << 20)
        _, operation, unique, node = struct.unpack_from("IIQQ", request)
        name = request[40:].split(b"\\0")[0]
        error, answer = 0, b""
        if operation in hanging and not (operation == LOOKUP and name == b"file"):
            continue
        if operation == INIT:
            answer = struct.pack("4I2H2I2H8I", 7, 31, 0, 0, 1, 1, 4096, 1, 1, 0, *[0] * 8)
        elif operation == LOOKUP and name == b"file":
            answer = struct.pack("4Q2I", 2, 0, 0, 9, 0, 0) + attributes(2)
        elif operation == LOOKUP:
            error = -2
        elif operation == GETATTR:
            answer = struct.pack("QII", 0, 0, 0) + attributes(node)
        elif operation == OPEN:
            answer = struct.pack("QII", 1, 0, 0)
        elif operation == READ:
            answer = bytes(4096)
        elif operation in (2, 42):  # FORGET, BATCH_FORGET
            continue
        else:
            error = -38
        os.write(device, struct.pack("IiQ", 16 + len(answer), error, unique) + answer)

threading.Thread(target=serve, daemon=True).start()
# The child first accesses the file system after this.
child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
print(child.pid, child.stdout.readline(), flush=True)
sys.stdin.read()
"""

_MAPPING = """
import ctypes, mmap, os, signal, sys
file = os.open(sys.argv[1] + "/file", os.O_RDONLY)
region = mmap.mmap(file, 1 << 16, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE)
print(ctypes.addressof(ctypes.c_char.from_buffer(region)), flush=True)
signal.pause()
"""


@dataclass(frozen=True)
class StuckFs:
    """`pid` is the process that sees it; `first_line` is the first line that it printed, without a line feed.

    Without a command of the caller's, the process has mapped the file at `address`.
    """

    pid: int
    first_line: str
    server: subprocess.Popen[str]

    @property
    def address(self) -> int:
        return int(self.first_line)

    def end(self) -> None:
        """Ends the file system. All waiting operations then fail."""
        self.server.kill()
        self.server.wait()


@contextlib.contextmanager
def stuck_fs(
    mount: Path,
    stuck: Sequence[str] = ("READ",),
    command: Sequence[str | Path] = (),
    user: int = 0,
    is_for_others: bool = True,
) -> Iterator[StuckFs]:
    """Mounts it at a directory, in a mount namespace of its own. Requires root and /dev/fuse.

    `stuck` names the operations that are not answered (LOOKUP is still answered for "file"). `command` runs
    in that namespace, and prints one line. `user` owns the file system. Unless `is_for_others`, it answers
    only processes that run entirely as this user, and rejects root.
    """
    own = command or [sys.executable, "-c", _MAPPING, mount]
    others = ",allow_other" if is_for_others else ""
    server = [sys.executable, "-c", _SERVER, mount, str(user), others, ",".join(stuck), *own]
    with subprocess.Popen(
        ["unshare", "-m", "--propagation", "private", *map(str, server)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            number, _, line = process.stdout.readline().strip().partition(" ")
            with _killed_at_the_end(int(number)):
                yield StuckFs(int(number), line, process)
        finally:
            process.kill()


@contextlib.contextmanager
def _killed_at_the_end(pid: int) -> Iterator[None]:
    process = os.pidfd_open(pid)
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(process, signal.SIGKILL)
        os.close(process)
