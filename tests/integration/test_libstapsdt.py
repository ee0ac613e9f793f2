"""libstapsdt.so for C programs and bindings, built against an installation, traced by other tools."""

from __future__ import annotations

import fcntl
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile

from conditions import require_bpf, wait_until
from java_target import ROOT, Process, end_bpftrace, run
from jcollect.layout.gate import GATE_SIZE
from jcollect.layout.stub_library import (
    SECTION_GATES,
    SECTION_MANIFEST,
    SECTION_STATES,
    STUB_LIBRARY_VERSION,
)
from jcollect.probes.stub_library import find_stub_mappings
from jcollect.procfs.maps import Mapping, read_maps
from jprobe.v1 import manifest_pb2, probe_pb2
from layout_headers import INCLUDE_LAYOUTS
from native_checks import STUB_PARTS
from processes import opened

SOURCES = Path(__file__).parent / "libstapsdt"
PREFIX = "/usr/local"

# Prime, so that no other count can be confused with it.
CALLS = 1009
AGAIN = 499


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns the path of DESTDIR/PREFIX."""
    root = tmp_path_factory.mktemp("install")
    make = ["make", "-C", str(ROOT), "install-stapsdt", f"DESTDIR={root}", f"PREFIX={PREFIX}"]
    subprocess.run(make, check=True, capture_output=True)
    return Path(f"{root}{PREFIX}")


@pytest.fixture(scope="module")
def build(installation: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Compiles a program of the folder libstapsdt as a user of the installation does."""
    root = str(installation).removesuffix(PREFIX)
    environment = os.environ | {
        "PKG_CONFIG_PATH": f"{installation}/lib/pkgconfig",
        "PKG_CONFIG_SYSROOT_DIR": root,
    }
    flags = subprocess.run(
        ["pkg-config", "--cflags", "--libs", "libstapsdt"],
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()
    folder = tmp_path_factory.mktemp("programs")

    def compile_one(name: str, sources: Path = SOURCES) -> Path:
        source = sources / f"{name}.c"
        warnings = ["-Wall", "-Wextra", "-Werror"]
        subprocess.run(["gcc", *warnings, "-o", folder / name, source, *flags], check=True)
        return folder / name

    return compile_one


@pytest.fixture
def start(installation: Path, tmp_path: Path) -> Iterator[Callable[..., Process]]:
    """Starts a program with the installed library and `tmp_path` as its TMPDIR."""
    environment = os.environ | {"LD_LIBRARY_PATH": f"{installation}/lib", "TMPDIR": str(tmp_path)}
    started = []

    def start_one(*command: str | Path) -> Process:
        started.append(Process(command, env=environment))
        return started[-1]

    yield start_one
    for process in started:
        process.end()


def ask(program: Process, line: str) -> str:
    """Sends a command and returns the program's answer."""
    program.send(line)
    return program.wait_for_line(".*done$").removesuffix("done").strip()


def start_parcels(build: Callable[..., Path], start: Callable[..., Process]) -> Process:
    """Starts the program that loads its provider before it reads a line."""
    program = start(build("parcels"))
    assert ask(program, "enabled") == "000"
    return program


def stub_mappings(program: Process) -> list[Mapping]:
    return find_stub_mappings(read_maps(opened(program.pid)))


@dataclass(frozen=True)
class Library:
    """A stub library of a process: its path for other processes, and its content."""

    mapping: Mapping
    file: str
    manifest: manifest_pb2.Manifest
    sections: dict[str, tuple[int, int]]


def libraries(program: Process) -> list[Library]:
    """Returns the libraries in the order in which they were loaded."""
    found = []
    for mapping in stub_mappings(program):
        file = f"/proc/{program.pid}/map_files/{mapping.start:x}-{mapping.end:x}"
        with open(file, "rb") as stream:
            elf = ELFFile(stream)
            sections = {part.name: (part["sh_offset"], part["sh_size"]) for part in elf.iter_sections()}
            data = elf.get_section_by_name(SECTION_MANIFEST).data()
        if not mapping.deleted:
            file = mapping.path
        elif open_files := [
            str(fd) for fd in Path(f"/proc/{program.pid}/fd").iterdir() if fd.stat().st_ino == mapping.inode
        ]:
            file = open_files[0]
        found.append(Library(mapping, file, manifest_pb2.Manifest.FromString(data), sections))
    return sorted(found, key=lambda library: library.manifest.generation)


def notes(file: str) -> list[tuple[str, str, list[str]]]:
    """Returns provider, probe and argument sizes, as readelf prints them."""
    text = run("readelf", "-n", file).stdout
    found = re.findall(r"Provider: (\S+)\s+Name: (\S+)\s+Location.*\s+Arguments: ?(.*)", text)
    return [(provider, name, re.findall(r"(\S+)@", places)) for provider, name, places in found]


def bpftrace(program: Process, script: str) -> Process:
    """Starts bpftrace and waits until its probes are attached: it reads the output of BEGIN after that."""
    tracer = Process(["bpftrace", "-p", str(program.pid), "-e", f'BEGIN {{ printf("begun\\n"); }} {script}'])
    try:
        tracer.wait_for_line("begun")
    except AssertionError:
        tracer.end()
        raise
    return tracer


def printed_by(tracer: Process) -> list[str]:
    end_bpftrace(tracer)
    return sorted(line for line in tracer.out if line and not re.match("Attaching|begun", line))


def bcc(program: Process, probe: str, *sizes: int) -> Process:
    tracer = Process([sys.executable, SOURCES / "bcc_words.py", str(program.pid), probe, *map(str, sizes)])
    try:
        tracer.wait_for_line("attached")
    except AssertionError:
        tracer.end()
        raise
    return tracer


def end_bcc(tracer: Process) -> list[tuple[int, ...]]:
    """Returns the words of all calls."""
    tracer.finish_input()
    assert tracer.wait() == 0, tracer.err
    calls = [line.split()[1:] for line in tracer.out if line.startswith("call")]
    return sorted(tuple(map(int, words)) for words in calls)


def test_an_installation_is_complete_and_can_be_removed(tmp_path: Path) -> None:
    where = [f"DESTDIR={tmp_path}", "PREFIX=/usr"]
    assert run("make", "-C", ROOT, "install-stapsdt", *where).returncode == 0
    files = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if not path.is_dir()}
    assert files == {
        "usr/include/libstapsdt.h",
        "usr/lib/libstapsdt.so",
        "usr/lib/libstapsdt.so.0",
        "usr/lib/libstapsdt.so.0.2.0",
        "usr/lib/pkgconfig/libstapsdt.pc",
    }
    library = tmp_path / "usr/lib/libstapsdt.so"
    assert "[libstapsdt.so.0]" in run("readelf", "-d", library).stdout
    assert {line.split()[-1] for line in run("nm", "-D", "--defined-only", library).stdout.splitlines()} == {
        "probeFire",
        "probeIsEnabled",
        "providerAddProbe",
        "providerDestroy",
        "providerInit",
        "providerLoad",
        "providerUnload",
        "providerUseMemfd",
    }
    assert run("make", "-C", ROOT, "uninstall-stapsdt", *where).returncode == 0
    assert not [path for path in tmp_path.rglob("*") if not path.is_dir()]


