"""The whole path on real programs: agent, stub library, kernel, collector, gRPC client.

The client is generated from the .proto and imports nothing of jcollect, like any user's client.
"""

from __future__ import annotations

import json
import re
import signal
import subprocess
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from conditions import require_bpf, wait_until
from java_target import (
    ALL_JDKS,
    H2_JAR,
    JAR,
    JCOLLECT,
    ORDERS,
    ORDERS_PROBES,
    Jdk,
    Process,
    attach,
    end_bpftrace,
    finish,
    java,
    jcollect,
    newest_jdk,
    on_every_jdk,
    probes_of,
    run,
    states_of,
    wait_for_probes,
)
from orders_client import Client, assert_exact
from prime_calls import run_calls
from second_agent import Digests


@pytest.fixture(autouse=True)
def bpf() -> None:
    require_bpf()


@pytest.fixture
def prime_calls(jdk: Jdk, targets: Path) -> Iterator[Process]:
    with java(jdk, "-cp", targets, "PrimeCalls", probes=ORDERS) as target:
        target.wait_for_line("ready")
        wait_for_probes(target.pid, ORDERS_PROBES)
        yield target


@on_every_jdk
def test_every_call_arrives_exactly_once_with_its_values(prime_calls: Process) -> None:
    with attach(prime_calls.pid) as collector:
        client = Client(f"unix:///run/jprobe/{prime_calls.pid}.sock")
        did = run_calls(prime_calls)
        summary = finish(collector)
        client.join()
    assert_exact(client, did)
    hits = f"{sum(client.events.values()):,}"
    assert f"{hits} hits = {hits} delivered + 0 lost" in summary


@on_every_jdk
def test_bpftrace_counts_the_same_while_jcollect_is_attached(prime_calls: Process) -> None:
    file = probes_of(prime_calls.pid)[0]["file"]
    script = (
        f"usdt:{file}:PrimeCalls_Orders:place__entry {{ @entry[tid] = count(); }}"
        f"usdt:{file}:PrimeCalls_Orders:place__return {{ @return[tid] = count(); }}"
        f"usdt:{file}:PrimeCalls_Orders:place__throw {{ @throw[tid] = count(); }}"
        f"usdt:{file}:PrimeCalls_Orders:place__2__entry {{ @text[str(arg1)] = count(); }}"
    )
    with Process(["bpftrace", "-p", str(prime_calls.pid), "-e", script]) as bpftrace:
        wait_until(lambda: states(prime_calls)["armed"] == 4, "bpftrace at its four probes")
        collector = attach(prime_calls.pid)
        client = Client(f"unix:///run/jprobe/{prime_calls.pid}.sock")
        did = run_calls(prime_calls)
        end_bpftrace(bpftrace)
        finish(collector)
        client.join()
    assert_exact(client, did)
    counted: Counter[str] = Counter()
    for line in bpftrace.out:
        if match := re.match(r"@(\w+)\[(.*)\]: (\d+)$", line):
            counted[match[1]] += int(match[3])
    assert counted == {
        "entry": did["place.entry"],
        "return": did["place.return"],
        "throw": did["place.throw"],
        "text": did["place2.entry"],
    }
    assert any(line.startswith("@text[item 2 für Rīga]: ") for line in bpftrace.out)


def test_methods_are_woven_and_restored_for_any_tracer(targets: Path) -> None:
    with java(newest_jdk, "-cp", targets, "PrimeCalls", probes=ORDERS) as target:
        target.wait_for_line("ready")
        file = wait_for_probes(target.pid, ORDERS_PROBES)[0]["file"]
        script = f"usdt:{file}:PrimeCalls_Orders:touch__entry {{ @calls[tid] = count(); }}"
        with Process(["bpftrace", "-p", str(target.pid), "-e", script]) as bpftrace:
            wait_until(lambda: states(target)["armed"] == 1, "the one probe to be armed")
            did = run_calls(target)
            end_bpftrace(bpftrace)
        counted = sum(int(line.split(": ")[1]) for line in bpftrace.out if line.startswith("@calls["))
        assert counted == did["touch.entry"]
        wait_until(lambda: states(target) == {"dormant": ORDERS_PROBES}, "all probes to be dormant")


