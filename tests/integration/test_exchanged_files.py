"""Probes are linked in the file that was read, whatever its path resolves to at that time."""

from __future__ import annotations

import ctypes
import errno
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from collector_fixtures import Bench, Target

from conditions import require_bpf
from jcollect.errors import JcollectError
from jcollect.probes.probe import Probe
from jcollect.probes.scan import scan_traceable
from jcollect.probes.site import Binary
from jcollect.procfs.files import read_descriptor
from jcollect.procfs.kernel_fs import check_kernel_serves
from jcollect.procfs.mapped import Mapped, open_mapped
from jcollect.procfs.mapped_answer import FileState
from jcollect.sources.bpf.bpf_programs import BpfPrograms
from jcollect.sources.bpf.links import PERF_EVENT, UPROBE_MULTI, Linker, Links
from processes import opened
from stub_image import BOOLEAN, LONG, STRING, Method, StubImage
from stuck_fs import stuck_fs

PLACE = Method("com.acme.Orders", "place", (LONG, STRING), BOOLEAN, "(JLjava/lang/String;)Z")
PATTERNS = ("nst", "d1t", "det")
CALLS = 101
_BPF_OBJ_GET_INFO_BY_FD = 15

on_both_ways = pytest.mark.parametrize("link_type", [UPROBE_MULTI, PERF_EVENT])


@pytest.fixture(autouse=True)
def _bpf() -> None:
    require_bpf()


@contextmanager
def linker(link_type: str) -> Iterator[tuple[Linker, BpfPrograms]]:
    programs = BpfPrograms(16, 16)
    programs.used = 16
    try:
        yield Linker(programs, link_type), programs
    finally:
        programs.close()


def library_of(target: Target) -> Path:
    return target.directory / "jprobe-1/1.so"


def read(target: Target) -> list[Probe]:
    return scan_traceable(opened(target.pid)).probes(())


def linked_path(link: int) -> str:
    """Returns the path in struct bpf_link_info of a uprobe_multi link."""
    path = ctypes.create_string_buffer(4096)
    info = (ctypes.c_ulong * 16)()
    info[2], info[6] = ctypes.addressof(path), len(path)
    attributes = (ctypes.c_ulong * 2)(link | ctypes.sizeof(info) << 32, ctypes.addressof(info))
    libc = ctypes.CDLL(None, use_errno=True)
    command = ctypes.c_int(_BPF_OBJ_GET_INFO_BY_FD)
    assert libc.syscall(321, command, attributes, ctypes.sizeof(attributes)) == 0, ctypes.get_errno()
    return os.fsdecode(path.value)


def assert_fires(target: Target, programs: BpfPrograms, links: Links) -> None:
    before = int(programs.hits().sum())
    target.fire(1, CALLS)
    assert int(programs.hits().sum()) - before == 3 * CALLS
    links.disarm()
    assert target.semaphores() == 0


def link_to_another(path: Path, victim: Path) -> str:
    """Replaces the mapped file by another. Returns the kernel's name for the mapped one from then on."""
    kept = path.rename(path.with_name("kept"))
    path.symlink_to(victim)
    return str(kept)


def another_of_the_same_content(path: Path, victim: Path) -> str:
    kept = path.rename(path.with_name("kept"))
    victim.rename(path)
    return str(kept)


def nothing(path: Path, victim: Path) -> str:
    path.unlink()
    return f"{path} (deleted)"


@on_both_ways
@pytest.mark.parametrize("exchange", [link_to_another, another_of_the_same_content, nothing])
def test_a_path_that_is_exchanged_between_reading_and_linking(
    bench: Bench, link_type: str, exchange: Callable[[Path, Path], str]
) -> None:
    """The replacement is a program of root's with the same bytes at the same offsets."""
    target = bench.target(StubImage([PLACE]), *PATTERNS)
    victim = bench.directory / "victim"
    victim.write_bytes(library_of(target).read_bytes())
    victim.chmod(0o4755)
    probes = read(target)
    name = exchange(library_of(target), victim)
    with linker(link_type) as (linking, programs):
        links = linking.link(range(len(probes)), [probe.site for probe in probes])
        if link_type == UPROBE_MULTI:
            assert linked_path(links._descriptors[0]) == name
        # The probes are in the mapped file, and fire and count in its semaphores.
        assert_fires(target, programs, links)


def rewritten(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"\xff")


def rewritten_with_its_time_set_back(path: Path) -> None:
    about = path.stat()
    rewritten(path)
    os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1)


@on_both_ways
@pytest.mark.parametrize("change", [rewritten, rewritten_with_its_time_set_back, cut])
def test_a_file_that_has_other_content_by_then_is_not_linked(
    bench: Bench, link_type: str, change: Callable[[Path], None]
) -> None:
    target = bench.target(StubImage([PLACE]), *PATTERNS)
    probes = read(target)
    change(library_of(target))
    with linker(link_type) as (linking, programs):
        with pytest.raises(JcollectError, match="it has changed since it was read; try again"):
            linking.link(range(len(probes)), [probe.site for probe in probes])
        target.fire(1, CALLS)
        assert programs.hits().sum() == 0
        assert target.semaphores() == 0


