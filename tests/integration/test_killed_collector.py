"""SIGKILL while the kernel creates or removes many uprobes: nothing stays behind in the traced process.

The kernel stops in the middle of that if the thread that asked for it is being killed.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from collector_fixtures import Bench, Target

from conditions import require_bpf, wait_until
from stub_image import BOOLEAN, LONG, Method, StubImage

METHODS = 10_007
PROBES = 3 * METHODS
MAX_PROBES = ("--max-probes", 1 << 16)


@pytest.fixture
def target(bench: Bench) -> Target:
    require_bpf()
    methods = [Method("com.acme.Orders", f"place{i}", (LONG,), BOOLEAN, "(J)Z") for i in range(METHODS)]
    return bench.target(StubImage(methods), f"*{PROBES}:n")


def as_soon_as(target: Target, condition: Callable[[int], bool]) -> int:
    """Returns the sum of the semaphores when it satisfies the condition. Does not pause between two looks."""
    while not condition(found := target.semaphores()):
        assert target.process.poll() is None
    return found


def test_a_collector_killed_while_it_detaches_leaves_no_semaphore_raised(
    bench: Bench, target: Target
) -> None:
    collector = bench.attach(target, *MAX_PROBES)
    assert target.semaphores() == PROBES
    collector.process.terminate()
    left = as_soon_as(target, lambda found: found < PROBES)
    collector.process.kill()
    assert 0 < left < PROBES
    wait_until(lambda: target.semaphores() == 0, "semaphores at 0")


def test_a_collector_killed_while_it_attaches_leaves_no_semaphore_raised(
    bench: Bench, target: Target
) -> None:
    collector = bench.start("attach", target.pid, *MAX_PROBES)
    raised = as_soon_as(target, lambda found: found > 0)
    collector.process.kill()
    assert 0 < raised < PROBES
    collector.process.wait()
    wait_until(lambda: target.semaphores() == 0, "semaphores at 0")
    # Another collector finds the sites as they were.
    bench.attach(target, *MAX_PROBES).end()
    assert target.semaphores() == 0
