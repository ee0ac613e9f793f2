"""Stub libraries of any backing, namespace and user are found, attached to, and counted exactly."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from collector_fixtures import Bench, Command, Target

from conditions import require_bpf, wait_until
from java_target import (
    JAR,
    NOBODY,
    ORDERS,
    ORDERS_PROBES,
    Jdk,
    Process,
    attach,
    finish,
    on_every_jdk,
    probes_of,
    wait_for_probes,
)
from prime_calls import hits_of, run_calls
from stub_image import BOOLEAN, ENTRY, LONG, RETURN, STRING, Method, StubImage, mark, own_image

PLACE = Method("com.acme.Orders", "place", (LONG, STRING), BOOLEAN, "(JLjava/lang/String;)Z")
PATTERNS = ("nst", "d1t", "det")
LATER = Method("com.acme.Later", "come", (LONG,), LONG, "(J)J", kinds=(ENTRY, RETURN))
LATER_PATTERNS = ("nt", "dNt")
CALLS = 1009


@pytest.fixture(autouse=True)
def _bpf() -> None:
    require_bpf()


def files_of(bench: Bench, target: Target) -> list[str]:
    """Returns the paths that are printed for other tools, one per library."""
    listed = json.loads(bench.run("probes", target.pid, "--json").stdout)
    return list(dict.fromkeys(probe["file"] for probe in listed))


def written(bench: Bench, image: StubImage, name: str = "image") -> Path:
    path = bench.directory / name
    path.write_bytes(image.build())
    return path


def is_there_for_others(file: str, image: StubImage) -> bool:
    """Returns true if another tool that opens the path, such as bpftrace or readelf, reads the library."""
    return Path(file).read_bytes() == image.build()


def counted(hits: int) -> str:
    return f" {hits:,} hits = {hits:,} delivered + 0 lost"


def assert_counted_exactly(bench: Bench, target: Target, probes: int = 3) -> None:
    collector = bench.attach(target)
    assert collector.status().startswith(f"armed {probes:,} probes of "), collector.errors
    target.fire(4, CALLS)
    assert counted(probes * 4 * CALLS) in collector.end(), collector.errors
    assert target.semaphores() == 0


# Backings


def test_a_file_that_is_kept(bench: Bench) -> None:
    image = StubImage([PLACE])
    target = bench.target(image, *PATTERNS)
    assert files_of(bench, target) == [str(bench.directory / "jprobe-1/1.so")]
    assert_counted_exactly(bench, target)


def test_a_file_that_is_unlinked(bench: Bench) -> None:
    image = StubImage([PLACE])
    target = bench.target(image, *PATTERNS)
    (bench.directory / "jprobe-1/1.so").unlink()
    (file,) = files_of(bench, target)
    assert file.startswith(f"/proc/{target.pid}/map_files/")
    assert is_there_for_others(file, image)
    assert_counted_exactly(bench, target)


@pytest.mark.parametrize("how", ["renamed over", "unlinked and rewritten"])
def test_a_file_replaced_by_another_of_the_same_name(bench: Bench, how: str) -> None:
    image = StubImage([PLACE])
    target = bench.target(image, *PATTERNS)
    path, other = bench.directory / "jprobe-1/1.so", bench.directory / "other"
    other.write_bytes(StubImage([LATER]).build())
    if how == "renamed over":
        other.rename(path)
    else:
        path.unlink()
        shutil.copy(other, path)
    (file,) = files_of(bench, target)
    assert is_there_for_others(file, image)
    assert_counted_exactly(bench, target)


@pytest.mark.parametrize("keep", [True, False], ids=["descriptor", "no-descriptor"])
def test_a_memfd(bench: Bench, keep: bool) -> None:
    target = bench.bare_target()
    image = StubImage([PLACE])
    target.load_memfd(written(bench, image), *PATTERNS, keep=keep)
    (file,) = files_of(bench, target)
    assert file.startswith(f"/proc/{target.pid}/{'fd' if keep else 'map_files'}/")
    assert is_there_for_others(file, image)
    assert_counted_exactly(bench, target)


def test_a_memfd_whose_inode_number_another_file_has_too(bench: Bench) -> None:
    """Each tmpfs numbers its inodes separately, so the device must be compared too."""
    script = "mount -t tmpfs none /mnt && touch $(seq -f /mnt/%g 3000) && for i in 3 4 5 6 7 8 9; do "
    script += 'eval "exec $i</mnt/$((i * 300))"; done; exec "$@"'
    target = bench.bare_target(wrapper=["unshare", "-m", "bash", "-c", script, "bash"])
    image = StubImage([PLACE])
    target.load_memfd(written(bench, image), *PATTERNS)
    (file,) = files_of(bench, target)
    assert is_there_for_others(file, image)
    assert_counted_exactly(bench, target)


def test_several_libraries_of_several_backings(bench: Bench) -> None:
    target = bench.target(StubImage([PLACE]), *PATTERNS)
    more = [Method(f"com.acme.Later{i}", "come", (LONG,), LONG, "(J)J", (ENTRY, RETURN)) for i in (2, 3)]
    target.load(StubImage(more[:1], generation=2), *LATER_PATTERNS)
    target.load_memfd(written(bench, StubImage(more[1:], generation=3)), *LATER_PATTERNS, name="jprobe-3")
    unlinked = Method("com.acme.Gone", "came", (LONG,), kinds=(ENTRY,))
    target.load(StubImage([unlinked], generation=4), "nt", name="jprobe-1/4.so").unlink()
    starts = [file.rsplit("/", 1)[0] for file in files_of(bench, target)]
    assert sorted(starts) == sorted(
        [
            *[str(bench.directory / "jprobe-1")] * 2,
            f"/proc/{target.pid}/fd",
            f"/proc/{target.pid}/map_files",
        ]
    )
    assert_counted_exactly(bench, target, probes=8)


# Namespaces and users


def own_files(directory: Path) -> str:
    """Returns shell code that mounts a file system over a directory and copies the directory's
    content to it.
    """
    return (
        f"mount -t tmpfs none /mnt && cp -r {directory}/. /mnt && mount --bind /mnt {directory} && "
        f'chmod -R a+rwX {directory} && exec "$@"'
    )


NAMESPACES: dict[str, Callable[[Path], Sequence[str | Path]]] = {
    "another user": lambda directory: NOBODY,
    "other mounts": lambda directory: ("unshare", "-m", "sh", "-c", own_files(directory), "sh"),
    "other PIDs": lambda directory: ("unshare", "-p", "-f", "--mount-proc"),
    "another network": lambda directory: ("unshare", "-n"),
    "another user namespace": lambda directory: ("unshare", "-U", "-r"),
    "a container without root": lambda directory: (
        *NOBODY, "unshare", "-U", "-r", "-m", "-p", "-f", "--mount-proc", "-n",
        "sh", "-c", own_files(directory), "sh",
    ),
    "another root": lambda directory: (
        "unshare", "-m", "sh", "-c", 'mount --rbind / /mnt && cd /mnt && exec chroot /mnt "$@"', "sh",
    ),
}  # fmt: skip


@pytest.fixture
def shared_bench(bench: Bench) -> Bench:
    """Returns a bench whose files and program every user can reach."""
    for folder in (bench.directory, *bench.directory.parents, *bench.binary.parents):
        if folder not in (Path("/"), Path("/tmp")):
            folder.chmod(0o755)
    return bench


@pytest.mark.parametrize("place", NAMESPACES)
@pytest.mark.parametrize("backing", ["file", "unlinked file", "memfd", "memfd without descriptor"])
def test_programs_of_other_users_and_namespaces(shared_bench: Bench, place: str, backing: str) -> None:
    bench, image = shared_bench, StubImage([PLACE])
    file, wrapper = written(bench, image), NAMESPACES[place](bench.directory)
    if "memfd" in backing:
        target = bench.bare_target(wrapper=wrapper)
        target.load_memfd(file, *PATTERNS, keep=backing == "memfd")
    else:
        target = bench.target(image, *PATTERNS, wrapper=wrapper)
    if backing == "unlinked file":
        Path(f"/proc/{target.pid}/root{bench.directory}/jprobe-1/1.so").unlink()
    (printed,) = files_of(bench, target)
    assert is_there_for_others(printed, image)
    assert_counted_exactly(bench, target)


def test_a_path_that_is_another_file_here(bench: Bench) -> None:
    """The program's mapped library hides, in its mount namespace, the file at the same path in ours."""
    image, other = StubImage([PLACE]), StubImage([LATER])
    script = own_files(bench.directory)
    target = bench.target(image, *PATTERNS, wrapper=["unshare", "-m", "sh", "-c", script, "sh"])
    (bench.directory / "jprobe-1/1.so").write_bytes(other.build())
    (file,) = files_of(bench, target)
    assert file == f"/proc/{target.pid}/root{bench.directory}/jprobe-1/1.so"
    assert is_there_for_others(file, image)
    assert_counted_exactly(bench, target)


