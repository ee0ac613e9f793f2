"""A library that is mapped repeatedly is read once. A failure for lack of our own resources does not count as
a read.
"""

from __future__ import annotations

import mmap
import os
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from jcollect.errors import NoFilesError
from jcollect.probes import stub_library
from jcollect.probes.host import Host
from jcollect.probes.known_images import KnownImages
from jcollect.probes.scan import Scan, rescan, scan
from jcollect.probes.stub_library import StubImage as ParsedImage
from jcollect.probes.stub_library import parse_stub_image
from jcollect.procfs import apart as apart_module
from jcollect.procfs.mapped_answer import FileState
from processes import ourselves
from stub_image import ENTRY, LONG, Method, StubImage

OURSELVES = os.getpid()
PLACE = Method("com.acme.Orders", "place", (LONG,), kinds=(ENTRY,))
CLOSE = Method("com.acme.Orders", "close", (LONG,), kinds=(ENTRY,))


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Collects the sizes of the parsed files."""
    sizes: list[int] = []

    def parse(content: bytes) -> ParsedImage:
        sizes.append(len(content))
        return parse_stub_image(content)

    monkeypatch.setattr(stub_library, "parse_stub_image", parse)
    monkeypatch.setattr(stub_library, "_known", KnownImages())
    return sizes


@contextmanager
def mapped(path: Path) -> Iterator[None]:
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, mmap.MAP_PRIVATE, mmap.PROT_READ):
        yield


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "jprobe-1/1.so"
    path.parent.mkdir()
    path.write_bytes(StubImage([PLACE]).build())
    return path


def names(process: Scan) -> list[str]:
    return [probe.name for probe in process.probes(())]


def test_a_library_that_is_mapped_repeatedly_is_parsed_once(path: Path, parsed: list[int]) -> None:
    process = Scan(ourselves())
    for _ in range(5):
        with mapped(path):
            process = rescan(process, pytest.fail)
            assert names(process) == ["place__entry"]
        process = rescan(process, pytest.fail)
        assert process.libraries == ()
    assert len(parsed) == 1


def rewritten(path: Path) -> None:
    content = StubImage([CLOSE]).build()
    assert len(content) == path.stat().st_size
    about = path.stat()
    path.write_bytes(content)
    os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))


def replaced(path: Path) -> None:
    path.unlink()
    path.write_bytes(StubImage([CLOSE]).build())


@pytest.mark.parametrize("change", [rewritten, replaced])
def test_another_content_is_read(path: Path, parsed: list[int], change: Callable[[Path], None]) -> None:
    with mapped(path):
        assert names(scan(ourselves(), pytest.fail)) == ["place__entry"]
    change(path)
    with mapped(path):
        assert names(scan(ourselves(), pytest.fail)) == ["close__entry"]
    assert len(parsed) == 2


def test_a_rejected_library_that_is_mapped_repeatedly_is_parsed_once(path: Path, parsed: list[int]) -> None:
    path.write_bytes(bytes(4096))
    warnings: list[str] = []
    for _ in range(3):
        with mapped(path):
            assert scan(ourselves(), warnings.append).libraries == ()
    assert len(parsed) == 1
    assert len(warnings) == 3
    assert len(set(warnings)) == 1


def test_the_cache_is_limited_by_number_and_size() -> None:
    image = parse_stub_image(StubImage([PLACE]).build())
    states = [FileState(1, number, 1, 1, 1) for number in range(5)]

    def left(known: KnownImages) -> list[int]:
        for state in states:
            known.used(state, (image, b""))
        return [state.inode for state in known.of(range(5))]

    assert left(KnownImages(most=2)) == [3, 4]
    assert left(KnownImages(most_weight=3 * image.weight)) == [2, 3, 4]
    # The newest one always stays, or else the heaviest one would be parsed again each time.
    assert left(KnownImages(most_weight=1)) == [4]
    known = KnownImages(most=2)
    known.used(states[0], (image, b""))
    known.used(states[1], ("refused", b""))
    known.used(states[0], (image, b""))
    known.used(states[2], (image, b""))
    assert [state.inode for state in known.of(range(5))] == [0, 2]


@contextmanager
def no_descriptors() -> Iterator[None]:
    """Leaves this process no free descriptor, and no idle readers."""
    idle, apart_module._idle[:] = list(apart_module._idle), []
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # With 0, even poll(2) fails.
    resource.setrlimit(resource.RLIMIT_NOFILE, (1, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        apart_module._idle[:] = idle


def test_a_shortage_of_descriptors_is_not_confused_with_the_exit_of_a_process(path: Path) -> None:
    with mapped(path):
        host = Host()
        process = scan(ourselves(), pytest.fail)
        assert OURSELVES in [each.pid for each in host.scan()]
        with no_descriptors():
            with pytest.raises(OSError, match="Too many open files"):
                rescan(process, pytest.fail)
            with pytest.raises(OSError, match="Too many open files"):
                rescan(Scan(process.process), pytest.fail)
            for read in (lambda: scan(process.process, pytest.fail), ourselves):
                with pytest.raises(NoFilesError, match="too many files are open"):
                    read()
            assert OURSELVES in [each.pid for each in host.scan()]
        assert OURSELVES in [each.pid for each in host.scan()]
        assert rescan(process, pytest.fail) == process
        host.close()
