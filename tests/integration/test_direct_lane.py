"""The direct lane on real programs: every call arrives exactly once, without a trap, beside other tracers."""

from __future__ import annotations

import os
import re
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from conditions import require_bpf, wait_until
from java_target import (
    JCOLLECT,
    NOBODY,
    ORDERS,
    ORDERS_PROBES,
    Jdk,
    Process,
    as_user,
    attach,
    end_bpftrace,
    finish,
    java,
    newest_jdk,
    on_every_jdk,
    probes_of,
    run,
    states_of,
    wait_for_probes,
)
from jcollect.probes.globs import matcher
from jcollect.probes.scan import scan_traceable
from jcollect.session.session import Session
from jcollect.sources.base import Source
from jcollect.sources.direct.activation import LeaseActivator
from jcollect.sources.direct.source import DirectSource
from orders_client import Client, assert_exact
from prime_calls import hits_of, leftovers, run_calls
from processes import opened


@pytest.fixture(autouse=True)
def bpf() -> None:
    require_bpf()


@pytest.fixture
def program(jdk: Jdk, targets: Path) -> Iterator[Process]:
    with java(jdk, "-cp", targets, "PrimeCalls", probes=ORDERS) as target:
        target.wait_for_line("ready")
        wait_for_probes(target.pid, ORDERS_PROBES)
        yield target


def address(target: Process) -> str:
    return f"unix:///run/jprobe/{target.pid}.sock"


def rings_of(pid: int) -> list[str]:
    """Returns the descriptors of rings that a process has open."""
    folder = f"/proc/{pid}/fd"
    links = []
    for name in os.listdir(folder):
        try:
            links.append(os.readlink(f"{folder}/{name}"))
        except FileNotFoundError:
            continue
    return [link for link in links if "jprobe-rings" in link]


def is_dormant(pid: int) -> bool:
    return states_of(pid) == {"dormant": ORDERS_PROBES} and not rings_of(pid)


@on_every_jdk
def test_every_call_arrives_exactly_once_with_its_values(program: Process) -> None:
    with attach(program.pid, "--lane", "direct") as collector:
        client = Client(address(program))
        did = run_calls(program)
        status = run(JCOLLECT, "status", program.pid).stdout
        summary = finish(collector)
        client.join()
    assert_exact(client, did)
    hits = f"{sum(client.events.values()):,}"
    assert f"{hits} hits = {hits} delivered + 0 lost" in summary
    assert "; lane: direct; " in summary
    assert f"lane: direct for {ORDERS_PROBES} probes of PID {program.pid}" in status
    wait_until(lambda: is_dormant(program.pid), "the program to be as before")


@on_every_jdk
def test_both_lanes_and_bpftrace_count_the_same_calls(program: Process) -> None:
    file = probes_of(program.pid)[0]["file"]
    script = f"usdt:{file}:PrimeCalls_Orders:place__entry {{ @entry[tid] = count(); }}"
    with Process(["bpftrace", "-p", str(program.pid), "-e", script]) as bpftrace:
        wait_until(lambda: states_of(program.pid)["armed"] == 1, "bpftrace at its probe")
        direct = attach(program.pid, "--lane", "direct")
        kernel = attach(
            program.pid, "--lane", "kernel", "--listen", f"unix:///run/jprobe/{program.pid}-kernel.sock"
        )
        clients = [Client(address(program)), Client(f"unix:///run/jprobe/{program.pid}-kernel.sock")]
        did = run_calls(program)
        end_bpftrace(bpftrace)
        for collector in (direct, kernel):
            finish(collector)
        for client in clients:
            client.join()
    for client in clients:
        assert_exact(client, did)
    counted = sum(int(line.split(": ")[1]) for line in bpftrace.out if line.startswith("@entry["))
    assert counted == did["place.entry"]


def test_a_second_collector_takes_the_kernel_lane_and_both_are_exact(targets: Path) -> None:
    with java(newest_jdk, "-cp", targets, "PrimeCalls", probes=ORDERS) as target:
        target.wait_for_line("ready")
        wait_for_probes(target.pid, ORDERS_PROBES)
        first = attach(target.pid)
        listen = f"unix:///run/jprobe/{target.pid}-second.sock"
        second = attach(target.pid, "--listen", listen)
        assert any("another jcollect reads the direct lane" in line for line in second.err + second.out)
        refused = run(JCOLLECT, "attach", target.pid, "--lane", "direct", "--listen", f"{listen}-third")
        assert refused.returncode == 1
        assert f"another jcollect reads the direct lane of PID {target.pid}" in refused.stderr
        clients = [Client(address(target)), Client(listen)]
        did = run_calls(target)
        assert "; lane: direct; " in finish(first)
        assert "; lane: direct; " not in finish(second)
        for client in clients:
            client.join()
            assert_exact(client, did)