@pytest.mark.parametrize("memfd", [0, 1], ids=["file", "memfd"])
def test_a_program_built_for_the_original_library_is_found_and_leaves_no_files(
    build: Callable[..., Path], start: Callable[..., Process], tmp_path: Path, memfd: int
) -> None:
    program = start(build("orders"))
    assert ask(program, f"memfd {memfd}") == "1"
    assert ask(program, "load") == "0"
    (library,) = libraries(program)
    assert notes(library.file) == [
        ("orders", "placed", ["8", "8", "-8"]),
        ("orders", "narrow", ["-1", "1", "-2", "2", "-4", "4"]),
        ("orders", "empty", []),
    ]
    assert ask(program, "enabled") == "000"
    assert ask(program, "unload") == "0"
    assert stub_mappings(program) == []
    assert list(tmp_path.iterdir()) == []
    assert ask(program, "load") == "0"
    assert len(libraries(program)) == 1
    program.finish_input()
    assert program.wait() == 0
    assert list(tmp_path.iterdir()) == []


def test_the_manifest_says_what_the_probes_are(
    build: Callable[..., Path], start: Callable[..., Process]
) -> None:
    program = start_parcels(build, start)
    assert ask(program, "add") == "0"
    first, second = libraries(program)
    manifest = first.manifest
    assert (manifest.version, manifest.agent_version, manifest.generation) == (STUB_LIBRARY_VERSION, "", 1)
    assert Path(first.file).name == "1.so"
    assert [(method.class_name, method.method, method.method_descriptor) for method in manifest.methods] == [
        ("parcels", "sent", ""),
        ("parcels", "weighed", ""),
    ]
    assert [(slot.method, slot.kind) for slot in manifest.probes] == [
        (0, probe_pb2.PROBE_KIND_MARK),
        (1, probe_pb2.PROBE_KIND_MARK),
    ]
    sent = [(value.name, value.java_type, value.type) for value in manifest.probes[0].values]
    assert sent[0] == ("arg0", "uint64", probe_pb2.VALUE_TYPE_UNSIGNED)
    assert sent[7:] == [
        ("arg7", "int64", probe_pb2.VALUE_TYPE_LONG),
        ("arg8", "int32", probe_pb2.VALUE_TYPE_INT),
        ("arg9", "uint8", probe_pb2.VALUE_TYPE_UNSIGNED),
        ("arg10", "uint64", probe_pb2.VALUE_TYPE_UNSIGNED),
        ("arg11", "uint64", probe_pb2.VALUE_TYPE_UNSIGNED),
    ]
    assert [(value.java_type, value.type) for value in manifest.probes[1].values] == [
        ("float64", probe_pb2.VALUE_TYPE_DOUBLE),
        ("string", probe_pb2.VALUE_TYPE_STRING),
        ("float32", probe_pb2.VALUE_TYPE_FLOAT),
        ("string", probe_pb2.VALUE_TYPE_STRING),
    ]
    assert first.sections[SECTION_GATES][1] == 2 * GATE_SIZE
    with open(f"/proc/{program.pid}/mem", "rb") as memory:
        memory.seek(first.mapping.start + first.sections[SECTION_STATES][0])
        assert list(memory.read(2)) == [probe_pb2.PROBE_STATE_ARMED] * 2
    assert second.manifest.generation == 2
    assert [method.method for method in second.manifest.methods] == ["later"]


