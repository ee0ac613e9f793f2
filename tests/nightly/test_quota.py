"""At the default overhead limit, a program does half of its work in any five seconds, at any CPU quota."""

from __future__ import annotations

from pathlib import Path

import pytest

from cgroup import Cgroup
from conditions import require_bpf
from java_target import Jdk, finish, java, jcollect, on_every_jdk, wait_for_probes
from throughput import Throughput, work

require_bpf()

STARTED_SECONDS = 120.0


@pytest.mark.parametrize("threads", [1, 8])
@pytest.mark.parametrize("cores", [0.1, 0.3, 0.6, 1.0, 2.0])
@on_every_jdk
def test_half_of_the_work_is_done_in_any_five_seconds(
    jdk: Jdk, cores: float, threads: int, targets: Path
) -> None:
    with Cgroup("jprobe-nightly") as group:
        group.limit(cores)
        with java(
            jdk,
            "-cp",
            targets,
            "Mill",
            str(threads),
            probes="Mill#grain",
            before=group.starting(),
            guarded=True,
        ) as target:
            target.wait_for_line("ready", STARTED_SECONDS)
            # With 0.1 cores the probes may appear ten seconds after the program has started.
            wait_for_probes(target.pid, 3)
            work(target, 5)
            calm = work(target, 5)
            with jcollect("attach", target.pid, "--probe", "*grain__return") as collector:
                collector.wait_for_line("jcollect: warning: throttled: ", STARTED_SECONDS)
                # The method is retried after ten seconds.
                work(target, 14)
                finish(collector)
            _, ended = work(target, 5)
            target.send("")
            assert target.wait() == 0
    assert Throughput(target).least_share(calm, calm[1], ended) > 0.5