# Different device numbers: /proc/PID/maps has the file system's, stat what the file system reports.


@pytest.mark.parametrize("layer", ["lower", "upper"])
@pytest.mark.parametrize("file_systems", ["one", "two"])
def test_overlayfs(bench: Bench, layer: str, file_systems: str) -> None:
    """As in a container: the library is in a layer of the image, or the program wrote it."""
    image, folder = StubImage([PLACE]), bench.directory / "layers"
    for name in ("lower", "upper", "work", "merged"):
        (folder / name).mkdir(parents=True)
    own = f"mount -t tmpfs none {folder}/lower && mkdir {folder}/lower/jprobe-1 && " * (file_systems == "two")
    options = f"lowerdir={folder}/lower,upperdir={folder}/upper,workdir={folder}/work"
    merged = "cp $IMAGE merged/jprobe-1/1.so" if layer == "upper" else "true"
    lower = "cp $IMAGE lower/jprobe-1/1.so" if layer == "lower" else "true"
    script = (
        f"IMAGE={written(bench, image)} && cd {folder} && {own} mkdir -p lower/jprobe-1 && {lower} && "
        f'mount -t overlay none -o {options} merged && {merged} && exec "$@"'
    )
    target = bench.bare_target(wrapper=["unshare", "-m", "sh", "-c", script, "sh"])
    path = folder / "merged/jprobe-1/1.so"
    assert target.say(f"load {path} {' '.join(PATTERNS)}") == "loaded"
    (file,) = files_of(bench, target)
    assert file == f"/proc/{target.pid}/root{path}"
    assert is_there_for_others(file, image)
    assert_counted_exactly(bench, target)