# A process with PID 1 in its PID namespace, and its child with PID 1 in another.
IN_A_NAMESPACE = ("unshare", "--pid", "--fork", "--kill-child")


@pytest.mark.parametrize("before", [(), IN_A_NAMESPACE], ids=["fork", "process 1"])
@pytest.mark.parametrize("how", ["exit", "unload", "destroy"])
def test_a_child_leaves_the_files_of_its_parent_alone(
    build: Callable[..., Path],
    start: Callable[..., Process],
    tmp_path: Path,
    before: tuple[str, ...],
    how: str,
) -> None:
    if before:
        require_bpf()
    program = start(*before, build("parents"))
    assert ask(program, "load") == "0"
    (directory,) = tmp_path.iterdir()
    assert [file.name for file in directory.iterdir()] == ["1.so"]
    # The answer: the child's PID in its own namespace, and its exit status.
    assert ask(program, f"{'nested' if before else 'fork'} {how}").split()[-1] == "0"
    assert [file.name for file in directory.iterdir()] == ["1.so"]
    assert [path.name for path in tmp_path.iterdir()] == [directory.name]
    if before:
        assert directory.name.startswith("jprobe-1-")
    program.finish_input()
    assert program.wait() == 0
    assert list(tmp_path.iterdir()) == []


def test_the_directory_of_a_living_namesake_is_kept(
    build: Callable[..., Path], start: Callable[..., Process], tmp_path: Path
) -> None:
    """The namesake is in another PID namespace; its directory is removed once it is killed."""
    require_bpf()
    first, second, third = (start(*IN_A_NAMESPACE, build("parents")) for _ in range(3))
    for program in (first, second):
        assert ask(program, "load") == "0"
    assert sorted(path.name for path in tmp_path.glob("*/*")) == ["1.so", "1.so"]
    both = set(tmp_path.glob("jprobe-1-*"))
    assert set(tmp_path.iterdir()) == both
    assert len(both) == 2
    first.end()
    assert set(tmp_path.iterdir()) == both
    # unshare's child is killed with it.
    wait_until(lambda: not all(is_locked(path) for path in both), "the first to exit")
    (living,) = (path for path in both if is_locked(path))
    assert ask(third, "load") == "0"
    (other,) = set(tmp_path.iterdir()) - {living}
    assert other not in both
    assert other.name.startswith("jprobe-1-")
    for program in (second, third):
        program.finish_input()
        assert program.wait() == 0
    assert list(tmp_path.iterdir()) == []


