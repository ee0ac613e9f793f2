"""The options of `jcollect attach`, as one value."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from jcollect.cli.access_options import OWNER_ONLY, ServerAccess
from jcollect.cli.export_options import ExportOptions
from jcollect.cli.report import Report
from jcollect.console import Stdout
from jcollect.hub.stream_options import EVERYTHING, StreamOptions
from jcollect.session.options import SessionSettings, TargetOptions

# Maximum time until probes are reported as not armed.
ARM_SECONDS = 5.0


@dataclass(frozen=True)
class Table:
    """How to print tables of methods: at most `rows` methods, sorted by `sort`, every `interval` s. With
    `events` they are summed up from single events, and not from histograms."""

    rows: int
    sort: str
    interval: float
    events: bool = False


@dataclass(frozen=True)
class Histograms:
    """How to print histograms: `output` is "table" or "json". Tables have at most `rows` methods, and with
    `buckets` a histogram for each. Every `interval` s; None for the end only. With `json_strings`, 64-bit
    numbers in JSON are strings."""

    rows: int
    interval: float | None
    buckets: bool
    output: str
    json_strings: bool


@dataclass(frozen=True)
class Recorded:
    """Where to record events: the path of a file, which with `force` may be that of another recording.
    Another file begins at `rotate_size` bytes, and after `rotate_every` s; the last `keep` stay. None for no
    limit."""

    path: str
    rotate_size: int | None = None
    rotate_every: float | None = None
    keep: int | None = None
    force: bool = False

    @property
    def is_rotating(self) -> bool:
        return self.rotate_size is not None or self.rotate_every is not None


@dataclass(frozen=True)
class Flame:
    """Where to write sums of stacks: `suffix` is the format, `weight` "time" or "count". `with_lines`: frames
    are lines of methods. With `force`, the file may be that of another one."""

    path: str
    suffix: str
    weight: str
    with_lines: bool = False
    force: bool = False


@dataclass(frozen=True)
class Reported:
    """A report that is made of the events: `make` returns it, given its output."""

    make: Callable[[Stdout], Report]


Output = str | Table | Histograms | Recorded | Flame | Reported


@dataclass(frozen=True)
class AttachOptions:
    """`duration` and `arm_timeout` are in s. `output` is a format of events or a table, `counts` a path;
    None for neither. `events` is the path of the file for events; None for stdout, and empty for stderr.
    With `json_strings`, 64-bit numbers in JSON are strings. `stream` says which of the events are printed.
    The capacity in `settings` is None if the command determines it."""

    targets: TargetOptions
    settings: SessionSettings
    listen: str | None
    insecure: bool
    output: Output | None
    json_strings: bool
    duration: float | None
    fail_on_loss: bool
    counts: str | None
    events: str | None = None
    stream: StreamOptions = EVERYTHING
    arm_timeout: float = ARM_SECONDS
    access: ServerAccess = OWNER_ONLY
    exports: ExportOptions = ExportOptions()  # noqa: RUF009


def only_counts(output: Output | None) -> bool:
    """Returns true if an output needs no events."""
    return isinstance(output, Histograms) or (isinstance(output, Table) and not output.events)
