"""The threads of a running process, as /proc lists them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path


def threads_of(pid: int, file: str) -> Iterator[tuple[Path, str]]:
    """Yields each thread's directory and what that file in it says. Skips threads that end meanwhile."""
    for thread in Path(f"/proc/{pid}/task").iterdir():
        try:
            text = (thread / file).read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        yield thread, text


def thread_names(pid: int) -> list[str]:
    """Returns their names, of which the kernel keeps 15 characters. Includes threads unknown to Java."""
    return [name.strip() for _, name in threads_of(pid, "comm")]