def is_locked(directory: Path) -> bool:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def test_errors_have_the_codes_of_the_original_library(
    build: Callable[..., Path], start: Callable[..., Process]
) -> None:
    program = start(build("errors"))
    assert program.wait() == 0
    said = {line.split(":")[0]: line.split()[len(line.split(":")[0].split()) :] for line in program.out}
    assert {what: (int(words[0]), int(words[1])) for what, words in said.items()} == {
        "unload first": (0, -1),
        "load": (0, -1),
        "load again": (0, -1),
        "handle": (1, -1),
        "list": (1, -1),
        "count": (1, -1),
        "unload": (0, -1),
        "unfireable": (1, -1),
        "second of a name": (0, 3),
        "13 arguments": (0, 3),
        "empty name": (0, 3),
        "fire nothing": (0, 3),
        "long name": (-1, 1),
        "no name": (-1, 1),
        "unload nothing": (0, 1),
        "closed by the program": (-1, 4),
    }


@pytest.mark.parametrize("memfd", [0, 1], ids=["file", "memfd"])
def test_bpftrace_and_the_program_count_the_same(
    build: Callable[..., Path], start: Callable[..., Process], memfd: int
) -> None:
    require_bpf()
    program = start(build("orders"))
    ask(program, f"memfd {memfd}")
    ask(program, "load")
    file = libraries(program)[0].file
    script = (
        f"usdt:{file}:orders:placed "
        "{ @calls = count(); @numbers = sum(arg0); @text[str(arg1)] = count(); @back = sum((int64)arg2); }"
        f"usdt:{file}:orders:narrow "
        "{ @low = (int8)arg0; @high = arg1; }"
        f"usdt:{file}:orders:empty {{ @empty = count(); }}"
    )
    assert ask(program, "fire 1") == ""
    with bpftrace(program, script) as tracer:
        assert ask(program, "enabled") == "111"
        ask(program, f"fire {CALLS}")
        seen = printed_by(tracer)
    total = CALLS * (CALLS + 1) // 2
    assert seen == sorted(
        [
            f"@calls: {CALLS}",
            f"@numbers: {total}",
            f"@back: -{total}",
            f"@text[item 0]: {CALLS // 3}",
            f"@text[item 1]: {CALLS // 3 + 1}",
            f"@text[item 2]: {CALLS // 3}",
            "@low: -2",
            "@high: 254",
            "@empty: 1",
        ]
    )
    wait_until(lambda: ask(program, "enabled") == "000", "semaphores to fall again")


