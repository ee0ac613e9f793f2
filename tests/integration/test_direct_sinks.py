"""Probes in the direct lane, by leases and by semaphores, alone and beside a tracer in the kernel lane."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pytest

from cgroup import inside, memory_cgroup
from conditions import require_bpf, wait_until
from direct_memory import (
    HISTOGRAMS,
    RINGS,
    count_durations,
    count_records,
    descriptor,
    gate_probes,
    libraries,
)
from java_target import (
    ORDERS,
    ORDERS_PROBES,
    Jdk,
    Process,
    attach,
    finish,
    java,
    newest_jdk,
    on_newest_jdk,
    states_of,
    wait_for_probes,
)
from jcollect.control.gateway import Gateway
from jcollect.control.open_gateway import open_gateway
from jcollect.errors import JcollectError
from jcollect.layout.gate import SINKS_COUNT, SINKS_EVENT, SINKS_TRAP, GateProbe
from jcollect.layout.stub_library import (
    DIRECT_SEMAPHORES_COUNT,
    DIRECT_SEMAPHORES_EVENT,
    DIRECT_SEMAPHORES_SIZE,
    SLOT_BYTES,
    STUB_X86_64_COUNT,
    STUB_X86_64_EVENT,
)
from jcollect.procfs.process import Process as Observed
from jcollect.sources.bpf.bpf_syscalls import open_uprobe_event
from jprobe.v1 import probe_pb2
from prime_calls import hits_of, leftovers, prime_calls, run_calls

ENTRY = probe_pb2.PROBE_KIND_ENTRY
RETURN = probe_pb2.PROBE_KIND_RETURN
THROW = probe_pb2.PROBE_KIND_THROW
PLACE = "place(I)J"
ALL = f"1:0-{ORDERS_PROBES - 1}"
# All events of a run, which no collector reads, at no cost limit.
OPTIONS = "control=on,ring-size=256m,max-overhead=0"


def check_place(counts: Mapping[tuple[str, int], int], tallies: Mapping[str, int]) -> None:
    for kind, name in ((ENTRY, "entry"), (RETURN, "return"), (THROW, "throw")):
        assert counts[PLACE, kind] == tallies[f"place.{name}"]


def sinks_of(words: GateProbe) -> int:
    """Returns the sinks that are on, without what else the word says."""
    return words.sinks & (SINKS_TRAP | SINKS_EVENT | SINKS_COUNT)


@on_newest_jdk
def test_leased_probes_record_and_count_every_call_without_a_trap(jdk: Jdk, targets: Path) -> None:
    with prime_calls(jdk, targets, options=OPTIONS, probes=ORDERS) as target:
        wait_for_probes(target.pid, ORDERS_PROBES)
        process = Observed.open(target.pid)
        with open_gateway(process) as gateway:
            gateway.direct(ALL, ALL)
            assert states_of(target.pid) == Counter(armed=ORDERS_PROBES)
            tallies = run_calls(target)
            records, durations = count_records(process), count_durations(process)
            recorded: Counter[tuple[str, int]] = Counter()
            counted: Counter[tuple[str, int]] = Counter()
            for number, key, words in gate_probes(process):
                assert words.number == number
                assert sinks_of(words) == (SINKS_EVENT if key[1] == ENTRY else SINKS_EVENT | SINKS_COUNT)
                assert (words.fired, words.lost) == (0, 0)
                recorded[key] = records[number]
                counted[key] = durations[words.histogram] if words.histogram else 0
            assert recorded.total() == records.total() == hits_of(tallies)
            check_place(recorded, tallies)
            assert {key: count for key, count in recorded.items() if key[1] != ENTRY and count} == +counted
            files = [file for file in (descriptor(process, RINGS), descriptor(process, HISTOGRAMS)) if file]
            assert len(files) == 2
        wait_until(lambda: set(states_of(target.pid)) == {"dormant"}, "the class to be restored")
        assert {sinks_of(words) for _, _, words in gate_probes(process)} == {0}
        assert descriptor(process, RINGS) is descriptor(process, HISTOGRAMS) is None
        wait_until(lambda: not any(file.exists() for file in files), "the memory to be given back")
        wait_until(lambda: "jprobe-rings" not in maps_of(target.pid), "the rings to be unmapped")


def maps_of(pid: int) -> str:
    return Path(f"/proc/{pid}/maps").read_text()


def test_the_rings_use_a_quarter_of_what_a_memory_cgroup_leaves(targets: Path) -> None:
    with (
        memory_cgroup("jprobe-rings", 160) as group,
        java(
            newest_jdk,
            "-cp",
            targets,
            "PrimeCalls",
            probes=ORDERS,
            options=OPTIONS,
            jvm=("-Xmx32m", "-XX:+UseSerialGC"),
            before=inside(group),
        ) as target,
    ):
        target.wait_for_line("ready")
        wait_for_probes(target.pid, ORDERS_PROBES)
        process = Observed.open(target.pid)
        with open_gateway(process) as gateway:
            gateway.direct(ALL, "")
            rings = descriptor(process, RINGS)
            assert rings is not None
            size = rings.stat().st_size
            line = target.wait_for_line(r"jprobe: ring-size is reduced from 256 MiB to ")
            tallies = run_calls(target)
            lost = sum(words.lost for _, _, words in gate_probes(process))
            assert count_records(process).total() + lost == hits_of(tallies)
    assert "the memory limit of the program's cgroup leaves " in line
    assert 1 << 20 < size < 40 << 20


HOLDER = """
import sys
from jcollect.control.open_gateway import open_gateway
from jcollect.procfs.process import Process
with open_gateway(Process.open(int(sys.argv[1]))) as gateway:
    gateway.direct(sys.argv[2], sys.argv[2])
    print("leased", flush=True)
    sys.stdin.read()
