"""Link types and BPF programs: compiled or cached, also on kernels that lack some features."""

from __future__ import annotations

import contextlib
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import collector_fixtures
import pytest
from collector_fixtures import Bench, Target

from conditions import require_bpf, wait_until
from jcollect.errors import JcollectError
from jcollect.probes.scan import scan_traceable
from jcollect.sources.bpf import compilation
from jcollect.sources.bpf.bpf_programs import BpfPrograms
from jcollect.sources.bpf.cache import Cache
from jcollect.sources.bpf.compilation import Compilation, bpf_directory, key_of
from jcollect.sources.bpf.kernel import Kernel
from jcollect.sources.bpf.links import AUTO, PERF_EVENT, UPROBE_MULTI, Linker, Links
from jcollect.sources.bpf.program import EVENTS, Program
from processes import opened
from stub_image import BOOLEAN, LONG, STRING, Method, StubImage

PLACE = Method("com.acme.Orders", "place", (LONG, STRING), BOOLEAN, "(JLjava/lang/String;)Z")
PATTERNS = ("nst", "d1t", "det")
# r0 = 0; exit
NOTHING = bytes.fromhex("b700000000000000" "9500000000000000")  # fmt: skip
# r0 = *(u64 *)(r10 + 8); exit
ABOVE_THE_STACK = bytes.fromhex("79a0080000000000" "9500000000000000")  # fmt: skip


@pytest.fixture(autouse=True)
def _bpf() -> None:
    require_bpf()


@pytest.fixture
def target(bench: Bench) -> Target:
    return bench.target(StubImage([PLACE]), *PATTERNS)


@contextlib.contextmanager
def programs_of(cache: Cache | None = None, without: frozenset[str] = frozenset()) -> Iterator[BpfPrograms]:
    programs = BpfPrograms(16, 16, Compilation.start(cache), without)
    programs.used = 3
    try:
        yield programs
    finally:
        programs.close()


def link_all(linker: Linker, target: Target) -> Links:
    sites = [probe.site for probe in scan_traceable(opened(target.pid)).probes(())]
    return linker.link(range(len(sites)), sites)


@contextlib.contextmanager
def linked(programs: BpfPrograms, target: Target, link_type: str = AUTO) -> Iterator[Links]:
    links = link_all(Linker(programs, link_type), target)
    try:
        yield links
    finally:
        links.disarm()


def counted(cache: Cache, target: Target) -> list[int]:
    """Returns how often the three probes fired, of 388 times each."""
    with programs_of(cache) as programs:
        with linked(programs, target):
            target.fire(4, 97)
        return programs.hits()[:3].tolist()


