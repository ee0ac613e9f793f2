"""Checks that this process may attach to other processes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from jcollect.errors import JcollectError
from jcollect.procfs import capabilities as cap

if TYPE_CHECKING:
    from jcollect.procfs.process import Process


def can_place_uprobes() -> bool:
    """Returns true if this process holds the capabilities that uprobes need."""
    is_admin = cap.holds(cap.SYS_ADMIN)
    return all(cap.holds(each) or is_admin for each in (cap.BPF, cap.PERFMON))


def check_can_attach(processes: Sequence[Process]) -> None:
    """Raises JcollectError unless this process holds the capabilities that attaching needs."""
    whom = f" to PID {', '.join(str(each.pid) for each in processes)}" if processes else ""
    if not can_place_uprobes() or not cap.holds(cap.SYS_PTRACE):
        raise JcollectError(
            f"cannot attach{whom}: needs CAP_BPF, CAP_PERFMON and CAP_SYS_PTRACE; {cap.advice()}"
        )
    others = [each for each in processes if each.owner != os.geteuid()]
    if others and not cap.holds(cap.DAC_READ_SEARCH):
        raise JcollectError(
            f"cannot attach to PID {others[0].pid}: a program of another user also needs "
            f"CAP_DAC_READ_SEARCH; {cap.advice()}"
        )
