"""A process of another user that imitates a JVM, sound or broken, at the start of attaching."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

SOMEBODY = 64021
AS_SOMEBODY = ("setpriv", f"--reuid={SOMEBODY}", f"--regid={SOMEBODY}", "--clear-groups")

# HotSpot's protocol: .attach_pidN in the working directory, or in /tmp; then a socket in /tmp.
PROGRAM = """
import mmap, os, signal, socket, sys, time
how, *files = sys.argv[1:]
libraries = [mmap.mmap(os.open(file, os.O_RDONLY), 4096, prot=mmap.PROT_READ) for file in files]
name = str(os.getpid())
listeners = []

def listen():
    listener = socket.socket(socket.AF_UNIX)
    listener.bind("/tmp/.java_pid" + name)
    os.chmod("/tmp/.java_pid" + name, 0o600)
    listener.listen()
    listeners.append(listener)

def is_accepted(file):
    # As HotSpot: a file of any type, through links, of this user or root.
    return os.path.exists(file) and os.stat(file).st_uid in (0, os.geteuid())

def asked(*_):
    file = next((f for f in (".attach_pid" + name, "/tmp/.attach_pid" + name) if is_accepted(f)), None)
    print("asked by", file, flush=True)
    if how == "opens late":
        time.sleep(0.5)
    if file and how.startswith("opens") and not listeners:
        listen()

if how == "has opened":
    listen()
if how != "dies":
    signal.signal(signal.SIGQUIT, asked)
print("ready", flush=True)
while sys.stdin.readline():
    print("alive", flush=True)
for listener in listeners:
    os.unlink("/tmp/.java_pid" + name)
"""


class FakeJvm:
    """A running fake JVM."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.pid = process.pid

    def said(self) -> list[str]:
        """Returns its output since it became ready."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(file=self.process.stdin, flush=True)
        lines = []
        while (line := self.process.stdout.readline().strip()) != "alive":
            assert line, "it has ended"
            lines.append(line)
        return lines


@contextlib.contextmanager
def fake_jvm(
    how: str = "opens",
    libraries: Sequence[Path] = (),
    before: Sequence[str] = AS_SOMEBODY,
    cwd: str | Path = "/",
) -> Iterator[FakeJvm]:
    """Starts a fake JVM. With `how` it "opens" its socket on request or "opens late", "has opened" it, is
    "silent", or "dies" of SIGQUIT. It maps the `libraries`, files of at least one page.
    """
    command = [*before, sys.executable, "-E", "-c", PROGRAM, how, *map(str, libraries)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=cwd
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "ready\n"
            yield FakeJvm(process)
            process.stdin.close()
            process.wait(30)
        finally:
            process.kill()
