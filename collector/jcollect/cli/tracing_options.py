"""Options of the verbs that trace: `attach` and `run`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from jcollect.cli.argument_types import ExplainedParts, JvmKinds, Size, WholeNumber
from jcollect.cli.options import max_overhead_option
from jcollect.control.limits import MOST_BYTES, MOST_METHODS
from jcollect.limits import MAX_COLLECTOR_PROBES
from jcollect.session.options import AUTO_LANE, LANES

_Command = TypeVar("_Command", bound=Callable[..., Any])

_LISTEN = (
    click.option(
        "--listen",
        metavar="ADDRESS",
        help="Serve gRPC at ADDRESS: unix:///path/of.sock, which only its owner can use, or host:port, which "
        "needs --tls-cert or --insecure. Default: unix:///run/jprobe/PID.sock for one PID, else "
        "unix:///run/jprobe/collector.sock; without root, in $XDG_RUNTIME_DIR/jprobe.",
    ),
    click.option(
        "--insecure",
        is_flag=True,
        help="Allow host:port for --listen without TLS: any user of this machine, and of every "
        "machine that can "
        "reach it, can then read what the probes capture, but change nothing.",
    ),
)
_COST = (
    click.option(
        "--counts",
        type=click.Path(dir_okay=False),
        metavar="FILE",
        help="At the end, write the hit counts of each probe and each subscriber to FILE, as JSON.",
    ),
    click.option(
        "--max-probes",
        type=WholeNumber(most=MAX_COLLECTOR_PROBES),
        metavar="N",
        help="Reserve N probe IDs, including those of probes that appear later. Default: twice the current "
        "number, at least 16,384; with --name or --all, 65,536.",
    ),
    max_overhead_option,
)

_MARKS = (
    click.option(
        "--jvm",
        type=JvmKinds(),
        default="",
        metavar="KINDS",
        help="Attach to the JVM's own probes as well. KINDS, separated by commas: gc, safepoint, compile, "
        "monitor, thread, class, alloc, vmops.",
    ),
    click.option(
        "--usdt",
        multiple=True,
        metavar="PROVIDER:NAME",
        help="Attach to the USDT probes that match the glob, of any file that the process has mapped: "
        "'libc:*'. Repeatable.",
    ),
)
_LIMITS = (
    click.option(
        "--max-methods",
        type=WholeNumber(most=MOST_METHODS),
        metavar="N",
        help="Let up to N methods have probes. The largest value that the agent or a client asks for holds.",
    ),
    click.option(
        "--string-limit",
        type=WholeNumber(most=MOST_BYTES),
        metavar="BYTES",
        help="Capture up to BYTES of each string, at most 1,024. The largest value that the agent or a "
        "client asks for holds.",
    ),
)


def history_option(command: _Command) -> _Command:
    return click.option(
        "--history",
        type=Size(or_none=True),
        metavar="SIZE",
        help="Keep the newest events in SIZE of memory, for clients that come late or come back. 0: none. "
        "Default: 16MiB.",
    )(command)


def lane_option(command: _Command) -> _Command:
    return click.option(
        "--lane",
        type=click.Choice(LANES),
        default=AUTO_LANE,
        show_default=True,
        help="How events of Java methods get here. direct: through memory that the agent shares with "
        "jcollect, without a trap. kernel: by a uprobe's trap. auto: direct where it is possible.",
    )(command)


def explain_option(command: _Command) -> _Command:
    return click.option(
        "--explain",
        type=ExplainedParts(),
        default="",
        metavar="PARTS",
        help="Say for each call where its time went. PARTS, separated by commas: cpu (on a CPU, in the run "
        "queue, off the CPU), faults (page faults), syscalls (system calls; slows down those of the whole "
        "machine), pauses (of the JVM), all.",
    )(command)


def mark_options(command: _Command) -> _Command:
    return _with_all(_MARKS, command)


def own_lane_option(command: _Command) -> _Command:
    return click.option(
        "--lane",
        type=click.Choice(LANES),
        help="With --select: how events of Java methods get here, as in jcollect attach. Default: auto.",
    )(command)


def limit_options(command: _Command) -> _Command:
    return _with_all(_LIMITS, command)


def listen_options(command: _Command) -> _Command:
    return _with_all(_LISTEN, command)


def cost_options(command: _Command) -> _Command:
    return _with_all(_COST, command)


def _with_all(options: Sequence[Callable[[_Command], _Command]], command: _Command) -> _Command:
    for option in reversed(options):
        command = option(command)
    return command