@on_both_ways
def test_a_file_that_is_changed_while_it_is_linked(
    bench: Bench, link_type: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = bench.target(StubImage([PLACE]), *PATTERNS)
    probes = read(target)
    with linker(link_type) as (linking, programs):
        kernels = "link_uprobe_multi" if link_type == UPROBE_MULTI else "open_uprobe_event"
        call = getattr(linking._kernel, kernels)

        def changing(*arguments: object) -> int:
            made: int = call(*arguments)
            rewritten(library_of(target))
            return made

        monkeypatch.setattr(linking._kernel, kernels, changing)
        with pytest.raises(JcollectError, match="changed while jcollect attached"):
            linking.link(range(len(probes)), [probe.site for probe in probes])
        target.fire(1, CALLS)
        assert programs.hits().sum() == 0
        assert target.semaphores() == 0


def held_again(library: Binary, path: str) -> int:
    """Returns a descriptor of the file to link, as held without the right to follow map_files."""
    assert library.backing is not None
    nowhere = Mapped(0, 4096, (0, 0, 0), "")
    mapped, state, digest = library.backing.mapped, library.backing.state, library.backing.digest
    assert mapped != nowhere
    return open_mapped(library.process.pid, mapped, path, state, digest)[1][0]


def test_without_map_files_the_path_has_to_lead_to_the_same_file(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = bench.target(StubImage([PLACE]), *PATTERNS)
    library = read(target)[0].site.binary
    path = library_of(target)
    monkeypatch.setattr("jcollect.procfs.mapped._open_link", lambda pid, mapping: None)
    os.close(held_again(library, str(path)))
    # A hard link to the same file is accepted.
    path.with_name("link").hardlink_to(path)
    os.close(held_again(library, str(path.with_name("link"))))
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content)
    with pytest.raises(OSError, match="it has changed since it was read"):
        held_again(library, str(path))


# File systems


def held_in(pid: int, path: Path) -> int:
    return os.open(f"/proc/{pid}/root{path}", os.O_PATH)


@contextmanager
def mounted(script: str, *wrapper: str) -> Iterator[int]:
    """Yields a process that sees what a script has mounted."""
    command = [*wrapper, "sh", "-ec", f"{script}; echo ready; exec sleep 600"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield process.pid
        finally:
            process.kill()


ROOTS = ("unshare", "-m")
USERS = ("setpriv", "--reuid=64021", "--regid=64021", "--clear-groups", "unshare", "-Urm")


@pytest.mark.parametrize(("wrapper", "may_be_linked"), [(ROOTS, True), (USERS, False)], ids=["root", "user"])
def test_an_overlay_is_trusted_if_root_has_mounted_it(
    tmp_path: Path, wrapper: tuple[str, ...], may_be_linked: bool
) -> None:
    """An unprivileged user may serve the overlay's layers, and jcollect cannot detect that."""
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)
    (tmp_path / "mnt").mkdir()
    make = (
        f"mount -t tmpfs none {tmp_path}/mnt; cd {tmp_path}/mnt; mkdir l u w m; echo x >l/file;"
        f"mount -t overlay none -o lowerdir=$PWD/l,upperdir=$PWD/u,workdir=$PWD/w m"
    )
    with mounted(make, *wrapper) as pid:
        held = held_in(pid, tmp_path / "mnt/m/file")
        assert read_descriptor(held, 10) == b"x\n"
        if may_be_linked:
            check_kernel_serves(held, pid)
        else:
            with pytest.raises(OSError, match="an overlay of a user namespace"):
                check_kernel_serves(held, pid)
        os.close(held)
        on_tmpfs = held_in(pid, tmp_path / "mnt/l/file")
        check_kernel_serves(on_tmpfs, pid)
        os.close(on_tmpfs)


def test_a_file_that_a_program_serves_is_not_linked(tmp_path: Path) -> None:
    """The kernel would read the file's page while holding a lock that every fork on the machine waits for."""
    with stuck_fs(tmp_path, ["READ"]) as stuck:
        held = held_in(stuck.pid, tmp_path / "file")
        state = FileState.of(os.fstat(held))
        os.close(held)
        mapped = Mapped(stuck.address, stuck.address + (1 << 16), (0, 0, 0), "")
        with pytest.raises(OSError, match="could block the kernel forever"):
            open_mapped(stuck.pid, mapped, "", state, b"")


def test_the_error_about_a_served_file_names_the_fix(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    target = bench.target(StubImage([PLACE]), *PATTERNS)
    probes = read(target)

    def refuse(*arguments: object) -> None:
        raise OSError(errno.EREMOTE, "it lies in a file system of type 0x65735546")

    monkeypatch.setattr("jcollect.sources.bpf.links.apart", refuse)
    with linker(UPROBE_MULTI) as (linking, _), pytest.raises(JcollectError, match="dir=DIRECTORY"):
        linking.link(range(len(probes)), [probe.site for probe in probes])
