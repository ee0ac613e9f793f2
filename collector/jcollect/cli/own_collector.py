"""Attaches to a process for `observe`, `top` and `hist` with --select, and prints what they print.

One command then does what otherwise takes two: `attach --select`, and a client of it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import click

from jcollect.cli.attach_options import AttachOptions, Output, only_counts
from jcollect.cli.attaching import compile_and_attach
from jcollect.errors import JcollectError
from jcollect.hub.redaction_rules import RedactionRules
from jcollect.hub.stream_options import EVERYTHING, StreamOptions
from jcollect.rpc.address import is_number
from jcollect.rpc.run_directory import directory_to_serve_in, temporary_directory
from jcollect.session.options import AUTO_LANE, SessionSettings, TargetOptions


def run_own_collector(
    address: str,
    output: Output,
    json_strings: bool = False,
    *,
    selectors: tuple[str, ...],
    globs: tuple[str, ...],
    duration: float | None,
    max_events: int | None,
    max_overhead: int | None,
    lane: str | None = None,
    fail_on_loss: bool,
    stream: StreamOptions = EVERYTHING,
    redaction: RedactionRules = RedactionRules(),  # noqa: B008
    explain: frozenset[str] = frozenset(),
    jvm: tuple[str, ...] = (),
    usdt: tuple[str, ...] = (),
) -> None:
    """Attaches, prints, and detaches. Raises JcollectError."""
    if not is_number(address):
        raise click.UsageError(
            f"--select needs a PID to attach to, and '{address}' is the address of a collector; "
            "that collector's own --select determines what it traces"
        )
    with _listening(address) as listen:
        options = AttachOptions(
            targets=TargetOptions(
                (int(address),),
                globs=globs,
                selectors=selectors,
                jvm=jvm,
                usdt=usdt,
                pauses="pauses" in explain,
                only_marks=not selectors,
            ),
            settings=SessionSettings(
                max_events=max_events,
                max_overhead=max_overhead,
                only_counts=only_counts(output),
                lane=lane or AUTO_LANE,
                redaction=redaction,
                explain=explain,
            ),
            listen=listen,
            insecure=False,
            output=output,
            json_strings=json_strings,
            duration=duration,
            fail_on_loss=fail_on_loss,
            counts=None,
            stream=stream,
        )
        compile_and_attach(options)


@contextlib.contextmanager
def _listening(pid: str) -> Iterator[str | None]:
    """Yields the address to serve at: None for the default one, or one in a new directory if the user has no
    default one. No other command needs to find it."""
    try:
        directory_to_serve_in()
    except JcollectError:
        pass
    else:
        yield None
        return
    with temporary_directory() as folder:
        yield f"unix://{folder}/{pid}.sock"


def check_only_with_select(
    max_overhead: int | None, lane: str | None = None, explain: frozenset[str] = frozenset()
) -> None:
    """Raises UsageError for options that only a collector of its own obeys."""
    if explain:
        raise click.UsageError(
            "--explain needs --select; a running collector explains to all of its clients if it is attached "
            "with --explain"
        )
    if lane is not None:
        raise click.UsageError("--lane needs --select; without it, no collector is started")
    if max_overhead is not None:
        raise click.UsageError("--max-overhead needs --select; without it, no collector is started")
