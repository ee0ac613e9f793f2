"""Measures what redaction costs the collector per captured string, beside publishing the same events without
it.

A bench of bench/run.py: `redacting`, about ten seconds. The strings are SQL statements; half of them have a
secret."""

from __future__ import annotations

import statistics
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from event_batches import Event, batch, probe, value  # noqa: E402
from jcollect.hub.accounts import Accounts  # noqa: E402
from jcollect.hub.hub import Hub  # noqa: E402
from jcollect.hub.redaction import Redaction  # noqa: E402
from jcollect.hub.redaction_rules import RedactionRules  # noqa: E402
from jcollect.sources.columns import Batch  # noqa: E402
from list_source import StillCounters  # noqa: E402

EVENTS, ROUNDS = 5_000, 9
# Each round has a process of its own: the strings of one process take a limited share of the time.
PROBES = [probe(turn, value("sql", "java.lang.String"), pid=turn + 1) for turn in range(ROUNDS)]
RULES = {
    "no redaction": None,
    "--redact": RedactionRules(patterns=("password = '[^']*'",)),
    "--redact-secrets": RedactionRules(secrets=True),
}


def statements(distinct: int, turn: int) -> Batch:
    """Returns events with so many distinct statements; if all are, they differ from those of other rounds."""
    first = turn * EVENTS if distinct == EVENTS else 0
    texts = [
        f"update users set seen = {first + number % distinct} where name = 'joe'"
        + (f" and password = 'x{first + number % distinct}'" if number % 2 else "")
        for number in range(EVENTS)
    ]
    return batch([Event(PROBES[turn], (text,)) for text in texts])


def redacting() -> dict[str, Any]:
    """Publishes batches of distinct and of repeated strings, in turns."""
    found: dict[str, Any] = {}
    for kind, distinct in (("distinct strings", EVENTS), ("repeated strings", 50)):
        hubs = {
            name: Hub(PROBES, Accounts(16, [StillCounters(16)]), stages=[Redaction(rules)] if rules else [])
            for name, rules in RULES.items()
        }
        times: dict[str, list[float]] = {name: [] for name in RULES}
        for turn in range(ROUNDS):
            events = statements(distinct, turn)
            for name, hub in hubs.items():
                began = time.perf_counter()
                hub.publish(events)
                times[name].append((time.perf_counter() - began) / EVENTS * 1e6)
        for name, each in times.items():
            found[f"{kind}, {name}, us per string"] = each
            print(f"redacting: {kind}, {name}: {statistics.median(each):.2f} us per string", flush=True)
    return found