"""


def test_leases_end_with_a_killed_client_and_those_of_others_go_on(targets: Path) -> None:
    with prime_calls(newest_jdk, targets, options=OPTIONS, probes=ORDERS) as target:
        wait_for_probes(target.pid, ORDERS_PROBES)
        process = Observed.open(target.pid)
        with (
            open_gateway(process) as gateway,
            Process([sys.executable, "-c", HOLDER, str(target.pid), ALL]) as holder,
        ):
            gateway.direct("1:0-0", "")
            holder.wait_for_line("leased")
            assert states_of(target.pid) == Counter(armed=ORDERS_PROBES)
            holder.signal(signal.SIGKILL)
            holder.wait()
            rest = Counter(armed=1, dormant=ORDERS_PROBES - 1)
            wait_until(lambda: states_of(target.pid) == rest, "the killed client's lease to end")
            assert descriptor(process, RINGS) is not None
            assert descriptor(process, HISTOGRAMS) is None


@on_newest_jdk
def test_direct_semaphores_that_the_kernel_raises_do_the_same(jdk: Jdk, targets: Path) -> None:
    require_bpf()
    with prime_calls(jdk, targets, options=OPTIONS, probes=ORDERS) as target:
        wait_for_probes(target.pid, ORDERS_PROBES)
        process = Observed.open(target.pid)
        library = libraries(process)[1]
        image = library.image

        def raised(slot: int, code: int, semaphore: int) -> int:
            address = image.text.address + SLOT_BYTES * slot + code
            counter = image.direct.address + DIRECT_SEMAPHORES_SIZE * slot + semaphore
            return open_uprobe_event(library.file, address, counter, target.pid)

        with contextlib.ExitStack() as events:
            for slot in range(ORDERS_PROBES):
                for code, semaphore in (
                    (STUB_X86_64_EVENT, DIRECT_SEMAPHORES_EVENT),
                    (STUB_X86_64_COUNT, DIRECT_SEMAPHORES_COUNT),
                ):
                    events.callback(os.close, raised(slot, code, semaphore))
            wait_until(lambda: states_of(target.pid) == Counter(armed=ORDERS_PROBES), "all to be armed")
            tallies = run_calls(target)
            assert count_records(process).total() == hits_of(tallies)
            assert sum(words.fired for _, _, words in gate_probes(process)) == 0
            counted = sum(count_durations(process).values())
            assert counted == hits_of(tallies) // 2
        wait_until(lambda: set(states_of(target.pid)) == {"dormant"}, "the class to be restored")
        assert descriptor(process, RINGS) is descriptor(process, HISTOGRAMS) is None


def test_an_agent_that_is_reset_gives_the_memory_back(targets: Path) -> None:
    with prime_calls(newest_jdk, targets, options=OPTIONS, probes=ORDERS) as target:
        wait_for_probes(target.pid, ORDERS_PROBES)
        for _ in range(3):
            with open_gateway(Observed.open(target.pid)) as gateway:
                # Each new agent continues to number its stub libraries.
                generation = gateway.select([ORDERS]).methods[0].id.partition(":")[0]
                slots = f"{generation}:0-{ORDERS_PROBES - 1}"
                gateway.direct(slots, slots)
                assert "jprobe-histograms" in maps_of(target.pid)
                target.send("run")
                gateway.reset()
            wait_until(lambda: leftovers(target.pid) == [], "the agent to shut down")
            assert "jprobe-rings" not in maps_of(target.pid)
            assert "jprobe-histograms" not in maps_of(target.pid)
            target.wait_for_line(r"\{", 120)


@on_newest_jdk
def test_a_lease_and_a_tracer_in_the_kernel_lane_both_get_every_call(jdk: Jdk, targets: Path) -> None:
    require_bpf()
    with prime_calls(jdk, targets, options=OPTIONS, probes=ORDERS) as target:
        wait_for_probes(target.pid, ORDERS_PROBES)
        process = Observed.open(target.pid)
        collector = attach(target.pid, "--lane", "kernel")
        with open_gateway(process) as gateway:
            gateway.direct(ALL, "")
            tallies = run_calls(target)
            hits = hits_of(tallies)
            assert {sinks_of(words) for _, _, words in gate_probes(process)} == {SINKS_TRAP | SINKS_EVENT}
            assert count_records(process).total() == hits
            assert sum(words.fired for _, _, words in gate_probes(process)) == hits
        wait_until(lambda: descriptor(process, RINGS) is None, "the lease to end")
        assert {sinks_of(words) for _, _, words in gate_probes(process)} == {SINKS_TRAP}
        assert f" {hits:,} hits = {hits:,} delivered + 0 lost" in finish(collector)


def test_a_lease_that_is_wrong_is_an_error(targets: Path) -> None:
    with prime_calls(newest_jdk, targets, options="control=on", probes=ORDERS) as target:
        wait_for_probes(target.pid, ORDERS_PROBES)
        with open_gateway(Observed.open(target.pid)) as gateway:
            for wrong, message in (
                ("1:0", "cannot lease probes '1:0'; expected generation:first-last, as in 1:0-5"),
                ("9:0-0", "cannot lease probes 9:0-0: there is no stub library 9"),
                (f"1:0-{ORDERS_PROBES}", f"stub library 1 has {ORDERS_PROBES} probes that can be leased"),
            ):
                check_refused(gateway, wrong, message)
            assert states_of(target.pid) == Counter(dormant=ORDERS_PROBES)


def test_without_a_descriptor_for_the_memory_a_lease_is_an_error(targets: Path) -> None:
    with prime_calls(newest_jdk, targets, options=OPTIONS, probes=ORDERS) as target:
        wait_for_probes(target.pid, ORDERS_PROBES)
        with open_gateway(Observed.open(target.pid)) as gateway:
            used = {int(file.name) for file in Path(f"/proc/{target.pid}/fd").iterdir()}
            free = next(number for number in range(len(used) + 1) if number not in used)
            soft, hard = resource.prlimit(target.pid, resource.RLIMIT_NOFILE)
            resource.prlimit(target.pid, resource.RLIMIT_NOFILE, (free, hard))
            with pytest.raises(JcollectError) as raised:
                gateway.direct(ALL, "")
            assert "rejects direct: cannot trace through shared memory: cannot create " in str(raised.value)
            assert states_of(target.pid) == Counter(dormant=ORDERS_PROBES)
            resource.prlimit(target.pid, resource.RLIMIT_NOFILE, (soft, hard))
            gateway.direct(ALL, "")
            assert states_of(target.pid) == Counter(armed=ORDERS_PROBES)
        line = (
            "jprobe: cannot trace through shared memory: cannot create the memory of the rings: "
            "Too many open files; the probes fail, and the agent retries every second"
        )
        wait_until(lambda: [one.rstrip() for one in target.err].count(line) == 1, "the line of the agent")


def check_refused(gateway: Gateway, wrong: str, message: str) -> None:
    with pytest.raises(JcollectError) as raised:
        gateway.direct("", wrong)
    assert message in str(raised.value)
