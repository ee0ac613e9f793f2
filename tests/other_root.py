"""A process with its own root directory."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

NOBODY = 65534

_PROGRAM = """
import os, sys
os.chroot(sys.argv[1])
os.chdir("/")
os.setresgid(int(sys.argv[2]), int(sys.argv[2]), int(sys.argv[2]))
os.setresuid(int(sys.argv[2]), int(sys.argv[2]), int(sys.argv[2]))
print(flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def process_in(root: Path, user: int = NOBODY) -> Iterator[int]:
    """Yields the PID of a process of that user with that root."""
    command = [sys.executable, "-c", _PROGRAM, root, str(user)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        yield child.pid
        child.kill()


@contextlib.contextmanager
def process_in_other_root(path: Path) -> Iterator[tuple[int, Path]]:
    """Yields a process of another user, and its root below a path, in which /tmp is an absolute link."""
    root = path / "root"
    (root / "real/tmp").mkdir(parents=True)
    (root / "real/tmp").chmod(0o1777)
    (root / "tmp").symlink_to("/real/tmp")
    # pytest's directories are accessible only to their owner, also above the new root.
    with process_in(root) as pid:
        yield pid, root
