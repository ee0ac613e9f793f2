"""A call with the calls that it made. How trees are built is in call_tree.py, how they are shown in
tree_lines.py."""

from __future__ import annotations

from collections.abc import Iterator


class Call:
    """A call. Times in ns since 1970. If `is_lost`, its end is not known and nothing is in it; if
    `is_running`, it has not ended yet.

    `inner_nanos` is the time in the calls that it made. `printed` of these were completed before it was
    known that they belong to it, and `left_out` are counted only. `lost` events of its probes, of any
    thread, were lost while it ran; set for roots.
    """

    __slots__ = (
        "children", "end", "inner_nanos", "is_lost", "is_partial", "is_running", "left_out", "lost", "method",
        "pid", "printed", "probe", "start", "text", "thread", "threw", "tid",
    )  # fmt: skip

    def __init__(
        self,
        method: int,
        probe: int,
        pid: int,
        tid: int,
        thread: int,
        start: int,
        end: int,
        threw: bool = False,
    ) -> None:
        self.method = method
        self.probe = probe
        self.pid = pid
        self.tid = tid
        self.thread = thread
        self.start = start
        self.end = end
        self.threw = threw
        self.children: list[Call] = []
        self.inner_nanos = self.left_out = self.printed = self.lost = 0
        self.is_lost = self.is_running = self.is_partial = False
        self.text = ""

    @property
    def duration(self) -> int:
        return self.end - self.start

    @property
    def self_nanos(self) -> int | None:
        """Time outside of the calls that it made; None if these are not all known."""
        return None if self.is_partial else max(self.duration - self.inner_nanos, 0)

    @property
    def is_folded(self) -> bool:
        """True if it stands for `left_out` calls, one after the other, of `inner_nanos` in total."""
        return self.method < 0


def calls_in(root: Call) -> Iterator[Call]:
    """Yields a call and all calls in it, each before those that it made."""
    stack = [root]
    while stack:
        call = stack.pop()
        yield call
        stack.extend(reversed(call.children))
