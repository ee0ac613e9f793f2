"""The threads of a running process, as /proc lists them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path


def threads_of(pid: int, file: str) -> Iterator[tuple[Path, str]]:
    """Yields each thread's directory and the content of that file in it. Skips exited threads."""
    for thread in Path(f"/proc/{pid}/task").iterdir():
        try:
            text = (thread / file).read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        yield thread, text


def thread_names(pid: int) -> list[str]:
    """Returns the threads' names, as truncated by the kernel to 15 characters. Java may not know them all."""
    return [name.strip() for _, name in threads_of(pid, "comm")]
