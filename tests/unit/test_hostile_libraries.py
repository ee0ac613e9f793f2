"""Attacks on a collector's time and memory by mapped files: each has its limit, and one warning."""

from __future__ import annotations

import ctypes
import gc
import mmap
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from jcollect import limits
from jcollect.layout.gate import GATE_SIZE
from jcollect.layout.stub_library import STUB_LIBRARY_VERSION
from jcollect.probes.live import LiveProbe, read_live
from jcollect.probes.probe import narrow, probes_of
from jcollect.probes.scan import Scan, rescan, scan
from jcollect.probes.stub_library import (
    MalformedLibraryError,
    StubLibrary,
    find_stub_mappings,
    parse_stub_image,
    read_stub_library,
    read_stub_mappings,
)
from jcollect.procfs.maps import read_maps
from processes import closed, ourselves
from stub_image import ENTRY, LONG, Method, StubImage

PLACE = Method("com.acme.Orders", "place", (LONG,), kinds=(ENTRY,))
# The limits of limits.py, with three times the CPU time: machines differ and share their cores.
LIBRARY_SECONDS, PROCESS_SECONDS = 3 * 4.0, 3 * 6.0
LIBRARY_MIB, PROCESS_MIB = 450, 700


def field(number: int, content: bytes) -> bytes:
    size, prefix = len(content), bytes([number << 3 | 2])
    while size > 0x7F:
        prefix, size = prefix + bytes([size & 0x7F | 0x80]), size >> 7
    return prefix + bytes([size]) + content


VERSION = b"\x08" + bytes([STUB_LIBRARY_VERSION])
SELECTOR, METHOD, PROBE, UNTRACEABLE = (field(number, b"") for number in (4, 5, 6, 7))
VALUE = field(3, b"")
ENTRY_KIND = b"\x10\x01"


def slot(values: int) -> bytes:
    return field(6, ENTRY_KIND + VALUE * values)


def library(manifest: bytes, slots: int = 0, methods: int = 0) -> bytes:
    """Returns a library with that many stubs, each with a note, whatever its manifest says."""
    kinds = (ENTRY,) * slots
    image = StubImage([Method("p", "n", kinds=kinds)], manifest_bytes=VERSION + manifest)
    image.gate_bytes = GATE_SIZE * methods
    image.names = lambda: [("p", f"n{i}") for i in range(slots)]  # type: ignore[method-assign]
    return image.build()


@contextmanager
def bounded(mib: float, seconds: float) -> Iterator[None]:
    """Limits the memory and the CPU time used inside."""
    gc.collect()
    # Memory that earlier tests have freed would be reused, and hide the use here.
    _libc.malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")  # Resets the peak to the current value.
    before, begun = resident("VmHWM"), time.process_time()
    yield
    taken, peak = time.process_time() - begun, resident("VmHWM") - before
    assert peak < mib, f"{peak} MiB"
    assert taken < seconds, f"{taken} s of CPU time"


def resident(what: str) -> float:
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(what))
    return int(line.split()[1]) / 1024


