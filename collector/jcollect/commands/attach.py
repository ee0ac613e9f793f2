"""jcollect attach: traces processes and serves their events."""

from __future__ import annotations

import click

from jcollect.cli.options import (
    duration_option,
    fail_on_loss_option,
    max_events_option,
    probe_option,
    select_option,
)
from jcollect.errors import JcollectError
from jcollect.sources.bpf.compilation import Compilation

# Of counters these are four rows of 16 MiB (sources/bpf/bpf_programs.py).
_MOST_PROBES = 1 << 20
# As sources/bpf/kernel.py has them, which is imported later.
_FEATURES = ("uprobe-multi", "cookies", "ring-buffer", "ref-count")


@click.command()
@click.argument("pids", nargs=-1, type=click.IntRange(min=1), metavar="[PID...]")
@click.option(
    "--name",
    "names",
    multiple=True,
    metavar="GLOB",
    help="All JVMs whose main class matches, those that start later included; as jcollect ps shows it. "
    "Repeatable.",
)
@click.option("--all", "every", is_flag=True, help="Every process that has probes, or comes to have some.")
@click.option(
    "--listen",
    metavar="ADDRESS",
    help="Serve gRPC here: unix:///path/of.sock, for its owner alone, or host:port, with --insecure. "
    "Default: unix:///run/jprobe/PID.sock for one PID, else unix:///run/jprobe/collector.sock",
)
@click.option(
    "--insecure",
    is_flag=True,
    help="Allow --listen on host:port: any user of this machine, and of others that can reach it, may then "
    "read what the probes capture.",
)
@select_option
@click.option("-o", "--output", type=click.Choice(["json", "compact"]), help="Print each event as well.")
@probe_option
@click.option("--wait", is_flag=True, help="Where there is nothing to attach to yet, wait for it.")
@duration_option
@max_events_option
@fail_on_loss_option
@click.option(
    "--counts",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="At the end, write the hit counts of each probe and each subscriber to FILE, as JSON.",
)
@click.option(
    "--max-probes",
    type=click.IntRange(min=1, max=_MOST_PROBES),
    metavar="N",
    help="Have room for so many probes, those that come later included. Default: twice what there is, at "
    "least 16,384; with --name or --all 65,536.",
)
@click.option(
    "--max-overhead",
    type=click.IntRange(min=0),
    metavar="PERCENT",
    help="What the probes of one JVM may cost it, in percent of one core, over any five seconds: beyond that "
    "the dearest are throttled. Up to 50, never more than a third of the CPU time that the JVM gets. "
    "0: anything. Default: what its agent was given, or 50.",
)
# For tests: another way than the best, a kernel that lacks something, room that is soon full.
@click.option("--link", "way", type=click.Choice(["auto", "uprobe-multi", "perf-event"]), hidden=True)
@click.option("--without", multiple=True, type=click.Choice(_FEATURES), hidden=True)
@click.option("--ring-pages", type=click.IntRange(min=1), hidden=True)
@click.option("--queue-bytes", type=click.IntRange(min=1), hidden=True)
@click.option("--arm-timeout", type=click.FloatRange(min=0), default=5.0, hidden=True)
def attach(
    pids: tuple[int, ...],
    names: tuple[str, ...],
    every: bool,
    listen: str | None,
    insecure: bool,
    selectors: tuple[str, ...],
    output: str | None,
    globs: tuple[str, ...],
    wait: bool,
    duration: float | None,
    max_events: int | None,
    fail_on_loss: bool,
    counts: str | None,
    max_probes: int | None,
    max_overhead: int | None,
    way: str | None,
    without: tuple[str, ...],
    ring_pages: int | None,
    queue_bytes: int | None,
    arm_timeout: float,
) -> None:
    """Attach to the probes of processes and serve their events over gRPC: of the PIDs given, of all JVMs of a
    --name, or of --all.

    Probes that appear later are attached to as they come, and so are processes that match. Ends with Ctrl-C,
    or when all PIDs given have exited; a JVM's methods are then as they were.

    With --select the probes need not be there: the agent is loaded into JVMs that have none, gives probes
    to what is selected, and goes when jcollect goes.
    """
    if not pids and not names and not every:
        raise click.UsageError("attach takes PIDs, --name GLOB or --all; jcollect ps lists what there is")
    if ring_pages and ring_pages & ring_pages - 1:
        raise JcollectError(f"--ring-pages must be a power of two, and {ring_pages} is not")
    # The first time that takes a second, in which all that follows can be imported.
    compilation = Compilation.start()
    try:
        from jcollect.cli.serving import Serving, serve
        from jcollect.session.targets import Asked

        asked = Asked(tuple(dict.fromkeys(pids)), names, every, globs, selectors, wait)
        settings = {
            "max_events": max_events,
            "ring_pages": ring_pages,
            "way": way,
            "capacity": max_probes,
            "queue_bytes": queue_bytes,
            "without": frozenset(without),
        }
        serving = Serving(
            listen,
            insecure,
            output,
            duration,
            arm_timeout,
            fail_on_loss,
            counts,
            {name: value for name, value in settings.items() if value}
            | ({} if max_overhead is None else {"max_overhead": max_overhead}),
        )
        serve(asked, serving, compilation)
    finally:
        compilation.close()
