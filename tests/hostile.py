"""Functions that each read bytes written by a target, for the fuzzers and the corpus. They include those of
hostile_rpc.py, for bytes written by clients and servers.

Each returns normally, whether it accepts or rejects the bytes. Any exception is a bug in the reader.
"""

from __future__ import annotations

from collections.abc import Callable

import hostile_rpc
from jcollect.errors import JcollectError
from jcollect.layout.gate import GATE_SIZE
from jcollect.layout.record import WORDS_MAX
from jcollect.layout.stub_library import SLOT_BYTES, SLOT_SEMAPHORE_BYTES
from jcollect.probes.faults import Faults
from jcollect.probes.live import LiveProbe
from jcollect.probes.manifest import decode_manifest
from jcollect.probes.probe import narrow, probes_of
from jcollect.probes.stub_library import (
    MalformedLibraryError,
    StubLibrary,
    find_stub_mappings,
    parse_stub_image,
)
from jcollect.probes.usdt_notes import parse_notes
from jcollect.procfs.hsperfdata import texts_of
from jcollect.procfs.java_command import main_class, words_of
from jcollect.procfs.maps import parse_maps
from jcollect.rpc.messages import probe_message
from jcollect.sources.bpf.btf import Btf, MalformedBtfError
from processes import closed


def read_library(content: bytes) -> None:
    try:
        image = parse_stub_image(content)
    except MalformedLibraryError:
        return
    text, semaphores = image.text, image.semaphores
    for probe in narrow(probes_of([StubLibrary(closed(1), "/x", 0, image)]), ()):
        site = probe.site
        assert text.address <= site.location <= text.address + text.size - SLOT_BYTES
        assert (
            semaphores.address
            <= site.semaphore
            <= semaphores.address + semaphores.size - SLOT_SEMAPHORE_BYTES
        )
        assert semaphores.address + semaphores.size <= len(content)
        assert probe.slot.number < image.states.size
        assert GATE_SIZE * probe.slot.gate < image.gates.size
        assert 1 <= site.words <= WORDS_MAX
        assert site.string_mask < 1 << site.words
        probe_message(LiveProbe(probe).describe()).SerializeToString()


def read_manifest(content: bytes) -> None:
    try:
        manifest, elements = decode_manifest(content)
    except MalformedLibraryError:
        return
    values = sum(len(slot.values) for slot in manifest.probes)
    parts = (manifest.methods, manifest.probes, manifest.untraceable, manifest.selectors)
    assert values + sum(map(len, parts)) <= elements.total


def read_notes(content: bytes) -> None:
    try:
        list(parse_notes(content, Faults()))
    except MalformedLibraryError:
        return


def read_map(content: bytes) -> None:
    find_stub_mappings(list(parse_maps(content.decode(errors="surrogateescape"))))


def read_btf(content: bytes) -> None:
    """Looks for members that there are, through all kinds of types, and for one that there is not."""
    try:
        btf = Btf(content)
    except MalformedBtfError:
        return
    for path in (("tgid",), ("info", "last_arrival"), ("absent",)):
        try:
            assert 0 <= btf.offset("task_struct", *path) < 1 << 40
        except JcollectError:
            continue


def read_perf_data(content: bytes) -> None:
    for name, text in texts_of(content).items():
        assert len(name) + len(text) < 1 << 14


def read_command_line(content: bytes) -> None:
    text = content.decode(errors="replace")
    main_class(text.split(), lambda path: text)
    main_class(words_of(text), lambda path: text)


READERS: dict[str, Callable[[bytes], None]] = {
    "library": read_library,
    "manifest": read_manifest,
    "notes": read_notes,
    "btf": read_btf,
    "maps": read_map,
    "perf-data": read_perf_data,
    "command-line": read_command_line,
    **hostile_rpc.READERS,
}