def test_perf_counts_the_calls_as_well(targets: Path, tmp_path: Path) -> None:
    mount_tracefs()
    with java(newest_jdk, "-cp", targets, "PrimeCalls", probes=ORDERS) as target:
        target.wait_for_line("ready")
        file = wait_for_probes(target.pid, ORDERS_PROBES)[0]["file"]
        event = "sdt_PrimeCalls_Orders:touch__entry"
        samples = tmp_path / "perf.data"
        try:
            assert run("perf", "buildid-cache", "--add", file).returncode == 0
            added = run("perf", "probe", "-x", file, "--add", f"%{event}")
            assert added.returncode == 0, added.stderr
            with Process(["perf", "record", "-e", event, "-p", str(target.pid), "-o", str(samples)]) as perf:
                wait_until(lambda: states(target)["armed"] == 1, "perf's probe to be armed")
                did = run_calls(target)
                perf.signal(signal.SIGINT)
                perf.wait()
            hits = run("perf", "script", "-i", samples).stdout.splitlines()
            assert len([line for line in hits if event in line]) == did["touch.entry"]
        finally:
            run("perf", "probe", "-d", event)
            run("perf", "buildid-cache", "--remove", file)


def states(target: Process) -> Counter[str]:
    return Counter(probe["state"] for probe in probes_of(target.pid))


def mount_tracefs() -> None:
    """Mounts tracefs, which bpftrace's listing and perf's events need. Attaching does not need it."""
    if not Path("/sys/kernel/tracing/uprobe_events").exists():
        subprocess.run(["mount", "-t", "tracefs", "none", "/sys/kernel/tracing"], check=True)


def test_other_tools_list_the_probes(targets: Path) -> None:
    mount_tracefs()
    with java(newest_jdk, "-cp", targets, "PrimeCalls", probes=ORDERS) as target:
        target.wait_for_line("ready")
        file = wait_for_probes(target.pid, ORDERS_PROBES)[0]["file"]
        names = {f"{probe['provider']}:{probe['name']}" for probe in probes_of(target.pid)}
        bpftrace = run("bpftrace", "-l", f"usdt:{file}:*")
        assert {line.split(":", 2)[2] for line in bpftrace.stdout.split()} == names
        tplist = run("tplist-bpfcc", "-p", target.pid).stdout
        assert names <= {line.split()[-1] for line in tplist.splitlines()}
        readelf = run("readelf", "-n", file)
        assert set(re.findall(r"Name: (\S+)", readelf.stdout)) == {name.split(":")[1] for name in names}
        assert re.search(r"Build ID: [0-9a-f]{40}", readelf.stdout)
        assert readelf.stderr == ""


@on_every_jdk
@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda s: s.name)
def test_the_jvm_is_restored_however_the_collector_ends(
    jdk: Jdk, end: signal.Signals, targets: Path, digest_agent: Path, tmp_path: Path
) -> None:
    log = tmp_path / "digests"
    digests = Digests(log, "PrimeCalls$Orders")
    second_agent = f"-javaagent:{digest_agent}={log},PrimeCalls$Orders"
    with java(jdk, second_agent, "-cp", targets, "PrimeCalls", probes=ORDERS) as target:
        target.wait_for_line("ready")
        wait_for_probes(target.pid, ORDERS_PROBES)
        original = digests.of_a_retransformation()
        with attach(target.pid) as collector:
            assert digests.all()[-1] != original
            client = Client(f"unix:///run/jprobe/{target.pid}.sock", ends_in_order=end != signal.SIGKILL)
            target.send("run")
            wait_until(lambda: client.events, "the stream to flow")
            collector.signal(end)
            assert collector.wait() == (-end if end == signal.SIGKILL else 0)
            client.join()
        wait_until(
            lambda: all(probe["semaphore_count"] == 0 for probe in probes_of(target.pid)),
            "all semaphores to be 0",
            seconds=1,
        )
        wait_until(lambda: digests.all()[-1] == original, "the class to be as before")
        wait_until(lambda: states(target) == {"dormant": ORDERS_PROBES}, "all probes to be dormant")
        assert target.wait_for_line(r"\{", 120)
        with attach(target.pid) as again:
            client = Client(f"unix:///run/jprobe/{target.pid}.sock")
            did = run_calls(target)
            finish(again)
            client.join()
        assert_exact(client, did)
        assert target.err == []


def test_only_what_is_attached_to_is_woven(targets: Path) -> None:
    with java(newest_jdk, "-cp", targets, "PrimeCalls", probes=ORDERS) as target:
        target.wait_for_line("ready")
        wait_for_probes(target.pid, ORDERS_PROBES)
        with attach(target.pid, "--probe", "*:touch__*", "--probe", "PrimeCalls$Orders#depth"):
            armed = {probe["name"] for probe in probes_of(target.pid) if probe["state"] == "armed"}
            assert armed == {
                f"{method}__{kind}" for method in ("touch", "depth") for kind in ("entry", "return", "throw")
            }
            assert states(target)["dormant"] == ORDERS_PROBES - 6


def observe(pid: int) -> Process:
    """Starts `jcollect observe -o json` and waits until it has subscribed."""
    observer = jcollect("observe", pid, "-o", "json")
    observer.wait_for_line("observing ")
    return observer


