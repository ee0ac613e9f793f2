"""User-defined probes of a Java program, with jprobe-stapsdt.jar and no agent, under real tracers."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import signal
import struct
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from conditions import require_bpf, wait_until
from java_target import (
    BINDING,
    COMPILER,
    ROOT,
    Jdk,
    Process,
    attach,
    end_bpftrace,
    java,
    newest_jdk,
    on_newest_jdk,
    probes_of,
    run,
)
from jcollect.probes.live import not_retired, read_live
from jcollect.probes.scan import scan_traceable
from jcollect.sources.bpf.bpf_programs import BpfPrograms
from jcollect.sources.bpf.bpf_syscalls import link_uprobe_multi
from processes import opened

SOURCES = ROOT / "tests/targets/stapsdt"
EXAMPLE = ROOT / "docs/examples/OrderDesk.java"
NATIVE_LIBRARIES = {f"native/linux-{machine}/libjprobe.so" for machine in ("x86_64", "aarch64")}

# HandMade.CALLS: the numbers from 0 on.
CALLS = 10_007
THREADS = 4
SUM = CALLS * (CALLS - 1) // 2
CLOSES_A_ROUND = 29
CLOSE_ROUNDS = 4
# All forms of fire that do not allocate.
FORMS = [
    *("".join(kinds) for count in range(4) for kinds in itertools.product("ldS", repeat=count)),
    *("l" * count for count in range(4, 7)),
]


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns the folder of the compiled programs; their class path has only the binding."""
    folder = tmp_path_factory.mktemp("stapsdt")
    sources = [*sorted(SOURCES.glob("*.java")), EXAMPLE]
    options = ["--release", "11", "-Xlint:all,-options", "-Werror"]
    subprocess.run([COMPILER.javac, *options, "-cp", BINDING, "-d", folder, *sources], check=True)
    return folder


def start(jdk: Jdk, programs: Path, *arguments: str, **options: str) -> Process:
    return java(jdk, "-cp", f"{programs}:{BINDING}", *arguments, **options)


@pytest.fixture
def hand_made(jdk: Jdk, programs: Path) -> Iterator[Process]:
    require_bpf()
    with start(jdk, programs, "HandMade") as target:
        target.wait_for_line("ready")
        yield target


def ask(target: Process, command: str) -> None:
    target.send(command)
    target.wait_for_line(f"did {command}")


def stub_files(pid: int) -> list[str]:
    """Returns the files of the mapped stub libraries, in the order of their numbers."""
    maps = Path(f"/proc/{pid}/maps").read_text()
    files = set(re.findall(r"/\S+/jprobe-\d+-[0-9a-f]{16}/\d+\.so$", maps, re.MULTILINE))
    return sorted(files, key=lambda file: int(Path(file).stem))


# bpftrace attaches and detaches one probe after the other, each in 0.1 s or more on a busy machine.
TRACER_SECONDS = 120.0


def bpftrace(target: Process, script: str) -> Process:
    """Starts bpftrace and waits until it has attached to all probes."""
    tracer = Process(["bpftrace", "-p", str(target.pid), "-e", f'{script} BEGIN {{ printf("begun\\n"); }}'])
    tracer.wait_for_line("begun", TRACER_SECONDS)
    return tracer


def finish(tracer: Process) -> list[str]:
    end_bpftrace(tracer, TRACER_SECONDS)
    return tracer.out


def test_the_jar_has_the_api_and_the_native_libraries_and_nothing_else() -> None:
    with zipfile.ZipFile(BINDING) as jar:
        names = {name for name in jar.namelist() if not name.endswith("/")}
        manifest = jar.read("META-INF/MANIFEST.MF").decode()
    classes = {name for name in names if name.endswith(".class")}
    api = {name for name in classes if name.startswith("io/jprobe/stapsdt/")}
    public = ("Provider", "Probe", "ArgumentType", "StapsdtException")
    assert api == {f"io/jprobe/stapsdt/{name}.class" for name in public}
    assert len(classes) == 9
    assert names - classes == NATIVE_LIBRARIES | {"META-INF/MANIFEST.MF", "META-INF/LICENSE"}
    assert "Automatic-Module-Name: io.jprobe.stapsdt" in manifest


@on_newest_jdk
def test_bpftrace_sees_every_firing_of_every_thread(hand_made: Process) -> None:
    (file,) = stub_files(hand_made.pid)
    probe = f"usdt:{file}:orders:placed"
    script = f"{probe} {{ @sum = sum(arg0); @count[str(arg1)] = count(); }}"
    with bpftrace(hand_made, script) as tracer:
        ask(hand_made, "run")
        out = finish(tracer)
    texts = {line.split("]")[0][7:]: int(line.split(": ")[1]) for line in out if line.startswith("@count[")}
    assert texts == {f"order {i}": len(range(i, CALLS, 7)) for i in range(7)}
    assert f"@sum: {SUM}" in out


