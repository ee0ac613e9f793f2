"""With a dormant agent, a program starts in the same JVM state as without, in any environment."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from conditions import require_bpf, wait_until
from java_target import (
    JAR,
    JCOLLECT,
    JDKS,
    ORDERS,
    ORDERS_PROBES,
    ROOT,
    Jdk,
    Process,
    java,
    newest_jdk,
    on_every_jdk,
    run,
    wait_for_probes,
)
from layout_headers import INCLUDE_LAYOUTS
from native_checks import NATIVE_PARTS
from prime_calls import leftovers
from second_agent import agent_jar

# Settings that a program may choose before it first uses the feature, and features whose early start is known
# to harm programs.
APPLICATIONS_OWN = (
    "java.util.logging.",
    "sun.util.logging.",
    "org.slf4j.",
    "org.apache.",
    "javax.management.",
    "java.lang.management.",
    "sun.management.",
    "java.nio.file.",
    "sun.nio.fs.",
    "java.security.",
    "sun.security.",
    "javax.crypto.",
    "java.net.InetAddress",
    "java.util.ServiceLoader",
    "java.util.concurrent.ForkJoinPool",
    "java.util.Timer",
    "java.util.Locale",
    "sun.util.locale.",
    "java.text.",
    "java.time.",
)
# Interfaces that load because a queue and a class loader implement or mention them.
BY_NAME_ALONE = {"java.util.concurrent.ForkJoinPool$ManagedBlocker"}

SECURITY_MANAGER_UNTIL = 24


@pytest.fixture(scope="module")
def idle_agent(targets: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return agent_jar("IdleAgent", targets, tmp_path_factory.mktemp("agent"))


def ended(target: Process) -> list[str]:
    """Stops a program by closing its input; returns its output."""
    target.finish_input()
    assert target.wait() == 0, target.err
    return target.out


def loaded(log: Path) -> set[str]:
    """Returns the class names of a class+load log, and the stems of generated ones."""
    names = re.findall(r"\] (\S+) source:", log.read_text())
    return {re.sub(r"(\$\$Lambda|/0x|LambdaForm\$).*", r"\1", name) for name in names}


@on_every_jdk
def test_the_program_starts_in_the_same_jvm_state_as_without_the_agent(
    jdk: Jdk, targets: Path, idle_agent: Path, tmp_path: Path
) -> None:
    logs = {who: tmp_path / who for who in ("idle", "ours")}
    said = {}
    for who, agent in (
        ("idle", {"jvm": [f"-javaagent:{idle_agent}"]}),
        ("ours", {"probes": "AsStarted#*", "options": f"dir={tmp_path}"}),
    ):
        log = [f"-Xlog:class+load:file={logs[who]}", *agent.pop("jvm", [])]
        with java(jdk, "-cp", targets, "AsStarted", jvm=log, **agent) as target:
            target.wait_for_line("ready")
            if who == "ours":
                # By then a dormant agent has done everything that it ever does.
                wait_until(lambda: list(tmp_path.glob("jprobe-*/1.so")), "the probes")
            said[who] = ended(target)
            assert target.err == []
    ours = [line for line in said["ours"] if line != "daemon thread jprobe-watcher"]
    assert len(ours) == len(said["ours"]) - 1
    assert ours == said["idle"]
    assert next(line for line in ours if line.startswith("provider: ")) == "provider: SunJCE"
    because_of_us = loaded(logs["ours"]) - loaded(logs["idle"])
    assert "io.jprobe.stub.StubLibrary" in because_of_us
    assert {name for name in because_of_us - BY_NAME_ALONE if name.startswith(APPLICATIONS_OWN)} == set()


# Directories of the JVM's files and of the agent's: each is a mount in the program's own mount namespace.
PLACES = ("/var/tmp", "/dev/shm", str(Path.home()))


def mounted(options: str, *folders: str | Path) -> list[str]:
    """Returns the start of a command that runs in a mount namespace with empty file systems at these
    paths.
    """
    script = "".join(f"mount -t tmpfs -o {options} none {folder} && " for folder in folders)
    return ["unshare", "-m", "sh", "-c", script + 'exec "$@"', "sh"]


def fill(file: Path) -> None:
    """Fills the file system."""
    with open(file, "wb", buffering=0) as ballast, contextlib.suppress(OSError):
        while True:
            ballast.write(bytes(4096))


def without_memfd(number: int) -> list[str]:
    return [sys.executable, str(ROOT / "tests/no_memfd.py"), str(number)]


def untraced(before: list[str], *arguments: str | Path, **options: Any) -> str:
    """Runs the program to its end, after these words. Returns the agent's only line. Checks that no files are
    left.
    """
    with java(newest_jdk, *arguments, "PrimeCalls", before=before, **options) as target:
        target.wait_for_line("ready")
        wait_until(lambda: leftovers(target.pid) == [], "nothing to be left")
        target.send("exit")
        assert target.wait() == 0
    assert target.out == ["ready"]
    (line,) = target.err
    return line


@pytest.mark.parametrize("number", [errno.EPERM, errno.ENOSYS], ids=errno.errorcode.get)
def test_without_a_directory_and_without_memfd_one_line_says_why(number: int, targets: Path) -> None:
    line = untraced(without_memfd(number), "-cp", targets, probes=ORDERS, options="dir=/nowhere")
    assert line == (
        "jprobe: cannot create a stub directory in /nowhere: No such file or directory; "
        f"and in memory: cannot create a memfd: {os.strerror(number)}; the program runs untraced"
    )


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ("noexec", "cannot map the stub library: .*/0.so: failed to map segment from shared object"),
        ("size=4k", "cannot write a stub library: No space left on device"),
    ],
)
def test_without_a_usable_directory_and_without_memfd_one_line_says_why(
    options: str, reason: str, shared_targets: Path, tmp_path: Path
) -> None:
    require_bpf()
    folder = Path("/mnt")
    before = [*mounted(options, folder), *without_memfd(errno.EPERM)]
    line = untraced(before, "-cp", shared_targets, probes=ORDERS, options=f"dir={folder}")
    assert re.fullmatch(
        f"jprobe: {reason}; and in memory: cannot create a memfd: Operation not permitted; "
        "the program runs untraced",
        line,
    )


@pytest.mark.parametrize(
    ("options", "reason"), [("ro", "Read-only file system"), ("noexec", "failed to map segment")]
)
def test_where_no_library_can_be_loaded_from_one_line_says_why(
    options: str, reason: str, targets: Path, tmp_path: Path
) -> None:
    require_bpf()
    folder = tmp_path / "place"
    folder.mkdir()
    jvm = [f"-Djava.io.tmpdir={folder}"]
    before = mounted(options, folder, *PLACES)
    line = untraced(before, "-cp", targets, probes=ORDERS, jvm=jvm)
    assert line.startswith("jprobe: cannot load the native library from any directory: ")
    assert line.count(reason) == len((folder, *PLACES))
    assert line.endswith("; the program runs untraced")


def test_a_library_that_the_machine_cannot_load_causes_one_line(targets: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.jar"
    with zipfile.ZipFile(JAR) as ours, zipfile.ZipFile(other, "w") as theirs:
        others = "aarch64" if os.uname().machine == "x86_64" else "x86_64"
        for entry in ours.infolist():
            foreign = entry.filename.endswith("/libjprobe.so")
            theirs.writestr(
                entry, ours.read(f"inst/native/linux-{others}/libjprobe.so" if foreign else entry)
            )
    folder = tmp_path / "place"
    folder.mkdir()
    agent = [f"-javaagent:{other}=probes={ORDERS},dir={folder}"]
    line = untraced([], "-cp", targets, jvm=agent)
    assert list(folder.iterdir()) == []
    assert line.startswith("jprobe: cannot load the native library from any directory: ")
    assert line.endswith("; the program runs untraced")


@pytest.mark.parametrize("jdk", [jdk for jdk in JDKS if jdk.version < SECURITY_MANAGER_UNTIL], ids=str)
def test_under_a_security_manager_one_line_says_why(jdk: Jdk, targets: Path) -> None:
    with java(jdk, "-cp", targets, "PrimeCalls", probes=ORDERS, jvm=["-Djava.security.manager"]) as target:
        target.wait_for_line("ready")
        target.send("exit")
        assert target.wait() == 0
    assert target.out == ["ready"]
    (line,) = [line for line in target.err if line.startswith("jprobe: ")]
    assert line.endswith("; the program runs untraced")


def test_in_a_read_only_directory_the_probes_are_in_memory(targets: Path) -> None:
    require_bpf()
    before = mounted("ro", "/mnt")
    with java(
        newest_jdk, "-cp", targets, "PrimeCalls", probes=ORDERS, options="dir=/mnt,control=on", before=before
    ) as target:
        target.wait_for_line("ready")
        probes = wait_for_probes(target.pid, ORDERS_PROBES)
        assert "/memfd:" in os.readlink(probes[0]["file"])
        target.send("exit")
        assert target.wait() == 0
    assert target.err == [
        "jprobe: cannot create a stub directory in /mnt: Read-only file system; "
        "stub libraries are kept in memory, and the agent cannot be commanded"
    ]


def test_when_the_directory_has_filled_up_later_probes_are_in_memory(targets: Path) -> None:
    require_bpf()
    before = mounted("size=1m", "/mnt")
    options = {"probes": ORDERS, "options": "dir=/mnt,control=on"}
    with java(newest_jdk, "-cp", targets, "PrimeCalls", before=before, **options) as target:
        target.wait_for_line("ready")
        wait_for_probes(target.pid, ORDERS_PROBES)
        folder = Path(f"/proc/{target.pid}/root/mnt")
        fill(folder / "ballast")
        selected = run(JCOLLECT, "select", target.pid, "PrimeCalls#count")
        assert selected.returncode == 0, selected
        files = {probe["file"] for probe in wait_for_probes(target.pid, ORDERS_PROBES + 3)}
        assert [file for file in files if os.path.islink(file) and "/memfd:" in os.readlink(file)]
        assert sorted(file.name for file in folder.glob("jprobe-*/*")) == ["0.so", "1.so", "control"]
        target.send("exit")
        assert target.wait() == 0
    assert target.err == []


def test_the_native_library_loads_with_every_c_library(tmp_path: Path) -> None:
    for machine in ("x86_64", "aarch64"):
        library = ROOT / f"java-agent/build/native/linux-{machine}/libjprobe.so"
        assert "(NEEDED)" not in run("readelf", "-d", library).stdout
        assert "GLIBC" not in run("readelf", "--dyn-syms", "-W", library).stdout


def test_the_c_side_runs_on_musl(tmp_path: Path) -> None:
    sources = ROOT / "java-agent/src"
    loader = tmp_path / "load.c"
    loader.write_text(
        "#include <dlfcn.h>\n#include <stdio.h>\n"
        "int main(int n, char **words) { return !dlopen(words[1], RTLD_NOW) && puts(dlerror()); }\n"
    )
    for name, files in (("native", [sources / "test/c/test_native.c", *NATIVE_PARTS]), ("load", [loader])):
        subprocess.run(["musl-gcc", "-std=gnu11", INCLUDE_LAYOUTS, "-o", tmp_path / name, *files], check=True)
    parent = tmp_path / "stubs"
    parent.mkdir()
    library = ROOT / f"java-agent/build/native/linux-{os.uname().machine}/libjprobe.so"
    for program, argument in (("native", parent), ("load", library)):
        result = run(tmp_path / program, argument)
        assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