# fork and exec


def test_a_child_is_not_counted_with_its_parent(bench: Bench) -> None:
    target = bench.target(StubImage([PLACE]), *PATTERNS)
    target.fork()
    collector = bench.attach(target)
    target.fire_child(2, 503)
    target.fire(4, CALLS)
    target.fire_child(2, 503)
    assert counted(3 * 4 * CALLS) in collector.end()


@pytest.mark.parametrize("link_type", ["perf-event", "auto"])
def test_a_child_that_is_forked_under_a_collector_is_not_counted_either(bench: Bench, link_type: str) -> None:
    """The child inherits breakpoints and raised semaphores, but its traps reach no tracer.

    It must not inherit the call by which Linux 6.18 replaces a nop: the page that is called is not mapped
    there.
    """
    target = bench.bare_target()
    target.load(own_image(mark("work", "done", LONG)), "=n")
    collector = bench.attach(target, "--link", link_type)
    target.fire(1, 101)
    target.fork()
    target.fire_child(2, 503)
    target.fire(4, CALLS)
    assert counted(101 + 4 * CALLS) in collector.end()
    assert target.semaphores() == 0
    target.fire_child(1, 1)


@pytest.mark.parametrize("backing", ["file", "unlinked file", "memfd"])
def test_a_child_is_counted_under_its_own_pid(bench: Bench, backing: str) -> None:
    target = bench.bare_target()
    if backing == "memfd":
        target.load_memfd(written(bench, StubImage([PLACE])), *PATTERNS)
    else:
        path = target.load(StubImage([PLACE]), *PATTERNS)
        if backing == "unlinked file":
            path.unlink()
    child = target.fork()
    collector = bench.start("attach", child)
    assert collector.status().startswith("armed 3 probes of 1 method in "), collector.errors
    target.fire(4, 503)
    target.fire_child(4, CALLS)
    assert counted(3 * 4 * CALLS) in collector.end()


