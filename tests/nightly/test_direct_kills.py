"""A hundred kills at random moments: the collector, or the program, in the direct lane."""

from __future__ import annotations

import random
import re
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from conditions import require_bpf, wait_until
from java_target import JCOLLECT, JDKS, Process, java, probes_of, states_of, wait_for_probes

KILLS = 100
PROGRAM_KILLS = 25
PROBES = 3
SEED = 18
# From before the agent has noticed the collector to long after the probes are armed.
LONGEST_SECONDS = 1.5
TERMS = re.compile(r"([\d,]+) hits = ([\d,]+) delivered.*? \+ ([\d,]+) lost")


@contextmanager
def program(targets: Path) -> Iterator[Process]:
    with java(JDKS[-1], "-cp", targets, "Torrent", 2, probes="Torrent#drop") as target:
        target.send("20000")
        wait_for_probes(target.pid, PROBES)
        yield target


def rings_of(pid: int) -> list[str]:
    links = [file.readlink() for file in Path(f"/proc/{pid}/fd").iterdir() if file.is_symlink()]
    return [str(link) for link in links if "jprobe-rings" in str(link)]


def is_as_before(pid: int) -> bool:
    return states_of(pid) == {"dormant": PROBES} and not rings_of(pid)


def assert_books_are_closed(collector: Process) -> None:
    line = next(line for line in collector.err if "detached after" in line)
    found = TERMS.search(line)
    assert found, line
    assert "unaccounted" not in line
    hits, delivered, lost = (int(term.replace(",", "")) for term in found.groups())
    assert hits == delivered + lost, line


def kill_collectors(target: Process, dice: random.Random, kills: int) -> None:
    for _ in range(kills):
        with Process([JCOLLECT, "attach", str(target.pid), "--lane", "direct"]) as collector:
            time.sleep(dice.uniform(0, LONGEST_SECONDS))
            collector.signal(signal.SIGKILL)
            collector.wait()
        wait_until(lambda: is_as_before(target.pid), "restored methods, and no rings")


def kill_program(target: Process, dice: random.Random) -> None:
    with Process([JCOLLECT, "attach", str(target.pid), "--lane", "direct"]) as collector:
        collector.wait_for_line("armed ")
        time.sleep(dice.uniform(0, LONGEST_SECONDS))
        target.signal(signal.SIGKILL)
        assert collector.wait() == 0, collector.err
        assert_books_are_closed(collector)


def test_a_hundred_kills_leave_closed_books_and_nothing_behind(targets: Path) -> None:
    require_bpf()
    dice = random.Random(SEED)
    for _ in range(PROGRAM_KILLS):
        with program(targets) as target:
            kill_collectors(target, dice, (KILLS - PROGRAM_KILLS) // PROGRAM_KILLS)
            # Another collector finds everything as before, and is exact to the last event.
            kill_program(target, dice)
        assert probes_of(target.pid) == []
