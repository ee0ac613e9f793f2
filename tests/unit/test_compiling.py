"""Compiled BPF programs are relocated and cached, and trusted only if no other user could have
written them.
"""

from __future__ import annotations

import importlib
import os
import stat
import struct
import sys
from pathlib import Path

import pytest

from conditions import as_root
from jcollect.cli import attaching
from jcollect.errors import JcollectError
from jcollect.sources.bpf import compilation
from jcollect.sources.bpf.cache import Cache, default_directory
from jcollect.sources.bpf.compilation import Compilation, key_of
from jcollect.sources.bpf.program import Program, decoded, unlinked

KEY = "0123456789abcdef"


def load(target: int, source: int, low: int, high: int = 0) -> bytes:
    """Returns an instruction that loads 64 bits, in its two slots."""
    return struct.pack("<BBhi", 0x18, source << 4 | target, 0, low) + struct.pack("<BBhi", 0, 0, 0, high)


MOVE = bytes.fromhex("b701000000000000")
EXIT = bytes.fromhex("9500000000000000")
# As the compiler writes it: its maps have the descriptors 8 and 9.
COMPILED = MOVE + load(1, 1, 9) + load(2, 15, 0) + load(3, 0, 8) + load(10, 1, 8) + load(4, 15, 1) + EXIT
MAPS = [8, 9]


def program() -> Program:
    return Program("GPL", {"probe_fired": unlinked(COMPILED, MAPS), "mark_fired": EXIT, "do_nothing": EXIT})


def test_references_are_replaced_by_descriptors_and_numbers() -> None:
    assert program().linked("probe_fired", [51, 52], [16384, 7]) == (
        MOVE + load(1, 1, 52) + load(2, 0, 16384) + load(3, 0, 8) + load(10, 1, 51) + load(4, 0, 7) + EXIT
    )
    assert program().linked("do_nothing", [51, 52], [16384, 7]) == EXIT


def test_the_upper_half_of_a_load_is_no_instruction() -> None:
    tricky = load(1, 0, 0x18, 0x18) + load(2, 1, 8)
    assert unlinked(tricky, MAPS) == load(1, 0, 0x18, 0x18) + load(2, 1, 0)


