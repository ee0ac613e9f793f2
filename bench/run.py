"""Measures the cost of jprobe, side by side with the same work without it, in one run on one machine.

    make bench                                  all benches, about 76 minutes
    .venv/bin/python bench/run.py dormant ...   only the named benches

The benches dormant, calls, filtered, lanes, direct-reading, streaming, recording, inlining, attach, recovery,
selecting, binding, guard, quota, startup, safepoints, many-classes, mounts, scraping, seed and stacks measure
the agent, on the oldest and the newest JDK; starting, attaching, reading, printing, redacting and explaining
the collector.

Each figure is a median, and each comparison a ratio of medians of runs that took turns. The figures are also
written to build/bench/results/, one small file per run. bench/results.tsv has the runs that docs/overhead.md
quotes: replace its figures there when you replace them in that page.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from arming import attach_many, recovery  # noqa: E402
from attaching import attaching, starting  # noqa: E402
from binding import binding  # noqa: E402
from calls import calls, filtered, inlining  # noqa: E402
from direct_reading import direct_reading  # noqa: E402
from dormant import dormant  # noqa: E402
from explaining import explaining  # noqa: E402
from figures import header, lines  # noqa: E402
from guard import guard  # noqa: E402
from java_target import JDKS  # noqa: E402
from lanes import lanes  # noqa: E402
from many_classes import many_classes  # noqa: E402
from mounts import mounts  # noqa: E402
from printing import printing  # noqa: E402
from programs import compile_all  # noqa: E402
from quota import quota  # noqa: E402
from reading import reading  # noqa: E402
from recorder import recording  # noqa: E402
from redacting import redacting  # noqa: E402
from safepoints import safepoints  # noqa: E402
from scraping import scraping  # noqa: E402
from seed import seed  # noqa: E402
from selecting import selecting  # noqa: E402
from stacks import stacks  # noqa: E402
from startup import startup  # noqa: E402
from streaming import streaming  # noqa: E402

AGENT_BENCHES = {
    "dormant": dormant,
    "calls": calls,
    "filtered": filtered,
    "lanes": lanes,
    "direct-reading": direct_reading,
    "streaming": streaming,
    "recording": recording,
    "inlining": inlining,
    "attach": attach_many,
    "recovery": recovery,
    "selecting": selecting,
    "binding": binding,
    "guard": guard,
    "quota": quota,
    "startup": startup,
    "safepoints": safepoints,
    "many-classes": many_classes,
    "mounts": mounts,
    "scraping": scraping,
    "seed": seed,
    "stacks": stacks,
}
# Independent of the JDK.
COLLECTOR_BENCHES = {
    "starting": starting,
    "attaching": attaching,
    "reading": reading,
    "printing": printing,
    "redacting": redacting,
    "explaining": explaining,
}


def main() -> None:
    known = [*AGENT_BENCHES, *COLLECTOR_BENCHES]
    wanted = sys.argv[1:] or known
    if unknown := set(wanted) - set(known):
        sys.exit(f"cannot run {', '.join(sorted(unknown))}: no such bench; known benches: {', '.join(known)}")
    started = datetime.now(UTC)
    of_agent = [name for name in wanted if name in AGENT_BENCHES]
    jdks = [JDKS[0], JDKS[-1]] if of_agent else []
    file = ROOT / "build/bench/results" / f"{started:%Y-%m-%dT%H%M%S}.tsv"
    file.parent.mkdir(parents=True, exist_ok=True)
    head = header(started, {str(jdk): ".".join(map(str, jdk.release)) for jdk in jdks})
    results: dict[str, Any] = {}

    def keep(group: str, name: str, found: Any) -> None:
        """Writes the file after each bench, so that a later failure loses nothing."""
        results.setdefault(group, {})[name] = found
        file.write_text(head + lines(results))

    for name in wanted:
        if name in COLLECTOR_BENCHES:
            keep("collector", name, COLLECTOR_BENCHES[name]())
    if of_agent:
        compile_all()
    for jdk in jdks:
        for name in of_agent:
            keep(str(jdk), name, AGENT_BENCHES[name](jdk))
    print(f"figures: {file.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
