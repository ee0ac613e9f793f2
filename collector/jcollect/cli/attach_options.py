"""The options of `jcollect attach`, as one value."""

from __future__ import annotations

from dataclasses import dataclass

from jcollect.session.options import SessionSettings, TargetOptions


@dataclass(frozen=True)
class Table:
    """How to print tables of methods: at most `rows` methods, sorted by `sort`, every `interval` s."""

    rows: int
    sort: str
    interval: float


@dataclass(frozen=True)
class AttachOptions:
    """`duration` and `arm_timeout` are in s. `output` is a format of events or a table, `counts` a path; None
    for neither. With `json_strings`, 64-bit numbers in JSON are strings. The capacity in `settings` is None
    if the command determines it."""

    targets: TargetOptions
    settings: SessionSettings
    listen: str | None
    insecure: bool
    output: str | Table | None
    json_strings: bool
    duration: float | None
    arm_timeout: float
    fail_on_loss: bool
    counts: str | None