@pytest.mark.parametrize(
    "code",
    [b"", EXIT[:-1], load(1, 1, 7), load(1, 2, 8), load(1, 1, 8)[:8]],
    ids=["nothing", "half an instruction", "an unknown map", "another kind of reference", "half a load"],
)
def test_a_program_that_no_compiler_writes_is_rejected(code: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        unlinked(code, MAPS)


def test_a_program_is_read_as_it_was_written() -> None:
    assert decoded(program().encoded()) == program()


def test_a_program_with_any_damaged_byte_is_rejected() -> None:
    content = program().encoded()
    for offset in range(len(content)):
        for damaged in (
            content[:offset],
            content[:offset] + bytes([content[offset] ^ 0x10]) + content[offset + 1 :],
        ):
            with pytest.raises(ValueError, match="not a compiled BPF program"):
                decoded(damaged)


@pytest.mark.parametrize(
    "functions",
    [
        {"probe_fired": EXIT},
        {"probe_fired": load(1, 1, 2), "do_nothing": EXIT},
        {"probe_fired": load(1, 15, 4), "do_nothing": EXIT},
        {"probe_fired": load(1, 15, -1), "do_nothing": EXIT},
        {"probe_fired": b"", "do_nothing": EXIT},
    ],
    ids=["one function", "a third map", "a fifth number", "number -1", "no instruction"],
)
def test_an_intact_program_that_cannot_be_loaded_is_rejected(functions: dict[str, bytes]) -> None:
    with pytest.raises(ValueError, match=r".+"):
        decoded(Program("GPL", functions).encoded())


def test_only_the_owner_can_access_the_cache(tmp_path: Path) -> None:
    directory = tmp_path / "new" / "jprobe"
    cache = Cache(directory)
    assert cache.read(KEY) is None
    cache.write(KEY, b"first")
    cache.write(KEY, b"second")
    assert cache.read(KEY) == b"second"
    (file,) = directory.iterdir()
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_that_others_can_write_is_not_used(tmp_path: Path, mode: int) -> None:
    cache, file = written(tmp_path)
    file.chmod(mode)
    assert cache.read(KEY) is None
    cache.write(KEY, b"ours")
    assert cache.read(KEY) == b"ours"


@pytest.mark.parametrize("mode", [0o720, 0o702, 0o777])
def test_nothing_is_used_from_a_directory_that_others_can_write(tmp_path: Path, mode: int) -> None:
    cache, file = written(tmp_path)
    file.parent.chmod(mode)
    assert cache.read(KEY) is None
    cache.write(KEY, b"ours")
    file.parent.chmod(0o700)
    assert cache.read(KEY) == b"handlers"


@as_root
@pytest.mark.parametrize("place", ["file", "directory"])
def test_files_of_another_user_are_not_used(tmp_path: Path, place: str) -> None:
    cache, file = written(tmp_path)
    os.chown(file if place == "file" else file.parent, 65534, 65534)
    assert cache.read(KEY) is None


def test_links_are_not_followed(tmp_path: Path) -> None:
    cache, file = written(tmp_path)
    linked = Cache(tmp_path / "link")
    (tmp_path / "link").symlink_to(file.parent)
    assert linked.read(KEY) is None
    elsewhere = file.rename(tmp_path / "elsewhere")
    file.symlink_to(elsewhere)
    assert cache.read(KEY) is None
    cache.write(KEY, b"ours")
    assert (cache.read(KEY), elsewhere.read_bytes()) == (b"ours", b"handlers")


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    cache, file = written(tmp_path)
    file.unlink()
    os.mkfifo(file, 0o600)
    assert cache.read(KEY) is None


def test_where_nothing_can_be_written_there_is_no_cache(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    cache = Cache(tmp_path / "file" / "jprobe")
    cache.write(KEY, b"handlers")
    assert cache.read(KEY) is None


def test_only_the_newest_are_kept(tmp_path: Path) -> None:
    cache, _ = written(tmp_path)
    (tmp_path / "jprobe" / "other").touch()
    for number in range(9):
        cache.write(f"{number}", b"handlers")
        os.utime(tmp_path / "jprobe" / f"{number}.programs", ns=(number, number))
    cache.write("last", b"handlers")
    names = {file.name for file in (tmp_path / "jprobe").iterdir()}
    assert names == {"last.programs", f"{KEY}.programs", "8.programs", "7.programs", "other"}


def test_every_user_has_a_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setenv("XDG_CACHE_HOME", "/of/user")
    monkeypatch.setenv("HOME", "/home/user")
    assert default_directory() == Path("/var/cache/jprobe")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert default_directory() == Path("/of/user/jprobe")
    monkeypatch.setenv("XDG_CACHE_HOME", "not/absolute")
    assert default_directory() == Path("/home/user/.cache/jprobe")
    monkeypatch.setenv("HOME", "nor/this")
    assert default_directory() is None


def written(tmp_path: Path) -> tuple[Cache, Path]:
    """Yields a cache with one program, and that program's file."""
    cache = Cache(tmp_path / "jprobe")
    cache.write(KEY, b"handlers")
    assert cache.read(KEY) == b"handlers"
    return cache, tmp_path / "jprobe" / f"{KEY}.programs"


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Makes a folder like bpf/, and a package named bcc."""
    folder = tmp_path / "bpf"
    (folder / "include/linux").mkdir(parents=True)
    (folder / "events.c").write_text("int probe_fired;")
    (folder / "include/linux/types.h").write_text("typedef int s32;")
    (folder / "include/jprobe").mkdir()
    (folder / "include/jprobe/layout.h").write_text("// generated")
    (tmp_path / "site/bcc").mkdir(parents=True)
    (tmp_path / "site/bcc/__init__.py").write_text("raise AssertionError('it is imported')")
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.delitem(sys.modules, "bcc", raising=False)
    importlib.invalidate_caches()
    return folder


def test_the_key_changes_with_whatever_is_compiled_and_with_the_compiler(
    tmp_path: Path, source: Path
) -> None:
    seen = [key_of(source, ["-DA"])]
    assert key_of(source, ["-DA"]) == seen[0]

    seen.append(key_of(source, ["-DB"]))
    (source / "events.c").write_text("int probe_fired; ")
    seen.append(key_of(source, ["-DA"]))
    header = source / "include/linux/types.h"
    header.write_text("typedef long s32;")
    seen.append(key_of(source, ["-DA"]))
    header.rename(header.with_name("other.h"))
    seen.append(key_of(source, ["-DA"]))
    (tmp_path / "site/bcc/version.py").write_text("__version__ = '1'")
    seen.append(key_of(source, ["-DA"]))
    os.utime(tmp_path / "site/bcc/version.py", ns=(1, 1))
    seen.append(key_of(source, ["-DA"]))
    assert len(set(seen)) == 7


def test_cached_programs_are_used_without_a_compiler(
    tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compilation, "bpf_directory", lambda: source)
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    cache = Cache(tmp_path / "jprobe")
    with pytest.raises(JcollectError, match=r"bcc cannot compile .*/events.c on Linux .*: /nowhere/python"):
        Compilation.start(cache).result()
    cache.write(key_of(source, compilation.flags()), program().encoded())
    assert Compilation.start(cache).result() == program()


def test_without_bcc_cached_programs_are_used_and_otherwise_there_is_one_clear_sentence(
    tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compilation, "bpf_directory", lambda: source)
    cache = Cache(tmp_path / "jprobe")
    with_bcc = key_of(source, compilation.flags())
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    without_bcc = key_of(source, compilation.flags())
    assert with_bcc.startswith(without_bcc)
    other_sources = "0" * 32 + "-0123"
    cache.write(other_sources, program().encoded())
    under_way = Compilation.start(cache)
    with pytest.raises(JcollectError, match="bcc is missing: install python3-bpfcc"):
        under_way.result()
    under_way.close()
    cache.write(without_bcc + "older", b"damaged")
    os.utime(tmp_path / "jprobe" / f"{without_bcc}older.programs", ns=(1, 1))
    cache.write(with_bcc, program().encoded())
    assert Compilation.start(cache).result() == program()


def test_no_compiler_starts_without_the_right_to_load_its_result(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attaching, "can_place_uprobes", lambda: False)
    monkeypatch.setattr(compilation.subprocess, "Popen", pytest.fail)
    begun = attaching.begin_compilation()
    with pytest.raises(JcollectError, match="need CAP_BPF and CAP_PERFMON"):
        begun.result()
    begun.close()