@on_newest_jdk
def test_each_form_of_fire_passes_its_values(hand_made: Process) -> None:
    (file,) = stub_files(hand_made.pid)
    script = ""
    for form in FORMS:
        formats = " ".join("%s" if kind == "S" else "%ld" for kind in form)
        values = "".join(f", str(arg{i})" if kind == "S" else f", arg{i}" for i, kind in enumerate(form))
        script += f'usdt:{file}:orders:form_{form} {{ printf("form_{form} {formats}\\n"{values}); }}\n'
    with bpftrace(hand_made, script) as tracer:
        ask(hand_made, "every")
        # At the end, bpftrace discards the events that it has not read yet from each CPU's buffer.
        with contextlib.suppress(AssertionError):
            wait_until(lambda: len(forms_of(tracer.out)) >= len(FORMS), "a line of each form")
        out = finish(tracer)
    assert forms_of(out) == sorted(map(form_line, FORMS))


def forms_of(lines: list[str]) -> list[str]:
    return sorted(line.strip() for line in lines if line.startswith("form_"))


def form_line(form: str) -> str:
    """Returns the values that HandMade.fireForms fires, with floating-point numbers as their bits."""
    values: list[object] = []
    for i, kind in enumerate(form):
        if kind == "l":
            values.append(-1_000_000_007 * (i + 1))
        elif kind == "d":
            values.append(struct.unpack("<q", struct.pack("<d", i + 0.1))[0])
        else:
            values.append(f"text {i}")
    return " ".join(map(str, [f"form_{form}", *values]))


@on_newest_jdk
def test_jcollect_sees_every_firing_of_every_thread(hand_made: Process) -> None:
    with jcollect_at(hand_made) as collector:
        ask(hand_made, "run")
        events = events_of(collector, "orders:placed")
    assert sorted(event["args"][0] for event in events) == list(range(CALLS))
    assert all(event["args"][1] == f"order {event['args'][0] % 7}" for event in events)
    of_thread: dict[int, set[int]] = {}
    for event in events:
        of_thread.setdefault(event["thread"], set()).add(event["args"][0] % THREADS)
    assert sorted(map(sorted, of_thread.values())) == [[i] for i in range(THREADS)]
    assert {event["kind"] for event in events} == {"mark"}


@on_newest_jdk
def test_values_are_narrowed_to_the_size_of_the_argument(hand_made: Process) -> None:
    with jcollect_at(hand_made) as collector:
        ask(hand_made, "narrow")
        (event,) = events_of(collector, "orders:narrow")
    integers = [255, 127, 255, -32768, 2**32 - 2, -(2**31), 2**64 - 3, -4]
    assert event["args"] == [*integers, 0.33333334, 1 / 3, "x"]


@on_newest_jdk
def test_strings_are_standard_utf8_and_truncated_between_characters(hand_made: Process) -> None:
    with jcollect_at(hand_made) as collector:
        ask(hand_made, "texts")
        events = events_of(collector, "orders:text")
    cut = "x" + 511 * "ß"
    texts = ["für Rīga", None, "", "😀", "a\0b", cut, "\ufffd"]
    assert [event["args"] for event in events] == [[text] for text in texts]
    assert [event.get("args_cut", []) for event in events] == [[0] if text == cut else [] for text in texts]


@on_newest_jdk
def test_a_running_jcollect_finds_what_is_added(hand_made: Process) -> None:
    with jcollect_at(hand_made) as collector:
        ask(hand_made, "add")
        wait_until(lambda: listens(hand_made.pid, "later"), "jcollect at the new probe", 5)
        ask(hand_made, "later")
        events = events_of(collector, "orders:later")
    assert [event["args"] for event in events] == [[i] for i in range(CALLS)]


def jcollect_at(target: Process) -> Process:
    return attach(target.pid, "-o", "json")


def events_of(collector: Process, probe: str) -> list[dict[str, Any]]:
    """Stops a collector; returns the events of that probe that it printed. Fails if it lost any."""
    collector.signal(signal.SIGINT)
    assert collector.wait() == 0, collector.err
    assert "+ 0 lost" in collector.err[-1]
    events = [json.loads(line) for line in collector.out]
    return [event for event in events if event["probe"] == probe]


def listens(pid: int, name: str) -> bool:
    return any(probe["name"] == name and probe["semaphore_count"] for probe in probes_of(pid))


@on_newest_jdk
def test_a_probe_added_after_the_load_is_found_and_traced(hand_made: Process) -> None:
    ask(hand_made, "add")
    _, file = stub_files(hand_made.pid)
    listing = run("tplist-bpfcc", "-p", hand_made.pid, timeout=60).stdout
    assert re.search(rf"{file} orders:later$", listing, re.MULTILINE)
    with bpftrace(hand_made, f"usdt:{file}:orders:later {{ @sum = sum(arg0); @count = count(); }}") as tracer:
        ask(hand_made, "later")
        out = finish(tracer)
    assert {f"@sum: {SUM}", f"@count: {CALLS}"} <= set(out)


