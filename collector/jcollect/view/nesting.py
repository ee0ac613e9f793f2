"""Decides which call made another one: the rule that trees and conversions share.

Calls of one thread lie within each other or apart. The times of the program's own clock are exact to about
1 us (layout/direct.toml); the time at which a probe fires is later than the end of the call. A call
therefore belongs to the one that covers its middle and lasts longer: small errors of the ends do not change
that.
"""

from __future__ import annotations

from typing import NamedTuple

from jcollect.sources.columns import Columns


class Spans(NamedTuple):
    """The begin and the end of each call of a batch, in ns since 1970; `is_exact` for those whose start the
    program has measured. Meaningless for events that are not the end of a call."""

    starts: list[int]
    ends: list[int]
    is_exact: list[bool]


def spans_of(columns: Columns) -> Spans:
    """Returns the times of calls: from the measured start for the duration, or up to the event if none is
    known."""
    times: list[int] = columns.time_unix_nanos.tolist()
    durations: list[int] = columns.duration_nanos.tolist()
    starts: list[int] = columns.with_starts().start_unix_nanos.tolist()
    is_exact = [start > 0 for start in starts]
    begins = [
        start or max(time - took, 0) for start, time, took in zip(starts, times, durations, strict=True)
    ]
    ends = [
        start + took if start else time for start, time, took in zip(starts, times, durations, strict=True)
    ]
    return Spans(begins, ends, is_exact)


def thread_key(pid: int, tid: int, thread: int) -> tuple[int, int]:
    """Returns what identifies a thread: its Java ID, which a virtual thread keeps when it changes its
    carrier. Threads without one, of C programs, are known by their kernel's."""
    return pid, thread or -tid


def begins_after(start: int, inner_start: int, inner_end: int) -> bool:
    """Returns true if a call belongs to the time from `start` on, not to that before it."""
    return inner_start + inner_end > 2 * start


def covers(start: int, end: int, inner_start: int, inner_end: int) -> bool:
    """Returns true if a call of the same thread lies within the first one. Of two equal ones, neither
    does."""
    is_within = begins_after(start, inner_start, inner_end) and inner_start + inner_end <= 2 * end
    return is_within and inner_end - inner_start < end - start