def test_bcc_and_the_program_count_the_same(
    build: Callable[..., Path], start: Callable[..., Process]
) -> None:
    require_bpf()
    program = start(build("orders"))
    ask(program, "load")
    listed = run("tplist-bpfcc", "-p", program.pid).stdout
    assert {line.split()[-1] for line in listed.splitlines() if "jprobe-" in line} == {
        "orders:placed",
        "orders:narrow",
        "orders:empty",
    }
    with bcc(program, "orders:narrow", -1, 1, -2, 2, -4, 4) as tracer:
        ask(program, "fire 1")
        assert end_bcc(tracer) == [(-2, 254, -3, 65533, -4, 4294967292)]
    with bcc(program, "orders:placed", 8, 8, -8) as tracer:
        assert ask(program, "enabled") == "100"
        ask(program, f"fire {CALLS}")
        calls = end_bcc(tracer)
    assert [(number, back) for number, _, back in calls] == [(i, -i) for i in range(1, CALLS + 1)]


def test_twelve_arguments_floats_and_texts_arrive(
    build: Callable[..., Path], start: Callable[..., Process]
) -> None:
    require_bpf()
    program = start_parcels(build, start)
    # bpftrace 0.17 supports at most six arguments.
    with bcc(program, "parcels:sent", 8, 8, 8, 8, 8, 8, 8, -8, -4, 1, 8, 8) as tracer:
        ask(program, f"fire {CALLS}")
        calls = end_bcc(tracer)
    assert calls == [(1, 2, 3, 4, 5, 6, 7, -8, -9, 10, 11, i) for i in range(1, CALLS + 1)]
    script = (
        f"usdt:{libraries(program)[0].file}:parcels:weighed "
        '{ printf("weighed %lx %s %lx %s\\n", arg0, str(arg1), arg2, str(arg3)); }'
    )
    with bpftrace(program, script) as tracer:
        ask(program, "fire 1")
        tracer.wait_for_line("weighed 3ff8000000000000 odd c0100000 even$")


def test_a_probe_added_to_a_loaded_provider_is_found(
    build: Callable[..., Path], start: Callable[..., Process]
) -> None:
    require_bpf()
    program = start_parcels(build, start)
    script = "usdt:{}:parcels:{} {{ @{} = count(); }}"
    with bpftrace(program, script.format(libraries(program)[0].file, "sent", "sent")) as first:
        assert ask(program, "enabled") == "100"
        assert ask(program, "add") == "0"
        file = next(library.file for library in libraries(program) if "/2.so" in library.file)
        with bpftrace(program, script.format(file, "later", "later")) as second:
            assert ask(program, "enabled") == "101"
            ask(program, f"fire {CALLS}")
            assert printed_by(second) == ["@later: 1"]
        assert printed_by(first) == [f"@sent: {CALLS}"]


def test_a_provider_can_be_unloaded_under_a_tracer(
    build: Callable[..., Path], start: Callable[..., Process], tmp_path: Path
) -> None:
    require_bpf()
    program = start(build("orders"))
    ask(program, "load")
    script = f"usdt:{libraries(program)[0].file}:orders:placed {{ @calls = count(); }}"
    with bpftrace(program, script) as tracer:
        assert ask(program, "enabled") == "100"
        ask(program, f"fire {CALLS}")
        assert ask(program, "unload") == "0"
        assert ask(program, "enabled") == "000"
        assert stub_mappings(program) == []
        assert list(tmp_path.iterdir()) == []
        ask(program, f"fire {CALLS}")
        assert ask(program, "load") == "0"
        assert ask(program, "enabled") == "000"
        ask(program, f"fire {CALLS}")
        assert printed_by(tracer) == [f"@calls: {CALLS}"]
    assert ask(program, "enabled") == "000"


def test_a_provider_can_be_unloaded_while_threads_are_at_its_breakpoints(
    build: Callable[..., Path], start: Callable[..., Process]
) -> None:
    require_bpf()
    program = start(build("orders"))
    ask(program, "storm")
    for memfd in (0, 1) * 3:
        ask(program, f"memfd {memfd}")
        ask(program, "load")
        file = libraries(program)[0].file
        script = f'usdt:{file}:orders:placed /@fired == 0/ {{ @fired = 1; printf("fired\\n"); }}'
        with bpftrace(program, script) as tracer:
            tracer.wait_for_line("fired")
            assert ask(program, "unload") == "0"
            assert ask(program, "enabled") == "000"
    ask(program, "calm")
    program.finish_input()
    assert program.wait() == 0