def test_a_killed_collector_leaves_nothing_and_the_next_one_begins_anew(targets: Path) -> None:
    with java(newest_jdk, "-cp", targets, "PrimeCalls", probes=ORDERS) as target:
        target.wait_for_line("ready")
        wait_for_probes(target.pid, ORDERS_PROBES)
        killed = attach(target.pid, "--lane", "direct")
        killed.signal(signal.SIGKILL)
        killed.wait()
        wait_until(lambda: is_dormant(target.pid), "the program to be as before")
        with attach(target.pid, "--lane", "direct") as collector:
            client = Client(address(target))
            did = run_calls(target)
            finish(collector)
            client.join()
        assert_exact(client, did)


def test_what_a_killed_program_has_written_is_read_to_the_end(targets: Path) -> None:
    with java(newest_jdk, "-cp", targets, "PrimeCalls", probes=ORDERS) as target:
        target.wait_for_line("ready")
        wait_for_probes(target.pid, ORDERS_PROBES)
        collector = attach(target.pid, "--lane", "direct")
        client = Client(address(target))
        did = run_calls(target)
        target.signal(signal.SIGKILL)
        collector.wait()
        summary = collector.err[-1] if collector.err else collector.out[-1]
        client.join()
    assert_exact(client, did)
    found = re.search(r"([\d,]+) hits = ([\d,]+) delivered \+ 0 lost", summary)
    assert found is not None, summary
    assert found[1] == found[2]


def test_a_lease_is_enough_where_no_uprobe_may_be_placed(targets: Path) -> None:
    def open_direct(capacity: int, utc_offset_ns: int) -> Source:
        return DirectSource(capacity, utc_offset_ns, LeaseActivator())

    with java(newest_jdk, "-cp", targets, "PrimeCalls", probes=ORDERS, options="control=on") as target:
        target.wait_for_line("ready")
        wait_for_probes(target.pid, ORDERS_PROBES)
        session = Session(open_sources=[open_direct])
        try:
            session.start()
            session.join(scan_traceable(opened(target.pid)), matcher([])).attach()
            assert states_of(target.pid) == {"armed": ORDERS_PROBES}
            did = run_calls(target)
            totals = session.detach()
        finally:
            session.close()
        assert (totals.hits, totals.delivered, totals.missing) == (hits_of(did), hits_of(did), 0)
        wait_until(lambda: is_dormant(target.pid), "the program to be as before")


def test_a_programs_own_user_traces_it_without_a_capability(shared_targets: Path) -> None:
    nobody = as_user("nobody", reads_checkout=True)
    with tempfile.TemporaryDirectory(prefix="jprobe-test-") as folder:
        os.chmod(folder, 0o777)
        with Process([*NOBODY, newest_jdk.java, "-cp", shared_targets, "PrimeCalls"], cwd="/") as target:
            target.wait_for_line("ready")
            listen = f"unix://{folder}/collector.sock"
            command = [JCOLLECT, "attach", target.pid, "--select", ORDERS, "--listen", listen]
            with Process([*nobody, *map(str, command)]) as collector:
                collector.wait_for_line("armed ")
                did = run_calls(target)
                summary = finish(collector)
            hits = f"{hits_of(did):,}"
            assert f"{hits} hits = {hits} delivered + 0 lost" in summary
            assert "; lane: direct; " in summary
            wait_until(lambda: leftovers(target.pid) == [], "nothing to be left")
            with Process([*nobody, *map(str, command)]) as killed:
                killed.wait_for_line("armed ")
                killed.signal(signal.SIGKILL)
                killed.wait()
            wait_until(lambda: leftovers(target.pid) == [], "nothing to be left after kill -9 either")


def test_what_finds_no_room_is_lost_and_counted_exactly(targets: Path) -> None:
    with java(newest_jdk, "-cp", targets, "PrimeCalls", probes=ORDERS, options="ring-size=256k") as target:
        target.wait_for_line("ready")
        wait_for_probes(target.pid, ORDERS_PROBES)
        with attach(target.pid, "--lane", "direct") as collector:
            collector.signal(signal.SIGSTOP)
            did = run_calls(target)
            collector.signal(signal.SIGCONT)
            summary = finish(collector)
        found = re.search(
            r"([\d,]+) hits = ([\d,]+) delivered \+ ([\d,]+) lost \(kernel ring 0, direct rings ([\d,]+),",
            summary,
        )
        assert found is not None, summary
        hits, delivered, lost, in_rings = (int(each.replace(",", "")) for each in found.groups())
        assert hits == delivered + lost == hits_of(did)
        assert lost == in_rings > hits // 2
