"""The options of `jcollect attach`, as one value."""

from __future__ import annotations

from dataclasses import dataclass

from jcollect.session.options import SessionSettings, TargetOptions


@dataclass(frozen=True)
class AttachOptions:
    """`duration` and `arm_timeout` are in s. `output` is a format of events, `counts` a path; None for
    neither. The capacity in `settings` is None if the command determines it."""

    targets: TargetOptions
    settings: SessionSettings
    listen: str | None
    insecure: bool
    output: str | None
    duration: float | None
    arm_timeout: float
    fail_on_loss: bool
    counts: str | None
