"""Conditions that tests wait for, and features that they require of the machine."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest

DEADLINE_SECONDS = 30.0
# A quiet machine needs a second, a fault tens of seconds.
SOON_SECONDS = 5.0

# CI runs the tests as root.
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="takes root")


def wait_until(condition: Callable[[], Any], what: str, seconds: float = DEADLINE_SECONDS) -> Any:
    """Returns the condition's first true value; fails the test if there is none in time."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        time.sleep(0.01)


def require_bpf() -> None:
    """Skips the test if the machine cannot trace; with JPROBE_REQUIRE_BPF=1, as in CI, that is a failure."""
    problem = None
    if os.geteuid() != 0:
        problem = "tracing takes root"
    elif not Path("/sys/bus/event_source/devices/uprobe/type").exists():
        problem = "tracing takes a kernel with uprobes"
    if problem:
        miss(problem)


def miss(problem: str) -> NoReturn:
    """Skips the test because the machine lacks a feature; with JPROBE_REQUIRE_BPF=1 that is a failure."""
    if os.environ.get("JPROBE_REQUIRE_BPF") == "1":
        pytest.fail(f"{problem}, and JPROBE_REQUIRE_BPF=1 is set")
    pytest.skip(problem)
