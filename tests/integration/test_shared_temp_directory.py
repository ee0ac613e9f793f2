"""A temp directory shared with hostile users: they can neither access nor block anything of the program."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import struct
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from conditions import require_bpf, wait_until
from java_target import (
    ORDERS,
    ORDERS_PROBES,
    ROOT,
    Process,
    as_user,
    java,
    newest_jdk,
    run,
    wait_for_probes,
)
from layout_headers import INCLUDE_LAYOUTS
from native_checks import STUB_PARTS

SOURCES = Path(__file__).parent / "shared_temp"
VICTIM = 64021
ATTACKER = 65534
AS_VICTIM = as_user(str(VICTIM), str(VICTIM), reads_checkout=True)
AS_ATTACKER = as_user(str(ATTACKER), str(ATTACKER))

# Attacks of another user on a file and its directory. Prints a line for each attack that succeeds.
ATTACK = """
import os, sys
path, folder = sys.argv[1], os.path.dirname(sys.argv[1])
def attempt(what, act):
    try:
        act()
    except OSError:
        return
    print(what)
attempt("read", lambda: open(path, "rb"))
attempt("written", lambda: open(path, "r+b").write(b"our own"))
attempt("removed", lambda: os.unlink(path))
attempt("put in its place", lambda: os.rename(__file__, path))
attempt("directory moved", lambda: os.rename(folder, folder + ".away"))
attempt("directory opened", lambda: os.chmod(folder, 0o777))
attempt("directory read", lambda: os.listdir(folder))
attempt("directory written", lambda: open(folder + "/more.so", "xb"))
"""


@pytest.fixture
def place(targets: Path) -> Iterator[Path]:
    """Yields a folder that every user can enter: it holds the program, and "shared", which is set up like
    /tmp.
    """
    require_bpf()
    # Only root can enter pytest's directories. The file system must allow setuid programs.
    for parent in ("/tmp", "/var/tmp", str(ROOT / "build")):
        if not os.statvfs(parent).f_flag & os.ST_NOSUID:
            break
    folder = Path(tempfile.mkdtemp(dir=parent, prefix="shared-temp-"))
    folder.chmod(0o755)
    (folder / "shared").mkdir()
    (folder / "shared").chmod(0o1777)
    (folder / "classes").mkdir()
    for file in targets.glob("PrimeCalls*.class"):
        shutil.copy(file, folder / "classes")
    yield folder
    shutil.rmtree(folder)


def paused(place: Path, umask: int) -> Process:
    """Starts a JVM of the victim's that waits before it opens the agent's native library."""
    shim = place / "pause.so"
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", shim, SOURCES / "pause.c", "-ldl"], check=True)
    (place / "victims").mkdir(exist_ok=True)
    os.chown(place / "victims", VICTIM, VICTIM)
    preload = [f"LD_PRELOAD={shim}", f"REACHED={place}/victims/reached", f"GO={place}/go"]
    shell = ["sh", "-c", f'umask {umask:o}; exec "$@"', "sh"]
    return victims(place, *shell, *AS_VICTIM, "env", *preload)


def victims(place: Path, *before: str) -> Process:
    options = {"probes": ORDERS, "options": f"dir={place}/shared"}
    return java(newest_jdk, "-cp", place / "classes", "PrimeCalls", before=before or AS_VICTIM, **options)


def where_it_waits(place: Path) -> Path:
    reached = place / "victims/reached"
    wait_until(reached.exists, "the JVM to open the native library")
    return Path(reached.read_text())


@pytest.mark.parametrize("umask", [0o000, 0o777], ids=["no umask", "all of it"])
def test_no_umask_makes_the_native_library_accessible_to_others(place: Path, umask: int) -> None:
    attack = place / "attack.py"
    attack.write_text(ATTACK)
    with paused(place, umask) as target:
        library = where_it_waits(place)
        assert library.is_relative_to(place / "shared")
        assert stat.S_IMODE(library.parent.stat().st_mode) == 0o700
        assert stat.S_IMODE(library.stat().st_mode) == 0o600
        done = run(*AS_ATTACKER, "/usr/bin/python3", attack, library)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        (place / "go").touch()
        target.wait_for_line("ready")
        wait_for_probes(target.pid, ORDERS_PROBES)
        (stub,) = (place / "shared").glob("jprobe-*/1.so")
        assert [stat.S_IMODE(path.stat().st_mode) for path in (stub.parent, stub)] == [0o700, 0o600]
        target.send("exit")
        assert target.wait() == 0
        assert target.err == []
    assert list((place / "shared").iterdir()) == []


def test_files_of_a_killed_jvm_are_removed_and_those_of_other_users_left_alone(place: Path) -> None:
    """Other users' files, directories and links have names like jprobe's own."""
    with paused(place, 0o022) as killed:
        left = where_it_waits(place).parent
        killed.signal(signal.SIGKILL)
        killed.wait()
    (place / "go").touch()
    assert left.is_dir()
    # The cleanup spares directories that may still be under construction.
    os.utime(left, (time.time() - 3600,) * 2)
    treasure = place / "victims/treasure"
    treasure.mkdir()
    (treasure / "1.so").touch()
    os.chown(treasure, VICTIM, VICTIM)
    crowd = make_crowd(place / "shared", treasure) - {left, left / "libjprobe.so"}
    with victims(place) as target:
        target.wait_for_line("ready")
        shared = place / "shared"
        wait_until(lambda: list(shared.glob(f"jprobe-{target.pid}-*/1.so")), "the probes")
        (own,) = set((place / "shared").rglob("*")) - crowd - set((place / "shared").glob("jprobe-*/*.so"))
        assert own.name.startswith(f"jprobe-{target.pid}-")
        target.send("exit")
        assert target.wait() == 0
        assert target.err == []
    assert set((place / "shared").rglob("*")) == crowd
    assert (treasure / "1.so").exists()


def make_crowd(shared: Path, treasure: Path) -> set[Path]:
    for number in range(600):
        entry = shared / f"{'.' * (number % 2)}jprobe-{number}-{number:016x}"
        kind = number % 3
        if kind == 0:
            entry.mkdir()
            (entry / "1.so").touch()
        elif kind == 1:
            entry.touch()
        else:
            entry.symlink_to(treasure)
        os.chown(entry, ATTACKER, ATTACKER, follow_symlinks=False)
        os.utime(entry, (0, 0), follow_symlinks=False)
    return set(shared.rglob("*"))


# ---- programs that have more rights than their user ----


def make_setuid(program: Path) -> None:
    os.chown(program, VICTIM, 0)
    program.chmod(0o4755)


def make_setgid(program: Path) -> None:
    os.chown(program, 0, VICTIM)
    program.chmod(0o2755)


def give_capability(program: Path) -> None:
    cap_net_raw, effective, version_2 = 1 << 13, 1, 0x02000000
    os.setxattr(
        program, "security.capability", struct.pack("<5I", version_2 | effective, cap_net_raw, 0, 0, 0)
    )


@pytest.mark.parametrize("grant", [make_setuid, make_setgid, give_capability])
@pytest.mark.parametrize("compiler", ["gcc", "musl-gcc"])
def test_a_privileged_program_takes_no_directory_from_its_user(
    place: Path, compiler: str, grant: object
) -> None:
    assert callable(grant)
    program = build(place, compiler)
    assert library_of(program, place).parents[1] == place / "shared"
    grant(program)
    assert library_of(program, place).parents[1] == Path("/tmp")


@pytest.mark.parametrize("grant", [make_setuid, make_setgid])
def test_a_privileged_program_without_getauxval_takes_no_directory_from_its_user_either(
    place: Path, grant: object
) -> None:
    assert callable(grant)
    program = build(place, "gcc", "-Dgetauxval=no_c_library_has_this")
    assert library_of(program, place).parents[1] == place / "shared"
    grant(program)
    assert library_of(program, place).parents[1] == Path("/tmp")


def build(place: Path, compiler: str, *options: str) -> Path:
    folder = ROOT / "java-agent/src/main/c/libstapsdt"
    program = place / "where"
    files = [SOURCES / "where.c", *STUB_PARTS, folder / "libstapsdt.c"]
    subprocess.run(
        [
            compiler,
            "-std=gnu11",
            f"-I{folder}",
            INCLUDE_LAYOUTS,
            *options,
            "-o",
            program,
            *files,
            "-ldl",
            "-pthread",
        ],
        check=True,
    )
    return program


def library_of(program: Path, place: Path) -> Path:
    """Returns the path of the library of a program that the attacker starts with a TMPDIR other than /tmp."""
    done = run(*AS_ATTACKER, "env", f"TMPDIR={place}/shared", program)
    assert (done.returncode, done.stderr) == (0, "")
    return Path(done.stdout.strip())
