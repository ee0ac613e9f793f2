"""The processes of the host that can be traced, with real JVMs."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from collector_fixtures import Bench

from conditions import wait_until
from java_target import COMPILER, JDKS, NOBODY, ORDERS, Jdk, Process, as_user, java, newest_jdk, on_every_jdk
from jcollect.probes.host import Host, HostProcess
from stub_image import LONG, StubImage, mark, own_image

PRIVATE_TMP = 'mount -t tmpfs none /tmp && exec "$@"'
OWN_PIDS = ("unshare", "-m", "-p", "-f", "--mount-proc")
SECONDS = 1.0  # Maximum time until a JVM is found by two scans per second.


@pytest.fixture
def host() -> Iterator[Host]:
    host = Host()
    host.scan()
    yield host
    host.close()


def descendants(pid: int) -> set[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return {pid}.union(*(descendants(int(child)) for child in children))


def found_under(host: Host, pid: int) -> HostProcess | None:
    """Returns the only process that was found, of a child process and its descendants."""
    family = descendants(pid)
    found = [process for process in host.scan() if process.pid in family]
    assert len(found) < 2, found
    return found[0] if found else None


def wait_for(host: Host, pid: int, wanted: Callable[[HostProcess], bool]) -> HostProcess:
    def scan() -> HostProcess | None:
        found = found_under(host, pid)
        return found if found and wanted(found) else None

    process: HostProcess = wait_until(scan, "the process to be found")
    return process


def version_of(jdk: Jdk) -> str:
    release = (jdk.home / "release").read_text()
    return release.partition('JAVA_VERSION="')[2].partition('"')[0]


def stub_free(process: HostProcess) -> bool:
    return process.is_jvm and not process.has_stubs


LAUNCHES: dict[str, tuple[Sequence[str], str]] = {
    "a class": (("-cp", "{targets}", "PrimeCalls"), "PrimeCalls"),
    "a jar": (("-jar", "{targets}/calls.jar", "one", "two"), "{targets}/calls.jar"),
    "options with arguments": (
        ("--add-opens", "java.base/java.lang=ALL-UNNAMED", "-Xmx64m", "--class-path", "{targets}",
         "--add-modules", "java.sql", "PrimeCalls", "-jar", "x"),
        "PrimeCalls",
    ),
    "an argument file": (("@{targets}/arguments", "PrimeCalls"), "PrimeCalls"),
    "an argument file with all": (("@{targets}/all", "more"), "PrimeCalls"),
    "a module": (
        ("-p", "{targets}/module", "-m", "calls/prime.Main"),
        "calls/prime.Main",
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def programs(shared_targets: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns a folder with the programs, one of them also as a jar and as a module, and argument files."""
    home = COMPILER.home
    jar = shared_targets / "calls.jar"
    subprocess.run(
        [home / "bin/jar", "-c", "-f", jar, "-e", "PrimeCalls", "-C", shared_targets, "."], check=True
    )
    sources = tmp_path_factory.mktemp("module")
    (sources / "module-info.java").write_text("module calls {}")
    (sources / "Main.java").write_text(
        "package prime; public class Main { public static void main(String[] a) throws Exception {"
        ' System.out.println("ready"); System.in.read(); } }'
    )
    subprocess.run(
        [home / "bin/javac", "--release", "11", "-d", shared_targets / "module", *sources.glob("*.java")],
        check=True,
    )
    (shared_targets / "arguments").write_text(f'# where\n-cp\n"{shared_targets}"\n')
    (shared_targets / "all").write_text(
        f"-cp '{shared_targets.parent}\\\n  /{shared_targets.name}'\n-Xmx64m PrimeCalls"
    )
    subprocess.run(["chmod", "-R", "a+rX", shared_targets], check=True)
    return shared_targets


# Without perf data the command line decides, which does not depend on the JDK.
JDKS_AND_PERF_DATA = [*((jdk, True) for jdk in JDKS), (newest_jdk, False)]
IDS = [f"{jdk}-{'perf-data' if perf_data else 'no-perf-data'}" for jdk, perf_data in JDKS_AND_PERF_DATA]


@pytest.mark.parametrize(("jdk", "perf_data"), JDKS_AND_PERF_DATA, ids=IDS)
@pytest.mark.parametrize("launch", LAUNCHES)
def test_main_class_and_jdk_however_it_was_started(
    host: Host, jdk: Jdk, programs: Path, launch: str, perf_data: bool
) -> None:
    words, name = LAUNCHES[launch]
    flag = [] if perf_data else ["-XX:-UsePerfData"]
    command = [jdk.java, *flag, *(word.format(targets=programs) for word in words)]
    with Process(command, cwd="/") as target:
        target.wait_for_line("ready")
        found = wait_for(host, target.pid, lambda process: True)
        start = int(Path(f"/proc/{target.pid}/stat").read_text().rpartition(")")[2].split()[19])
        assert found == HostProcess(
            target.pid, start, os.geteuid(), True, False, version_of(jdk), name.format(targets=programs)
        )
    assert target.pid not in {process.pid for process in host.scan()}


