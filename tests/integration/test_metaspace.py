"""In a program with little free metaspace, nothing is woven, and the reason is reported."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from conditions import require_bpf, wait_until
from java_target import (
    ORDERS,
    ORDERS_PROBES,
    Jdk,
    finish,
    java,
    jcollect,
    on_every_jdk,
    states_of,
    wait_for_probes,
)
from prime_calls import run_calls

TOLD = (
    r"jprobe: cannot weave \d+ class(?:es)?: only \d\.\d MiB of -XX:MaxMetaspaceSize are free; "
    r"jprobe leaves the last 4\.0 MiB to the application"
)


@pytest.fixture(autouse=True)
def bpf() -> None:
    require_bpf()


@on_every_jdk
@pytest.mark.parametrize(("limit", "state"), [("5m", "failed"), ("64m", "armed")])
def test_the_last_free_metaspace_is_left_to_the_program(
    limit: str, state: str, jdk: Jdk, targets: Path
) -> None:
    jvm = [f"-XX:MaxMetaspaceSize={limit}"]
    with java(jdk, "-cp", targets, "PrimeCalls", probes=ORDERS, jvm=jvm) as target:
        target.wait_for_line("ready")
        wait_for_probes(target.pid, ORDERS_PROBES)
        with jcollect("attach", target.pid, "--max-overhead", "0") as collector:
            collector.wait_for_line("no probe is armed yet" if state == "failed" else "armed ")
            assert states_of(target.pid) == {state: ORDERS_PROBES}
            run_calls(target)
            assert (": 0 hits = " in finish(collector)) == (state == "failed")
        wait_until(lambda: set(states_of(target.pid)) == {"dormant"}, "all to be dormant")
        assert len(target.err) == (state == "failed")
        assert all(re.match(TOLD, line) for line in target.err)
