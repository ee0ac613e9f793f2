"""The whole path on real programs: agent, stub library, kernel, collector, gRPC client.

The client here is the one that anybody gets out of the .proto; nothing of jcollect is imported.
"""

from __future__ import annotations

import json
import re
import signal
import subprocess
import threading
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from conditions import require_bpf, wait_until
from java_target import (
    H2_JAR,
    JAR,
    JCOLLECT,
    JDKS,
    ORDERS,
    ORDERS_PROBES,
    Jdk,
    Process,
    attach,
    finish,
    java,
    jcollect,
    newest_jdk,
    on_every_jdk,
    probes_of,
    run,
    wait_for_probes,
)
from jprobe.v1 import collector_pb2, collector_pb2_grpc, probe_pb2
from prime_calls import run_calls
from second_agent import Digests

PLACE = "(I)J"
PLACE_WITH_ITEM = "(JLjava/lang/String;)Z"


@pytest.fixture(autouse=True)
def bpf() -> None:
    require_bpf()


@pytest.fixture
def prime_calls(jdk: Jdk, targets: Path) -> Iterator[Process]:
    with java(jdk, "-cp", targets, "PrimeCalls", probes=ORDERS) as target:
        target.wait_for_line("ready")
        wait_for_probes(target.pid, ORDERS_PROBES)
        yield target


class Client:
    """Tallies a stream: events by (method, descriptor, kind), sums of values, texts in bytes."""

    def __init__(self, address: str, ends_in_order: bool = True) -> None:
        self._ends_in_order = ends_in_order
        self.events: Counter[tuple[str, str, int]] = Counter()
        self.sums: Counter[tuple[str, str, int, int]] = Counter()
        self.texts: Counter[tuple[str, str, int]] = Counter()
        self.nulls: Counter[tuple[str, str, int]] = Counter()
        self.exceptions: Counter[str] = Counter()
        self.threads: set[int] = set()
        self.lost = 0
        self.subscribed = threading.Event()
        self._address = address
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        assert self.subscribed.wait(30), "no schema came"

    def _run(self) -> None:
        with grpc.insecure_channel(self._address) as channel:
            service = collector_pb2_grpc.CollectorServiceStub(channel)
            stream = service.Subscribe(collector_pb2.SubscribeRequest())
            schema = {probe.id: probe for probe in next(stream).schema.probes}
            self.subscribed.set()
            try:
                for response in stream:
                    if response.WhichOneof("body") == "batch":
                        self._add(schema, response.batch)
                    elif response.WhichOneof("body") == "loss":
                        self.lost += response.loss.events
            except grpc.RpcError:
                if self._ends_in_order:
                    raise

    def _add(self, schema: dict[int, collector_pb2.Probe], batch: collector_pb2.EventBatch) -> None:
        values = iter(batch.values)
        text_end = 0
        for probe_id, thread in zip(batch.probe, batch.thread, strict=True):
            probe = schema[probe_id]
            key = (probe.method, probe.descriptor, probe.kind)
            self.events[key] += 1
            self.threads.add(thread)
            for index, value in enumerate(probe.values):
                word = next(values)
                if value.type != probe_pb2.VALUE_TYPE_STRING:
                    signed = word - (1 << 64) if word >= 1 << 63 else word
                    self.sums[(*key, index)] += signed
                elif word >> 32 == 0:
                    self.nulls[key] += 1
                else:
                    text = batch.text[text_end : text_end + (word & 0xFFFFFFFF)]
                    text_end += len(text)
                    self.texts[key] += len(text)
                    if probe.kind == probe_pb2.PROBE_KIND_THROW:
                        self.exceptions[text.decode()] += 1
        assert text_end == len(batch.text)
        assert next(values, None) is None

    def join(self) -> None:
        self._thread.join(30)
        assert not self._thread.is_alive(), "the stream did not end with the collector"


ENTRY = probe_pb2.PROBE_KIND_ENTRY
RETURN = probe_pb2.PROBE_KIND_RETURN
THROW = probe_pb2.PROBE_KIND_THROW