PLACES = {
    "another user": NOBODY,
    "other PIDs and mounts": (*OWN_PIDS, "sh", "-c", PRIVATE_TMP, "sh"),
    "other PIDs, the same /tmp": OWN_PIDS,
    "a container without root": (
        *NOBODY, "unshare", "-U", "-r", *OWN_PIDS[1:], "sh", "-c", PRIVATE_TMP, "sh",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("jdk", "perf_data"), JDKS_AND_PERF_DATA, ids=IDS)
@pytest.mark.parametrize("place", PLACES)
def test_jvms_of_other_users_and_namespaces(
    host: Host, jdk: Jdk, shared_targets: Path, place: str, perf_data: bool
) -> None:
    flag = [] if perf_data else ["-XX:-UsePerfData"]
    with Process([*PLACES[place], jdk.java, *flag, "-cp", shared_targets, "PrimeCalls"], cwd="/") as target:
        target.wait_for_line("ready")
        found = wait_for(host, target.pid, stub_free)
        assert (found.name, found.jdk) == ("PrimeCalls", version_of(jdk))
        assert found.uid == (65534 if "setpriv" in PLACES[place] else 0)
        target.send("exit")
        target.wait()


def test_two_containers_that_share_tmp_are_not_mixed_up(host: Host, programs: Path) -> None:
    """Both JVMs are PID 1 of their namespace, and so have hsperfdata files of the same name."""
    wrapped = [*OWN_PIDS, newest_jdk.java]
    with (
        Process([*wrapped, "-cp", programs, "PrimeCalls"], cwd="/") as one,
        Process([*wrapped, "-p", f"{programs}/module", "-m", "calls/prime.Main"], cwd="/") as other,
    ):
        one.wait_for_line("ready")
        other.wait_for_line("ready")
        assert wait_for(host, one.pid, stub_free).name == "PrimeCalls"
        assert wait_for(host, other.pid, stub_free).name == "calls/prime.Main"
        for target in (one, other):
            target.send("exit")
            target.wait()


def test_a_jvm_that_starts_is_seen_within_a_second(host: Host, targets: Path) -> None:
    with java(newest_jdk, "-cp", targets, "PrimeCalls") as target:
        begun = time.monotonic()
        while not (found := found_under(host, target.pid)):
            time.sleep(0.5)
            assert time.monotonic() - begun < 5 * SECONDS
        target.wait_for_line("ready")
        assert wait_for(host, target.pid, stub_free).jdk == version_of(newest_jdk)
        assert found.is_jvm


@pytest.mark.takes_long
def test_a_shell_that_becomes_a_jvm_long_after_its_start(host: Host, targets: Path) -> None:
    command = ["sh", "-c", 'read go; exec "$@"', "sh", newest_jdk.java, "-cp", targets, "PrimeCalls"]
    with Process(command) as target:
        end = time.monotonic() + 6.0
        while time.monotonic() < end:
            assert found_under(host, target.pid) is None
            time.sleep(0.5)
        target.send("go")
        begun = time.monotonic()
        target.wait_for_line("ready")
        found = wait_for(host, target.pid, stub_free)
        assert found.name == "PrimeCalls"
        assert time.monotonic() - begun < 5 * SECONDS


@on_every_jdk
def test_a_scan_finds_stub_libraries_once_they_exist(host: Host, jdk: Jdk, targets: Path) -> None:
    with java(jdk, "-cp", targets, "PrimeCalls", probes=ORDERS) as target:
        target.wait_for_line("ready")
        found = wait_for(host, target.pid, lambda process: process.has_stubs)
        assert (found.is_jvm, found.name) == (True, "PrimeCalls")


def test_other_programs_are_found_by_their_stub_libraries(host: Host, bench: Bench) -> None:
    target = bench.bare_target()
    assert found_under(host, target.pid) is None
    target.load(own_image(mark("work", "done", LONG)), "=n")
    found = wait_for(host, target.pid, lambda process: process.has_stubs)
    assert (found.is_jvm, found.jdk, found.name, found.uid) == (False, "", "target", os.geteuid())
    target.unload(0)
    # Nothing reveals that a file was unmapped and another of equal size mapped; the next change of size does.
    target.map(target.load(StubImage([]), name="other.so"))
    wait_until(lambda: found_under(host, target.pid) is None, "the process to be left out")


def test_unreadable_processes_are_skipped(targets: Path, tmp_path: Path) -> None:
    """An ordinary user sees only its own processes."""
    script = (
        "from jcollect.probes.host import Host\n"
        "for process in Host().scan(): print(process.pid, process.name)"
    )
    reader = as_user("12345", "12345")
    may_read = ("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search")
    with java(newest_jdk, "-cp", targets, "PrimeCalls") as target:
        target.wait_for_line("ready")
        python = sys.executable
        done = subprocess.run(
            [*reader, *may_read, python, "-c", script], capture_output=True, text=True, check=False, cwd="/"
        )
        assert done.returncode == 0, done
        assert str(target.pid) not in [line.split()[0] for line in done.stdout.splitlines()]


def test_a_repeated_scan_uses_almost_no_cpu(host: Host) -> None:
    sleepers = [subprocess.Popen(["sleep", "1000"]) for _ in range(100)]
    try:
        end = time.monotonic() + 6.0
        while time.monotonic() < end:
            host.scan()
            time.sleep(0.25)
        used = []
        for _ in range(20):
            begun = time.process_time()
            host.scan()
            used.append(time.process_time() - begun)
        # With two scans per second this is 0.2% of a core. The best time counts, because processes of other
        # tests come and go.
        assert min(used) < 0.001
    finally:
        for sleeper in sleepers:
            sleeper.kill()
            sleeper.wait()