def test_observe_prints_what_attach_prints(targets: Path) -> None:
    with java(newest_jdk, "-cp", targets, "PrimeCalls", probes="PrimeCalls$Orders#label") as target:
        target.wait_for_line("ready")
        wait_for_probes(target.pid, 3)
        with attach(target.pid, "-o", "json") as collector, observe(target.pid) as observer:
            run_calls(target)
            finish(collector)
            assert observer.wait() == 0
        assert len(collector.out) == 2 * 8057
        assert observer.out == collector.out
        first = json.loads(collector.out[0])
        assert list(first) == [
            "time",
            "pid",
            "tid",
            "thread",
            "probe",
            "class",
            "method",
            "descriptor",
            "kind",
            "args",
            "seq",
        ]
        assert first["class"] == "PrimeCalls$Orders"
        assert type(first["args"][0]) is bool
        assert type(first["args"][2]) is str


def test_a_number_of_events_or_seconds_ends_the_collector(targets: Path) -> None:
    with java(newest_jdk, "-cp", targets, "PrimeCalls", probes=ORDERS) as target:
        target.wait_for_line("ready")
        wait_for_probes(target.pid, ORDERS_PROBES)
        with attach(target.pid, "-o", "compact", "--max-events", 1009) as collector:
            target.send("run")
            assert collector.wait() == 0
        assert len(collector.out) == 1009
        target.wait_for_line(r"\{", 120)
        with attach(target.pid, "--duration", "0.5") as collector:
            assert collector.wait() == 0
        assert "0 hits = 0 delivered" in collector.err[-1]


def test_the_collector_ends_with_the_jvm(targets: Path) -> None:
    with java(newest_jdk, "-cp", targets, "PrimeCalls", probes=ORDERS) as target:
        target.wait_for_line("ready")
        wait_for_probes(target.pid, ORDERS_PROBES)
        with attach(target.pid) as collector:
            target.send("exit")
            assert target.wait() == 0
            assert collector.wait() == 0


@on_every_jdk
def test_a_database_runs_as_usual_with_all_its_methods_woven(jdk: Jdk, targets: Path) -> None:
    server = java(
        jdk,
        "-cp",
        H2_JAR,
        "org.h2.tools.Server",
        "-tcp",
        "-tcpPort",
        "0",
        "-ifNotExists",
        probes="org.h2.command.*#*;org.h2.mvstore.**#*",
        jvm=["-Xverify:all"],
    )
    with server:
        address = re.search(r"tcp://\S+", server.wait_for_line("TCP server running"))
        assert address
        port = address[0].rsplit(":", 1)[1]
        url = f"jdbc:h2:tcp://localhost:{port}/mem:test"
        with java(jdk, "-cp", f"{targets}:{H2_JAR}", "H2Load", url, "200") as load:
            load.wait_for_line("loading")
            wait_until(lambda: states_of(server.pid).total() > 2_000, "most of the database to be loaded")
            with attach(server.pid, "--duration", "2") as collector:
                assert "failed" not in states_of(server.pid)
                assert collector.wait() == 0
            load.send("enough")
            assert load.wait(60) == 0, load.err
            assert load.err == []
        hits = re.search(r": ([\d,]+) hits = ", collector.err[-1])
        assert hits, collector.err
        assert int(hits[1].replace(",", "")) > 10_000
        wait_until(lambda: set(states_of(server.pid)) == {"dormant"}, "all probes to be dormant")
        assert server.err == []


def test_the_application_sees_nothing_of_the_agents_libraries() -> None:
    with zipfile.ZipFile(JAR) as jar:
        visible = [name for name in jar.namelist() if name.endswith(".class")]
        hidden = [name for name in jar.namelist() if re.match(r"inst/org/objectweb/asm/.*[^/]$", name)]
    assert sorted(visible) == [
        f"io/jprobe/agent/{name}.class" for name in ("AgentLoader", "LogLine", "Premain")
    ]
    assert hidden
    assert all(name.endswith(".classdata") for name in hidden)
    with zipfile.ZipFile(JAR) as jar:
        for machine, number in (("x86_64", 62), ("aarch64", 183)):
            library = jar.read(f"inst/native/linux-{machine}/libjprobe.so")
            assert int.from_bytes(library[18:20], "little") == number


def test_there_are_three_generations_of_jdks_to_test_on() -> None:
    assert {17, 21, 25} <= {jdk.version for jdk in ALL_JDKS}, f"only {ALL_JDKS}; make jdks gets the others"


def test_jcollect_is_installed_as_a_command() -> None:
    assert re.match(r"jcollect, version \d+\.\d+\.\d+\n$", run(JCOLLECT, "--version").stdout)