@on_newest_jdk
def test_closing_leaves_no_mapping_and_no_file(hand_made: Process) -> None:
    (file,) = stub_files(hand_made.pid)
    with bpftrace(hand_made, f"usdt:{file}:orders:placed {{ @count = count(); }}") as tracer:
        ask(hand_made, "run")
        hand_made.send("close")
        hand_made.wait_for_line("the provider orders is closed")
        assert f"@count: {CALLS}" in finish(tracer)
    assert stub_files(hand_made.pid) == []
    assert not Path(file).exists()
    hand_made.send("exit")
    assert hand_made.wait() == 0, hand_made.err
    assert not Path(file).parent.exists()


@on_newest_jdk
def test_the_end_of_the_program_leaves_no_file(hand_made: Process) -> None:
    (file,) = stub_files(hand_made.pid)
    assert Path(file).exists()
    hand_made.send("exit")
    assert hand_made.wait() == 0, hand_made.err
    assert not Path(file).parent.exists()
    assert hand_made.err == []


@on_newest_jdk
def test_agent_and_binding_work_side_by_side(jdk: Jdk, programs: Path) -> None:
    require_bpf()
    with start(jdk, programs, "HandMade", probes="HandMade#fire") as target:
        target.wait_for_line("ready")
        wait_until(lambda: len(stub_files(target.pid)) == 3, "the libraries of both")
        files = {file: Path(file).read_bytes() for file in stub_files(target.pid)}
        (hand_made,) = (file for file, image in files.items() if b"orders\0placed\0" in image)
        (woven,) = (file for file, image in files.items() if b"HandMade\0fire__entry\0" in image)
        assert Path(hand_made).parent != Path(woven).parent
        script = (
            f"usdt:{hand_made}:orders:placed {{ @placed = count(); }}"
            f"usdt:{woven}:HandMade:fire__entry {{ @entered = count(); }}"
        )
        with bpftrace(target, script) as tracer:
            wait_until(
                lambda: any(
                    probe["state"] == "armed" and probe["name"] == "fire__entry"
                    for probe in probes_of(target.pid)
                ),
                "the agent's probe to be armed",
            )
            ask(target, "run")
            out = finish(tracer)
    assert {f"@placed: {CALLS}", "@entered: 4"} <= set(out)


@pytest.mark.takes_long
@on_newest_jdk
def test_closing_during_firings_under_a_tracer_causes_an_exception_and_no_crash(
    jdk: Jdk, programs: Path
) -> None:
    require_bpf()
    bpf = BpfPrograms(capacity=1, ring_pages=1)
    try:
        program = bpf.load_empty_for_uprobe_multi()
        with start(jdk, programs, "Closes") as target:
            target.wait_for_line("ready")
            for attach_point in itertools.islice(itertools.cycle([0, 1]), CLOSE_ROUNDS):
                target.send(f"open {CLOSES_A_ROUND}")
                target.wait_for_line("open")
                with link_to_all(program, target.pid, attach_point):
                    target.send("close")
                    _, refused = target.wait_for_line("closed").split()
            assert int(refused) >= CLOSE_ROUNDS * CLOSES_A_ROUND
            target.send("exit")
            assert target.wait() == 0, target.err
    finally:
        bpf.close()


@contextlib.contextmanager
def link_to_all(program: int, pid: int, attach_point: int) -> Iterator[None]:
    """Attaches to the stubs of all open providers, at their first byte or after it."""
    probes = not_retired(scan_traceable(opened(pid)).probes(()))
    assert len(probes) == CLOSES_A_ROUND
    links = [
        link_uprobe_multi(
            program, probe.file, [probe.site.location + attach_point], [probe.site.semaphore], [0], pid
        )
        for probe in probes
    ]
    try:
        assert all(live.semaphore_count == 1 for live in read_live(probes))
        yield
    finally:
        for link in links:
            os.close(link)


@pytest.mark.skipif(newest_jdk.version < 24, reason="JEP 472 came with JDK 24")
def test_denied_native_access_is_an_exception_that_names_the_fix(programs: Path) -> None:
    denied = run(
        newest_jdk.java,
        "--illegal-native-access=deny",
        "-cp",
        f"{programs}:{BINDING}",
        "HandMade",
        timeout=60,
    )
    assert denied.returncode == 1
    assert (
        "io.jprobe.stapsdt.StapsdtException: the JVM denies native access to jprobe; "
        "add --enable-native-access=ALL-UNNAMED" in denied.stderr
    )


@on_newest_jdk
def test_the_example_of_the_documentation_runs(jdk: Jdk, programs: Path) -> None:
    require_bpf()
    with start(jdk, programs, "OrderDesk", "1") as desk:
        desk.wait_for_line(f"PID {desk.pid}")
        (file,) = stub_files(desk.pid)
        script = f'usdt:{file}:orders:refused {{ printf("refused %d %s\\n", arg0, str(arg1)); }}'
        with bpftrace(desk, script) as tracer:
            assert re.match(r"refused \d+0 an amount of 0.0$", tracer.wait_for_line("refused"))
            finish(tracer)
