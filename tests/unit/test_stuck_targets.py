"""Commands end, whatever part of a process a file system blocks, and so do the processes of jcollect."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from conditions import wait_until
from jcollect.probes.host import Host, HostProcess
from stub_image import LONG, StubImage, mark, own_image
from stuck_fs import stuck_fs

JCOLLECT = Path(sys.executable).parent / "jcollect"
# Maximum time for one user's processes in a command, doubled for a busy machine.
SECONDS = 60.0

# A process that looks like a JVM with probes. One of these is in the file system that blocks: the "release"
# of its JDK, the page of the probes' states, or its command line.
TARGET = """
import ctypes, mmap, os, signal, struct, sys
held, folder, library, states = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
what = sys.argv[5]
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t] + [ctypes.c_int] * 3 + [ctypes.c_long]
libc.prctl.argtypes = [ctypes.c_int] + [ctypes.c_ulong] * 4
def map_file(path, size, address=None):
    flags = mmap.MAP_PRIVATE | (0x10 if address else 0)  # MAP_FIXED
    return libc.mmap(address, size, mmap.PROT_READ, flags, os.open(path, os.O_RDONLY), 0)
map_file(folder + "/jdk/lib/server/libjvm.so", 4096)
size = os.path.getsize(library)
address = map_file(library, size)
if what == "memory":
    map_file(held + "/file", 4096, address + states // 4096 * 4096)
if what == "cmdline":
    page = map_file(held + "/file", 4096)
    # struct prctl_mm_map, PR_SET_MM, PR_SET_MM_MAP
    fields = open("/proc/self/stat").read().rpartition(")")[2].split()
    code, data, stack = ([int(fields[n - 3]) for n in each] for each in ((26, 27), (45, 46, 47), (28,)))
    environment = [int(fields[n - 3]) for n in (50, 51)]
    libc.sbrk.restype = ctypes.c_ulong
    addresses = [*code, *data, libc.sbrk(0), *stack, page, page + 64, *environment]
    map = ctypes.create_string_buffer(struct.pack("11QQIi", *addresses, 0, 0, -1))
    assert libc.prctl(35, 14, ctypes.addressof(map), 104, 0) == 0, os.strerror(ctypes.get_errno())
print("ready", flush=True)
signal.pause()
"""

HANGING = {
    "lookup": ("LOOKUP", "nowhere"),
    "open": ("OPEN", "file"),
    "read": ("READ", "file"),
    "memory": ("READ", None),
    "cmdline": ("READ", None),
}


@pytest.fixture(params=HANGING)
def what(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def prepared(folder: Path, held: Path, release: str | None) -> tuple[str | Path, ...]:
    """Makes the files that the target maps, and returns its arguments."""
    image = own_image(mark("work", "done", LONG))
    (folder / "jdk/lib/server").mkdir(parents=True)
    (folder / "jdk/lib/server/libjvm.so").write_bytes(bytes(4096))
    if release:
        (folder / "jdk/release").symlink_to(held / release)
    library = folder / "jprobe-1/1.so"
    library.parent.mkdir()
    library.write_bytes(image.build())
    return (held, folder, library, str(states_of(image)))


def states_of(image: StubImage) -> int:
    from jcollect.probes.stub_image import parse_stub_image

    return parse_stub_image(image.build()).states.address


def start(*command: object) -> subprocess.Popen[str]:
    words = [str(JCOLLECT), *map(str, command)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def ended(command: subprocess.Popen[str]) -> tuple[str, str]:
    """Returns the output of a command, once its process was reaped."""
    try:
        return command.communicate(timeout=SECONDS)
    finally:
        command.kill()


def test_commands_end_that_a_process_holds_up(what: str, tmp_path: Path) -> None:
    held, folder = tmp_path / "held", tmp_path / "own"
    held.mkdir()
    folder.mkdir()
    operation, release = HANGING[what]
    arguments = prepared(folder, held, release)
    with stuck_fs(held, [operation], [sys.executable, "-c", TARGET, *arguments, what]) as stuck:
        assert stuck.first_line == "ready"
        ps, probes = start("ps", "--json"), start("probes", stuck.pid, "--json")
        listed, errors = ended(ps)
        assert ps.returncode == 0, errors
        (row,) = (row for row in json.loads(listed) if row["pid"] == stuck.pid)
        assert row["is_jvm"]
        listed, errors = ended(probes)
        if what == "memory":
            assert row["problem"]
            assert probes.returncode == 1
            assert f"cannot read the memory of PID {stuck.pid}: the process, or a file" in errors
        else:
            assert row["probes"] == {"armed": 1}, row
            assert [probe["name"] for probe in json.loads(listed)] == ["done"]
        # This host has scanned before, and scans again once the file system answers.
        host = Host()
        try:
            assert stuck.pid in {process.pid for process in host.scan()}
            stuck.end()
            wait_until(lambda: stuck.pid in {process.pid for process in host.scan()}, "it to be read again")
        finally:
            host.close()


def test_the_target_looks_like_a_jvm_with_probes(tmp_path: Path) -> None:
    """Checks the target without a file system that blocks."""
    (tmp_path / "own").mkdir()
    arguments = prepared(tmp_path / "own", tmp_path, None)
    (tmp_path / "own/jdk/release").write_text('JAVA_VERSION="17.0.15"')
    with subprocess.Popen(
        [sys.executable, "-c", TARGET, *arguments, "-"], stdout=subprocess.PIPE, text=True
    ) as target:
        try:
            assert target.stdout is not None
            assert target.stdout.readline() == "ready\n"
            host = Host()

            def scan() -> HostProcess | None:
                return next((process for process in host.scan() if process.pid == target.pid), None)

            # The scan may not find it within its first 0.1 s.
            found: HostProcess = wait_until(scan, "the process to be found")
            host.close()
            assert (found.jdk, found.has_stubs, found.uid) == ("17.0.15", True, os.geteuid())
        finally:
            target.kill()
