"""Options of a session and of the processes that it traces. Imports nothing that is slow to import."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from jcollect.control.limits import Limits
from jcollect.hub.redaction_rules import RedactionRules
from jcollect.sources.recorder import Recorder

# How events get to jcollect. DIRECT: through memory that a process with an agent shares with it. KERNEL: by a
# trap and the BPF ring buffer. AUTO_LANE takes DIRECT for the probes of agents where that is possible.
AUTO_LANE, DIRECT, KERNEL = LANES = ("auto", "direct", "kernel")
# The parts of a call that can be explained: time on a CPU, in the run queue and off the CPU; page faults;
# system calls; pauses of the JVM.
PARTS = ("cpu", "faults", "syscalls", "pauses")
# The direct lane alone, without any right to place uprobes: agents are asked for it by their gateways.
LEASED = "leased"


@dataclass(frozen=True)
class TargetOptions:
    """Selects processes and probes. `names` and `globs` are globs; `every` selects all processes; `below`
    selects the JVMs with an agent that the process of this PID has started, and itself; `wait` allows a PID
    that has no matching probes yet. `limits` are asked for with `selectors`. With `held`, the programs
    have not begun, nor loaded their classes, when the selectors are selected. `jvm` are kinds of JVM_EVENTS
    (session/marks_of_jvm.py), and `usdt` globs of "provider:name"; these probes are wanted whatever `globs`
    say. With `pauses`, those of the JVM's pauses as well, where there are any. With `only_marks` no other
    ones are."""

    pids: Sequence[int]
    names: Sequence[str] = ()
    every: bool = False
    globs: Sequence[str] = ()
    selectors: Sequence[str] = ()
    wait: bool = False
    below: int | None = None
    limits: Limits = Limits()  # noqa: RUF009
    held: bool = False
    jvm: Sequence[str] = ()
    usdt: Sequence[str] = ()
    pauses: bool = False
    only_marks: bool = False

    @property
    def has_marks(self) -> bool:
        """True if other USDT probes than those of jprobe are wanted."""
        return bool(self.jvm or self.usdt)

    @property
    def is_open(self) -> bool:
        """True if processes that start later can match."""
        return self.every or bool(self.names) or self.below is not None


@dataclass(frozen=True)
class SessionSettings:
    """Limits of a session; None stands for the default.

    `capacity` is the number of probe IDs. `max_overhead` limits the cost of the probes of one process, in
    percent of a core. The session ends after `max_events`. `queue_bytes` is the memory of one subscriber's
    queue, `history_bytes` that of the newest events, 0 for none. `ring_pages` is the size of the ring
    buffer, a power of two. `link_type` forces a link type. `without` names kernel features to treat as
    missing. With `only_counts`, the processes count the calls in histograms, and there are no events. `lane`
    is one of LANES, or LEASED. With a `recorder` there is only the direct lane, whose events are delivered
    at the triggers. `explain` are parts of calls to explain: see PARTS."""

    capacity: int | None = None
    max_events: int | None = None
    max_overhead: int | None = None
    queue_bytes: int | None = None
    ring_pages: int | None = None
    link_type: str | None = None
    without: frozenset[str] = frozenset()
    only_counts: bool = False
    lane: str = AUTO_LANE
    recorder: Recorder | None = None
    history_bytes: int | None = None
    redaction: RedactionRules = RedactionRules()  # noqa: RUF009
    explain: frozenset[str] = frozenset()