def test_parent_and_child_each_have_a_collector(bench: Bench) -> None:
    target = bench.target(StubImage([PLACE]), *PATTERNS)
    of_parent = bench.attach(target)
    child = target.fork()
    of_child = bench.start("attach", child)
    assert of_child.status().startswith("armed 3 probes of 1 method in "), of_child.errors
    target.fire(4, CALLS)
    target.fire_child(2, 503)
    assert counted(3 * 4 * CALLS) in of_parent.end()
    assert counted(3 * 2 * 503) in of_child.end()


def assert_detaches(collector: Command, target: Target, hits: int) -> None:
    """Checks that the collector detaches from the program, which now has other code, and waits for its
    probes.
    """
    wait_until(
        lambda: "jprobe-1" not in Path(f"/proc/{target.pid}/maps").read_text(), "the program to change"
    )
    assert counted(hits) in collector.end(), collector.errors
    assert not any("error" in line or "warning" in line for line in collector.errors), collector.errors


def test_the_collector_detaches_from_a_process_that_executes_another_program(bench: Bench) -> None:
    target = bench.target(StubImage([PLACE]), *PATTERNS)
    collector = bench.attach(target)
    target.fire(4, CALLS)
    assert target.say(f"exec {bench.binary} - -") == "ready"
    assert target.semaphores() == 0
    assert_detaches(collector, target, 3 * 4 * CALLS)


def test_a_process_that_executes_another_program_with_probes_of_its_own(bench: Bench) -> None:
    target = bench.target(StubImage([PLACE]), *PATTERNS)
    collector = bench.attach(target)
    target.fire(4, 101)
    assert target.say(f"exec {bench.binary} - -") == "ready"
    target.load(StubImage([LATER]), *LATER_PATTERNS)
    assert collector.status(1).startswith("armed 2 more probes of 1 method in "), collector.errors
    target.fire(4, CALLS)
    assert counted(3 * 4 * 101 + 2 * 4 * CALLS) in collector.end()


# Real JVMs


@on_every_jdk
@pytest.mark.parametrize("backing", ["dir= in another mount namespace", "memfd"])
def test_the_agents_libraries(jdk: Jdk, targets: Path, tmp_path: Path, backing: str) -> None:
    (directory := tmp_path / "stubs").mkdir()
    option = "" if backing != "memfd" else ",noexec"
    script = f'mount -t tmpfs -o mode=700{option} none {directory} && cd / && exec "$@"'
    wrapper = ["unshare", "-m", "sh", "-c", script, "sh"]
    agent = f"-javaagent:{JAR}=probes={ORDERS},dir={directory}"
    with Process([*wrapper, jdk.java, agent, "-cp", targets, "PrimeCalls"]) as target:
        target.wait_for_line("ready")
        wait_for_probes(target.pid, ORDERS_PROBES)
        file = probes_of(target.pid)[0]["file"]
        place = "fd" if backing == "memfd" else f"root{directory}"
        assert file.startswith(f"/proc/{target.pid}/{place}/")
        collector = attach(target.pid)
        hits = hits_of(run_calls(target))
        assert counted(hits) in finish(collector)
        target.send("exit")
        target.wait()
