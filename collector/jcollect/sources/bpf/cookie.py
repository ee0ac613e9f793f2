"""The attach cookie: what the handler is told about a probe.

The same in bpf/events.c:
  bits  0..31   probe id
  bits 32..35   number of words that the stub passes, 1..13
  bits 36..47   bit i set: word i is a string, a pointer to NUL-terminated UTF-8 or 0, which is
                odd if the agent has cut the text; the last word, the thread id, never is one
"""

from __future__ import annotations

from jcollect.probes.probe import Probe


def cookie_of(probe: Probe) -> int:
    """The 64 bits for one probe."""
    return probe.id | probe.words << 32 | probe.string_mask << 36