def test_cached_programs_count_like_those_just_compiled(
    tmp_path: Path, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = Cache(tmp_path / "jprobe")
    assert counted(cache, target) == [388] * 3
    monkeypatch.setattr(sys, "executable", "/nowhere/python")  # Nothing can be compiled any more.
    assert counted(cache, target) == [388] * 3


def test_damaged_programs_are_compiled_again(tmp_path: Path, target: Target) -> None:
    cache = Cache(tmp_path / "jprobe")
    assert counted(cache, target) == [388] * 3
    (file,) = (tmp_path / "jprobe").iterdir()
    whole = file.read_bytes()
    file.write_bytes(whole[:-1])
    assert counted(cache, target) == [388] * 3
    assert file.read_bytes() == whole


@pytest.mark.parametrize("owner", [0, 65534])
def test_programs_that_another_user_has_written_are_not_loaded(
    tmp_path: Path, target: Target, owner: int
) -> None:
    cache = Cache(tmp_path / "jprobe")
    forged = Program("GPL", dict.fromkeys(EVENTS.functions, NOTHING))
    cache.write(key_of(bpf_directory(), compilation.flags()), forged.encoded())
    (file,) = (tmp_path / "jprobe").iterdir()
    os.chown(file, owner, owner)
    # Files of our own user are trusted.
    assert counted(cache, target) == ([0] * 3 if owner == 0 else [388] * 3)


@pytest.mark.parametrize("mount", ["mount -t tmpfs none /var/cache", "mount -t tmpfs -o ro none /var/cache"])
def test_with_an_empty_or_read_only_cache_programs_are_compiled(
    bench: Bench, target: Target, monkeypatch: pytest.MonkeyPatch, mount: str
) -> None:
    jcollect = bench.directory / "jcollect"
    inside = f'{mount} && exec {collector_fixtures.JCOLLECT} "$@"'
    jcollect.write_text(f"#!/bin/sh\nexec unshare --mount sh -c '{inside}' sh \"$@\"\n")
    jcollect.chmod(0o755)
    monkeypatch.setattr(collector_fixtures, "JCOLLECT", str(jcollect))
    collector = bench.attach(target)
    target.fire(4, 499)
    assert "5,988 hits = 5,988 delivered + 0 lost" in collector.end()


def test_no_compiler_stays_loaded_or_running(bench: Bench, target: Target) -> None:
    collector = bench.attach(target)
    maps = Path(f"/proc/{collector.process.pid}/maps").read_text()
    assert not re.search(r"/\S*(bcc|clang|LLVM)", maps)
    commands = [Path(f"/proc/{child}/cmdline").read_bytes() for child in children_of(collector.process.pid)]
    assert not [command for command in commands if b"/procfs/reader.py" not in command]
    collector.end()


def test_a_compile_error_is_reported_in_the_compilers_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(bpf_directory(), tmp_path / "bpf")
    (tmp_path / "bpf/events.c").write_text("int probe_fired(void *ctx) { return nowhere; }\n")
    monkeypatch.setattr(compilation, "bpf_directory", lambda: tmp_path / "bpf")
    cache = Cache(tmp_path / "jprobe")
    with pytest.raises(
        JcollectError,
        match=r"bcc cannot compile .*/bpf/events.c on Linux .*error: use of undeclared identifier 'nowhere'",
    ):
        BpfPrograms(16, 16, Compilation.start(cache))
    assert not (tmp_path / "jprobe").exists()


def test_a_compiler_is_killed_once_its_result_is_not_needed(tmp_path: Path) -> None:
    before = children_of(os.getpid())
    under_way = Compilation.start(Cache(tmp_path / "jprobe"))
    assert len(children_of(os.getpid())) == len(before) + 1
    under_way.close()
    assert children_of(os.getpid()) == before
    with pytest.raises(JcollectError, match="the compiler was stopped"):
        under_way.result()


def test_the_compiler_dies_with_its_parent(tmp_path: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path\n"
        "from jcollect.sources.bpf.cache import Cache\n"
        "from jcollect.sources.bpf.compilation import Compilation\n"
        "under_way = Compilation.start(Cache(Path(sys.argv[1])))\n"
        "print('started', flush=True); time.sleep(60)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, tmp_path / "jprobe"], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "started\n"
        (child,) = children_of(parent.pid)
        parent.send_signal(signal.SIGKILL)
    wait_until(lambda: not Path(f"/proc/{child}").exists(), "the end of the compiler", 5)
    assert not (tmp_path / "jprobe").exists()


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_the_verifiers_last_lines_are_reported() -> None:
    with pytest.raises(
        JcollectError,
        match=r"cannot load jcollect's BPF program bad .*; the verifier reports: .*invalid .*stack.*$",
    ):
        Kernel().load_program("bad", ABOVE_THE_STACK, "GPL")


def test_a_kernel_without_uprobe_multi_gets_perf_events(target: Target) -> None:
    with programs_of(without=frozenset({"uprobe-multi"})) as programs:
        linker = Linker(programs)
        assert linker.link_type == PERF_EVENT
        links = link_all(linker, target)
        assert (links.point, target.semaphores()) == (0, 3)
        target.fire(4, 97)
        links.disarm()
        assert programs.hits()[:3].tolist() == [388] * 3
        assert target.semaphores() == 0
        with pytest.raises(JcollectError, match=r"no uprobe_multi links, available since 6.6; omit --link"):
            Linker(programs, UPROBE_MULTI)


LACKING = {
    "ref-count": r"semaphores of uprobes \(ref_ctr_offset\), available since 4.20",
    "ring-buffer": r"BPF ring buffers, available since 5.8",
    "cookies": r"BPF cookies, available since 5.15",
}


@pytest.mark.parametrize("link_type", [AUTO, UPROBE_MULTI, PERF_EVENT])
@pytest.mark.parametrize("feature", LACKING)
def test_an_old_kernel_is_reported_with_the_missing_feature(
    target: Target, feature: str, link_type: str
) -> None:
    descriptors = os.listdir("/proc/self/fd")
    with (
        pytest.raises(
            JcollectError,
            match=rf"^cannot attach: Linux .* has no {LACKING[feature]}; run Linux 5.15 or later$",
        ),
        programs_of(without=frozenset({feature})) as programs,
        linked(programs, target, link_type),
    ):
        pass
    assert os.listdir("/proc/self/fd") == descriptors
    assert target.semaphores() == 0


@pytest.mark.parametrize("feature", LACKING)
def test_the_command_says_what_the_kernel_lacks_and_leaves_nothing(
    bench: Bench, target: Target, feature: str
) -> None:
    refused = bench.run("attach", target.pid, "--without", feature)
    assert refused.returncode == 1
    assert re.fullmatch(
        rf"jcollect: cannot attach: Linux .* has no {LACKING[feature]}; run Linux 5.15 or later\n",
        refused.stderr,
    )
    assert target.semaphores() == 0
    assert not Path(f"/run/jprobe/{target.pid}.sock").exists()


def test_the_command_falls_back_to_perf_events_and_says_so(bench: Bench, target: Target) -> None:
    collector = bench.attach(target, "--without", "uprobe-multi")
    target.fire(4, 97)
    lines = bench.run("status", target.pid).stdout.splitlines()
    assert "link: perf-event at nop (+0) for 3 probes" in lines
    assert "1,164 hits = 1,164 delivered + 0 lost" in collector.end()
    assert target.semaphores() == 0


def test_an_unknown_feature_is_rejected() -> None:
    with pytest.raises(ValueError, match="unknown kernel features: ring_buffer"):
        Kernel(frozenset({"ring_buffer"}))


def test_the_link_type_and_the_attach_point_are_reported(target: Target) -> None:
    with programs_of() as programs:
        linker = Linker(programs)
        links = link_all(linker, target)
        # On other kernels the offset is 0 if they do not replace nops by calls, and 6 if they replace the
        # longer nop.
        assert (linker.link_type, links.point) in {(UPROBE_MULTI, point) for point in (0, 1, 6)} | {
            (PERF_EVENT, 0)
        }
        links.disarm()


def test_perf_events_raise_the_file_limit_and_report_how_long_closing_takes(
    bench: Bench,
) -> None:
    kinds = (2,)
    image = StubImage([Method("com.acme.Orders", f"m{i}", (), LONG, "()J", kinds) for i in range(31)])
    target = bench.target(image, "*31:dnt")
    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)
    with programs_of() as programs:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 8, allowed[1]))
            with linked(programs, target, PERF_EVENT) as links:
                target.fire(1, 7)
                expected = links.closing_seconds
                begun = time.monotonic()
            assert time.monotonic() - begun < 3 * expected < 15
            assert links.closing_seconds == 0
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, allowed)
        programs.used = 16
        assert programs.hits().tolist() == [7] * 16, "the BPF program ignores IDs from 16 on"