@pytest.mark.parametrize(
    "content",
    [
        lambda: library(UNTRACEABLE * limits.MAX_UNTRACEABLE + SELECTOR * limits.MAX_SELECTORS),
        lambda: library(METHOD * limits.MAX_METHODS, methods=limits.MAX_METHODS),
        lambda: library(
            METHOD * limits.MAX_METHODS + slot(4) * limits.MAX_PROBES, limits.MAX_PROBES, limits.MAX_METHODS
        ),
        lambda: library(METHOD + slot(13) * (limits.MAX_VALUES // 13), limits.MAX_VALUES // 13, 1),
        lambda: library(METHOD + slot(limits.MAX_VALUES), 1, 1),
        lambda: library(field(7, b"\x78\0" * 7_900_000)),
    ],
    ids=["elements", "methods", "probes", "values", "values-of-one", "unknown-fields"],
)
def test_the_most_expensive_libraries_that_are_read(content: Callable[[], bytes]) -> None:
    built = content()
    with bounded(LIBRARY_MIB, LIBRARY_SECONDS):
        image = parse_stub_image(built)
        narrow(probes_of([StubLibrary(closed(1), "/x", 0, image)]), ())


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (lambda: library(SELECTOR * (limits.MAX_SELECTORS + 1)), "more than 16,384 selectors"),
        (lambda: library(METHOD * 8_000_000), "more than 131,072 methods"),
        (lambda: library(PROBE * 8_000_000), "more than 131,072 probes"),
        (lambda: library(UNTRACEABLE * 8_000_000), "more than 131,072 untraceable methods"),
        (lambda: library(METHOD + slot(8_000_000), 1, 1), "more than 524,288 values"),
        (lambda: library(METHOD + field(6, b"\x10\x01" * 8_000_000), 1, 1), "repeats what cannot be"),
        (lambda: library(b"\x78\0" * 8_000_000), "repeats what cannot be repeated"),
        (lambda: library(bytes(limits.MAX_MANIFEST_BYTES)), "more than 16,777,216"),
        # Counted as unknown fields, these would be decoded as methods.
        (lambda: library(b"\xaa\x80\x80\x80\x00\x00" * 2_000_000), "cannot be decoded"),
        (lambda: library(b"\x7b" * 1_000_000), "cannot be decoded"),
        (
            lambda: library(field(5, field(1, b"c" * 60_000)) + slot(0) * 2000, 2000, 1),
            "its probes take 120,",
        ),
    ],
    ids=[
        "selectors", "methods", "probes", "untraceable", "values", "slot-fields", "fields", "bytes",
        "overlong-tags", "groups", "descriptions",
    ],
)  # fmt: skip
def test_parts_beyond_their_limit_are_rejected_before_they_are_decoded(
    content: Callable[[], bytes], reason: str
) -> None:
    built = content()
    with bounded(64, LIBRARY_SECONDS), pytest.raises(MalformedLibraryError, match=reason):
        parse_stub_image(built)


def corrupted(old: bytes, new: bytes) -> bytes:
    content = StubImage([PLACE, Method("com.acme.Orders", "close", (LONG,), kinds=(ENTRY,))]).build()
    assert old in content
    assert len(old) == len(new)
    return content.replace(old, new)


def probes_and_faults(content: bytes) -> tuple[list[str], list[tuple[str, str]]]:
    """Returns the names of the remaining probes, and the reported faults of the others."""
    image = parse_stub_image(content)
    assert image.faults.count == len(image.faults.first)
    return [probe.name for probe in probes_of([StubLibrary(closed(1), "/x", 0, image)])], image.faults.first


def test_a_probe_with_addresses_outside_of_their_sections_is_skipped() -> None:
    sound = parse_stub_image(corrupted(b"", b""))
    for old, why in (
        (sound.text.address, "its location is not that of a stub"),
        (sound.semaphores.address, "its semaphore is not in .probes"),
    ):
        for new in (0, old - 32, old + 1, old + 64, 2**64 - 32, 2**63):
            packed = [number.to_bytes(8, "little") for number in (old, new)]
            # Changes the note. Headers contain the same number twice, as address and file offset.
            content = bytearray(corrupted(b"", b""))
            at = content.index(b"stapsdt\0") + (8 if "location" in why else 24)
            assert content[at : at + 8] == packed[0]
            content[at : at + 8] = packed[1]
            left, faults = probes_and_faults(bytes(content))
            assert left == ["close__entry"]
            assert faults == [("com_acme_Orders:place__entry", why)]


def test_the_first_of_two_notes_of_one_stub_is_used() -> None:
    content = bytearray(corrupted(b"", b""))
    first = content.index(b"stapsdt\0") + 8
    second = content.index(b"stapsdt\0", first) + 8
    content[second : second + 8] = content[first : first + 8]
    left, faults = probes_and_faults(bytes(content))
    assert left == ["place__entry"]
    assert faults == [("com_acme_Orders:close__entry", "another probe is at the same stub")]


