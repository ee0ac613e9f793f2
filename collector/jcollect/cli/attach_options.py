"""The options of `jcollect attach`, as one value."""

from __future__ import annotations

from dataclasses import dataclass

from jcollect.session.options import SessionSettings, TargetOptions

# Maximum time until probes are reported as not armed.
ARM_SECONDS = 5.0


@dataclass(frozen=True)
class Table:
    """How to print tables of methods: at most `rows` methods, sorted by `sort`, every `interval` s."""

    rows: int
    sort: str
    interval: float


@dataclass(frozen=True)
class AttachOptions:
    """`duration` and `arm_timeout` are in s. `output` is a format of events or a table, `counts` a path; None
    for neither. `events` is the path of the file for events; None for stdout, and empty for stderr. With
    `json_strings`, 64-bit numbers in JSON are strings. The capacity in `settings` is None if the command
    determines it."""

    targets: TargetOptions
    settings: SessionSettings
    listen: str | None
    insecure: bool
    output: str | Table | None
    json_strings: bool
    duration: float | None
    fail_on_loss: bool
    counts: str | None
    events: str | None = None
    arm_timeout: float = ARM_SECONDS