def assert_exact(client: Client, did: dict[str, int]) -> None:
    assert client.lost == 0
    assert did["place.entry"] == 104_729
    assert client.events == {
        ("<init>", "()V", ENTRY): 4,
        ("<init>", "()V", RETURN): 4,
        ("place", PLACE, ENTRY): did["place.entry"],
        ("place", PLACE, RETURN): did["place.return"],
        ("place", PLACE, THROW): did["place.throw"],
        ("place", PLACE_WITH_ITEM, ENTRY): did["place2.entry"],
        ("place", PLACE_WITH_ITEM, RETURN): did["place2.return"],
        ("place", PLACE_WITH_ITEM, THROW): did["place2.throw"],
        ("depth", "(S)I", ENTRY): did["depth.entry"],
        ("depth", "(S)I", RETURN): did["depth.entry"],
        ("label", "(ZBC)Ljava/lang/String;", ENTRY): did["label.entry"],
        ("label", "(ZBC)Ljava/lang/String;", RETURN): did["label.entry"],
        ("touch", "()V", ENTRY): did["touch.entry"],
        ("touch", "()V", RETURN): did["touch.entry"],
    }
    sums = client.sums
    assert sums["place", PLACE, ENTRY, 0] == did["place.entry.sum"]
    assert sums["place", PLACE, RETURN, 0] == did["place.return.sum"]
    assert sums["place", PLACE_WITH_ITEM, ENTRY, 0] == did["place2.entry.sum"]
    assert sums["place", PLACE_WITH_ITEM, RETURN, 0] == did["place2.true"]
    assert client.texts["place", PLACE_WITH_ITEM, ENTRY] == did["place2.text.bytes"]
    assert client.nulls["place", PLACE_WITH_ITEM, ENTRY] == did["place2.throw"]
    assert sums["depth", "(S)I", RETURN, 0] == did["depth.return.sum"]
    label = ("label", "(ZBC)Ljava/lang/String;", ENTRY)
    assert sums[(*label, 0)] == did["label.express"]
    assert sums[(*label, 1)] == did["label.zone.sum"]
    assert sums[(*label, 2)] == did["label.mark.sum"]
    assert client.nulls["label", "(ZBC)Ljava/lang/String;", RETURN] == did["label.null"]
    assert client.exceptions == {
        "java.lang.IllegalArgumentException": did["place.throw"],
        "java.lang.IllegalStateException": did["place2.throw"],
    }
    assert len(client.threads) == 4


@on_every_jdk
def test_every_call_arrives_exactly_once_with_its_values(prime_calls: Process) -> None:
    with attach(prime_calls.pid) as collector:
        client = Client(f"unix:///run/jprobe/{prime_calls.pid}.sock")
        did = run_calls(prime_calls)
        books = finish(collector)
        client.join()
    assert_exact(client, did)
    hits = f"{sum(client.events.values()):,}"
    assert f"{hits} hits = {hits} delivered + 0 lost" in books


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
        bpftrace.signal(signal.SIGINT)
        bpftrace.wait()
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


def test_a_tracer_that_is_not_ours_has_methods_woven_and_restored(targets: Path) -> None:
    with java(newest_jdk, "-cp", targets, "PrimeCalls", probes=ORDERS) as target:
        target.wait_for_line("ready")
        file = wait_for_probes(target.pid, ORDERS_PROBES)[0]["file"]
        script = f"usdt:{file}:PrimeCalls_Orders:touch__entry {{ @calls[tid] = count(); }}"
        with Process(["bpftrace", "-p", str(target.pid), "-e", script]) as bpftrace:
            wait_until(lambda: states(target)["armed"] == 1, "the one probe to be armed")
            did = run_calls(target)
            bpftrace.signal(signal.SIGINT)
            bpftrace.wait()
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
    """bpftrace's listing and perf's events need it; attaching does not."""
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
def test_whichever_way_the_collector_ends_the_jvm_is_as_before(
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
    """`jcollect observe -o json`, once it has subscribed."""
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
def test_a_database_runs_as_ever_with_all_its_methods_woven(jdk: Jdk, targets: Path) -> None:
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
        with java(jdk, "-cp", f"{targets}:{H2_JAR}", "H2Load", url, "200", "15") as load:
            load.wait_for_line("loading")
            wait_until(lambda: len(probes_of(server.pid)) > 2_000, "most of the database to be loaded")
            with attach(server.pid, "--duration", "4") as collector:
                assert not [p for p in probes_of(server.pid) if p["state"] == "failed"]
                assert collector.wait() == 0
            assert load.wait(60) == 0, load.err
            assert load.err == []
        hits = re.search(r": ([\d,]+) hits = ", collector.err[-1])
        assert hits, collector.err
        assert int(hits[1].replace(",", "")) > 10_000
        wait_until(lambda: set(states(server)) == {"dormant"}, "all probes to be dormant")
        assert server.err == []


def test_the_application_sees_nothing_of_the_agents_libraries() -> None:
    with zipfile.ZipFile(JAR) as jar:
        visible = [name for name in jar.namelist() if name.endswith(".class")]
        hidden = [name for name in jar.namelist() if re.match(r"inst/org/objectweb/asm/.*[^/]$", name)]
    assert sorted(visible) == ["io/jprobe/agent/AgentLoader.class", "io/jprobe/agent/Premain.class"]
    assert hidden
    assert all(name.endswith(".classdata") for name in hidden)
    with zipfile.ZipFile(JAR) as jar:
        for machine, number in (("x86_64", 62), ("aarch64", 183)):
            library = jar.read(f"inst/native/linux-{machine}/libjprobe.so")
            assert int.from_bytes(library[18:20], "little") == number


def test_there_are_two_generations_of_jdks_to_test_on() -> None:
    assert JDKS[0].version < JDKS[-1].version, f"only {JDKS[0]} was found; make test gets a second"


def test_jcollect_is_installed_as_a_command() -> None:
    assert re.match(r"jcollect, version \d+\.\d+\.\d+\n$", run(JCOLLECT, "--version").stdout)