@pytest.mark.parametrize(
    ("old", "new", "probe", "reason"),
    [
        (
            b"com_acme_Orders\0close__entry",
            b"com_acme_Orders\0place__entry",
            "com_acme_Orders:place__entry",
            "another probe of its library has the same name",
        ),
        (
            b"\0close__entry",
            b"\0clos\xe9__entry",
            "com_acme_Orders:clos\\xe9__entry",
            "its name has characters that no tracer accepts",
        ),
        (
            b"\0close__entry",
            b"\0clo\x1b[2J_ntry",
            "com_acme_Orders:clo\\x1b[2J_ntry",
            "its name has characters that no tracer accepts",
        ),
        (
            b"com_acme_Orders\0close__entry",
            b"\0close__entry   com_acme_Ord",
            ":close__entry   com_acme_Ord",
            "its name has characters that no tracer accepts",
        ),
        (b"\0close__entry", b"\0clo\0e__entry", "of note 2", "the note does not hold three texts"),
    ],
)
def test_a_probe_with_a_bad_name_is_skipped(old: bytes, new: bytes, probe: str, reason: str) -> None:
    left, faults = probes_and_faults(corrupted(old, new))
    assert left == ["place__entry"]
    assert faults == [(probe, reason)]


@pytest.mark.parametrize("arguments", ["-8@%rdi 9@%rs", "-8@%rdi  8@%r", "8@%rdi 8@%rsi ", "%rdi and %rsi ."])
def test_a_probe_with_arguments_of_a_bad_format_is_skipped(arguments: str) -> None:
    image = StubImage([PLACE, Method("com.acme.Orders", "close", (LONG,), kinds=(ENTRY,))])
    image.argument_formats = lambda: ["-8@%rdi 8@8(%rsp)", arguments]  # type: ignore[method-assign]
    left, faults = probes_and_faults(image.build())
    assert left == ["place__entry"]
    assert faults == [
        ("com_acme_Orders:close__entry", "its note describes no arguments that a tracer can read")
    ]


@pytest.mark.parametrize(
    ("bad_method", "bad_slot", "reason"),
    [
        (field(1, b"com.acme.\xff"), None, "its method's entry in the manifest cannot be decoded"),
        (None, b"\x08\x01" + field(3, field(1, b"\xff")), "its entry in the manifest cannot be decoded"),
        (field(1, b"x" * (1 << 18)), None, "it takes more than 262,144 bytes to describe"),
        (None, b"\x08\x02" + ENTRY_KIND, "it refers to method 2, which is not there"),
        (None, b"\x08\x01\x10\x63", "it has the unknown kind 99"),
        (None, b"\x08\x01", "it has the unknown kind 0"),
        (None, b"\x08\x01" + ENTRY_KIND + VALUE * 13, "its stub passes more than 13 words"),
    ],
)
def test_a_probe_with_a_bad_entry_in_the_manifest_is_skipped(
    bad_method: bytes | None, bad_slot: bytes | None, reason: str
) -> None:
    methods = [field(5, field(1, b"com.acme.Orders") + field(3, b"place")), field(5, bad_method or b"")]
    slots = [field(6, ENTRY_KIND), field(6, bad_slot or b"\x08\x01" + ENTRY_KIND)]
    others = field(4, b"**#\xff*") + field(7, b"\x0a\x01\xff")
    manifest = b"".join(methods + slots) + (others if bad_method else b"")
    content = library(manifest, 2, 2)
    left, faults = probes_and_faults(content)
    assert left == ["n0"]
    assert faults == [("p:n1", reason)]
    (probe,) = probes_of([StubLibrary(closed(1), "/x", 0, parse_stub_image(content))])
    assert (probe.class_name, probe.method, probe.slot.gate) == ("com.acme.Orders", "place", 0)


def test_a_library_with_only_bad_probes_is_reported_in_a_few_lines(mapped: Mapped) -> None:
    slots = 100_000
    image = StubImage([Method("p", "n", kinds=(ENTRY,) * slots)])
    image.names = lambda: [("p", "\x07" * 500)] * slots  # type: ignore[method-assign]
    mapped.map(1, image.build())
    mapped.map(2, StubImage([PLACE]).build())
    warnings: list[str] = []
    with bounded(LIBRARY_MIB, LIBRARY_SECONDS):
        process = scan(ourselves(), warnings.append)
    assert [probe.name for probe in process.probes(())] == ["place__entry"]
    pid = os.getpid()
    assert len(warnings) == limits.MAX_WARNINGS + 1
    assert warnings[0] == (
        f"skipping the probe p:{limits.MAX_SHOWN_NAME * '?'}".replace("?", "\\x07")[: -4 * 2]
        + f"… of PID {pid}: its name has characters that no tracer accepts"
    )
    assert warnings[-1] == f"skipping 99,990 more probes of PID {pid}"
    assert rescan(process, pytest.fail) == process


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (b"\0.text\0", b"\0.tixt\0", r"no section \.text"),
        (b"\0.hash\0", b"\0.text\0", r"two sections '\.text'"),
        (b"\x7fELF\x02", b"\x7fELF\x01", "not a little-endian ELF64 file"),
    ],
)
def test_malformed_parts(old: bytes, new: bytes, reason: str) -> None:
    with pytest.raises(MalformedLibraryError, match=reason):
        parse_stub_image(corrupted(old, new))