def test_the_python_binding_of_pypi_is_traced(
    start: Callable[..., Process],
) -> None:
    require_bpf()
    program = start(sys.executable, SOURCES / "python_binding.py")
    program.wait_for_line("ready")
    file = libraries(program)[0].file
    script = (
        f"usdt:{file}:shop:sold {{ @calls = count(); @numbers = sum(arg1); @back = sum((int64)arg2);"
        ' if (arg1 == 7) { printf("%s\\n", str(arg0)); } }'
    )
    assert ask(program, "enabled") == "0"
    with bpftrace(program, script) as tracer:
        assert ask(program, "enabled") == "1"
        ask(program, str(CALLS))
        tracer.wait_for_line("item 7$")
        seen = printed_by(tracer)
    total = CALLS * (CALLS + 1) // 2
    assert seen == sorted([f"@calls: {CALLS}", f"@numbers: {total}", f"@back: -{total}", "item 7"])


def test_the_example_of_the_documentation_runs(
    build: Callable[..., Path], start: Callable[..., Process], tmp_path: Path
) -> None:
    require_bpf()
    (source,) = re.findall(r"```c\n(.*?)```", (ROOT / "docs/probes-in-c.md").read_text(), re.DOTALL)
    (tmp_path / "shop.c").write_text(source)
    program = start(build("shop", tmp_path))
    program.wait_for_line(f"PID {program.pid}$")
    script = f'usdt:{libraries(program)[0].file}:shop:sold {{ printf("%d %s\\n", arg0, str(arg1)); }}'
    with bpftrace(program, script) as tracer:
        tracer.wait_for_line(r"\d+ a teapot$")


# The tests in C: of the core, and of libstapsdt's use of it.
C_PROGRAMS = pytest.mark.parametrize("name", ["test_provider", "test_libstapsdt", "test_stub_directory"])


def c_program(folder: Path, name: str, *options: str) -> Path:
    sources = ROOT / "java-agent/src"
    warnings = ["-std=gnu11", "-Wall", "-Wextra", "-Werror", "-Wconversion", INCLUDE_LAYOUTS]
    files = [sources / f"test/c/{name}.c", *STUB_PARTS]
    program = folder / name
    subprocess.run(["gcc", "-g", *warnings, *options, "-o", program, *files, "-ldl", "-pthread"], check=True)
    return program


@C_PROGRAMS
@pytest.mark.parametrize(
    "options",
    [
        [],
        ["-fsanitize=address,undefined"],
        pytest.param(["-fsanitize=thread"], marks=pytest.mark.takes_long),
    ],
    ids=["plain", "asan", "tsan"],
)
def test_the_c_side_leaves_nothing_behind_and_has_no_races(
    tmp_path: Path, name: str, options: list[str]
) -> None:
    program = c_program(tmp_path, name, *options)
    parent = tmp_path / "stubs"
    parent.mkdir()
    result = run(program, parent, timeout=300)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


@pytest.mark.parametrize(
    "options", [[], ["-DWITHOUT_NOREPLACE", "-Wl,--wrap=syscall"]], ids=["plain", "without RENAME_NOREPLACE"]
)
def test_stub_directories_are_distinguished_if_every_process_has_pid_1(
    tmp_path: Path, options: list[str]
) -> None:
    require_bpf()
    program = c_program(tmp_path, "test_stub_directory", *options)
    parent = tmp_path / "stubs"
    parent.mkdir()
    for more in ([], ["namespaces"]):
        result = run(program, parent, *more, timeout=300)
        assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
        assert list(parent.iterdir()) == []


@pytest.mark.takes_long
@C_PROGRAMS
def test_the_c_side_is_clean_under_valgrind(tmp_path: Path, name: str) -> None:
    program = c_program(tmp_path, name, "-DVALGRIND")
    parent = tmp_path / "stubs"
    parent.mkdir()
    valgrind = ["valgrind", "--quiet", "--leak-check=full", "--error-exitcode=9", "--fair-sched=yes"]
    result = run(*valgrind, program, parent, timeout=300)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