def test_a_section_with_an_address_other_than_its_file_offset() -> None:
    content = corrupted(b"", b"")
    text = parse_stub_image(content).text.address.to_bytes(8, "little")
    assert content.count(text * 2) == 1
    with pytest.raises(MalformedLibraryError, match=r"section \.text has an address"):
        parse_stub_image(content.replace(text * 2, bytes(8) + text))


_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = [ctypes.c_void_p, *[ctypes.c_size_t] * 5]
_libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]


class Mapped:
    """Maps files into this process as if they were stub libraries.

    Python's own mmap keeps a descriptor of each.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "jprobe-1"
        self.folder.mkdir()
        self._addresses: list[int] = []

    def map(self, name: int, content: bytes = b"") -> Path:
        path = self.folder / f"{name}.so"
        if content:
            path.write_bytes(content)
        with path.open("rb") as file:
            self.map_descriptor(file.fileno())
        return path

    def map_descriptor(self, descriptor: int, protection: int = mmap.PROT_READ) -> None:
        address = _libc.mmap(None, 4096, protection, mmap.MAP_PRIVATE, descriptor, 0)
        assert address != 2**64 - 1, os.strerror(ctypes.get_errno())
        self._addresses.append(address)

    def unmap(self) -> None:
        for address in self._addresses:
            _libc.munmap(address, 4096)


@pytest.fixture
def mapped(tmp_path: Path) -> Iterator[Mapped]:
    mapped = Mapped(tmp_path)
    yield mapped
    mapped.unmap()


def test_a_process_with_too_many_probes_is_read_up_to_the_limit(mapped: Mapped) -> None:
    costly = library(METHOD + slot(4) * limits.MAX_PROBES, limits.MAX_PROBES, 1)
    for number in range(4):
        mapped.map(number, costly)
    mapped.map(4, StubImage([PLACE]).build())
    del costly
    warnings: list[str] = []
    with bounded(PROCESS_MIB, PROCESS_SECONDS):
        process = scan(ourselves(), warnings.append)
        read_live(process.probes(()))
    assert len(process.libraries) in (2, 3)
    assert len(warnings) == 5 - len(process.libraries)
    assert warnings[0].endswith("with this library, the process has too many probes")
    again = rescan(process, pytest.fail)
    assert again == process


def test_a_process_with_too_many_libraries_is_read_up_to_the_limit(mapped: Mapped) -> None:
    first = mapped.map(0, StubImage([], generation=0).build())
    for number in range(1, limits.MAX_LIBRARIES + 100):
        (mapped.folder / f"{number}.so").hardlink_to(first)
    # Several names of one file count as one library.
    for number in range(1, 10):
        mapped.map(number)
    assert len(scan(ourselves(), pytest.fail).libraries) == 1
    content = StubImage([], generation=0).build()
    for number in range(1, limits.MAX_LIBRARIES + 100):
        (mapped.folder / f"{number}.so").unlink()
        mapped.map(number, content)
    warnings: list[str] = []
    with bounded(PROCESS_MIB, PROCESS_SECONDS):
        process = scan(ourselves(), warnings.append)
    assert len(process.libraries) == limits.MAX_LIBRARIES
    assert len(warnings) == limits.MAX_WARNINGS + 1
    assert warnings[0].endswith(": the process has 4,096 others")
    assert warnings[-1] == f"skipping 90 more stub libraries of PID {os.getpid()}"


def test_no_more_is_read_at_a_time_than_the_limit(mapped: Mapped) -> None:
    for number in range(9):
        with mapped.map(number, b"\x7fELF" * 1024).open("r+b") as sparse:
            sparse.truncate(limits.MAX_LIBRARY_BYTES)
    mapped.map(11, b"\x7fELF" * 1024)
    with (mapped.folder / "11.so").open("r+b") as sparse:
        sparse.truncate(1 << 40)
    warnings: list[str] = []
    with bounded(PROCESS_MIB, PROCESS_SECONDS):
        process = scan(ourselves(), warnings.append)
    assert process.libraries == ()
    reasons = [warning.split(": ", 1)[1] for warning in warnings]
    assert reasons.count("not a little-endian ELF64 file") == 8
    assert sum("mapped more than 536,870,912 new bytes" in reason for reason in reasons) == 1
    assert "it has 1,099,511,627,776 bytes, more than 67,108,864" in reasons


def test_a_file_that_is_exchanged_is_not_opened(mapped: Mapped) -> None:
    path = mapped.map(1, StubImage([PLACE]).build())
    (mapping,) = read_stub_mappings(ourselves())
    path.unlink()
    os.mkfifo(path)  # open(2) would wait for a writer.
    assert read_stub_library(ourselves(), mapping).file.startswith(f"/proc/{os.getpid()}/map_files/")
    path.unlink()
    path.symlink_to("/dev/zero")
    assert read_stub_library(ourselves(), mapping).file.startswith(f"/proc/{os.getpid()}/map_files/")


def test_a_file_that_is_truncated_while_it_is_read(mapped: Mapped) -> None:
    path = mapped.map(1, StubImage([PLACE]).build())
    os.truncate(path, 4096)
    warnings: list[str] = []
    assert scan(ourselves(), warnings.append).libraries == ()
    assert warnings == [
        f"skipping the stub library {path} of PID {os.getpid()}: its section headers reach beyond the file"
    ]


def test_a_path_with_terminal_control_characters_is_printed_escaped(tmp_path: Path) -> None:
    folder = tmp_path / "\x1b[2J"
    folder.mkdir()
    mapped = Mapped(folder)
    mapped.map(1, bytes(4096))
    warnings: list[str] = []
    scan(ourselves(), warnings.append)
    mapped.unmap()
    assert f"{tmp_path}/\\x1b[2J/jprobe-1/1.so" in warnings[0]


def test_a_path_that_is_not_utf8_can_be_opened_and_printed(tmp_path: Path) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff"))
    folder.mkdir()
    mapped = Mapped(folder)
    path = mapped.map(1, StubImage([PLACE]).build())
    (library,) = scan(ourselves(), pytest.fail).libraries
    mapped.unmap()
    assert library.file == str(path)
    (probe,) = probes_of([library])
    assert LiveProbe(probe).describe().file == f"{tmp_path}/\ufffd/jprobe-1/1.so"


def test_a_memory_map_of_many_long_lines_is_searched_in_time(tmp_path: Path, mapped: Mapped) -> None:
    """Maps as many files as the kernel allows, with paths as long as it allows."""
    depth, here = 0, os.open(tmp_path, os.O_RDONLY)
    with suppress(OSError):
        while depth < 15:
            os.mkdir("d" * 250, dir_fd=here)
            here, above = os.open("d" * 250, os.O_RDONLY, dir_fd=here), here
            os.close(above)
            depth += 1
    file = os.open("f", os.O_RDWR | os.O_CREAT, dir_fd=here)
    os.ftruncate(file, 8192)
    # Adjacent mappings of consecutive offsets would merge into one.
    for _ in range(30_000):
        mapped.map_descriptor(file, mmap.PROT_READ)
        mapped.map_descriptor(file, mmap.PROT_READ | mmap.PROT_WRITE)
    mapped.map(1, StubImage([PLACE]).build())
    with bounded(64, PROCESS_SECONDS):
        # On a loaded machine, the kernel may take longer than the default limit to write 250 MB.
        assert len(find_stub_mappings(read_maps(ourselves(), b"jprobe-", seconds=60))) == 1
    with bounded(3 * limits.MAX_KEPT_BYTES >> 20, PROCESS_SECONDS), pytest.raises(OSError, match="large"):
        read_maps(ourselves(), seconds=60)
    os.close(file)
    os.close(here)


def test_known_libraries_are_not_read_again(mapped: Mapped) -> None:
    path = mapped.map(1, StubImage([PLACE]).build())
    process = scan(ourselves(), pytest.fail)
    path.write_bytes(bytes(4096))
    assert rescan(process, pytest.fail) == process
    assert rescan(Scan(ourselves()), lambda warning: None).libraries == ()
