"""Stub libraries of emulated programs: their code is for another processor."""

from __future__ import annotations

import struct

import pytest

from jcollect.errors import JcollectError
from jcollect.probes.probe import probes_of
from jcollect.probes.stub_library import StubLibrary, parse_stub_image
from jcollect.sources.bpf.source import BpfSource
from processes import ourselves
from stub_image import LONG, Method, StubImage

# e_machine, elf(5).
MACHINE_AT, X86_64, AARCH64 = 18, 62, 183


def image_for(machine: int) -> bytes:
    content = bytearray(StubImage([Method("com.acme.Orders", "place", (), LONG, "()J")]).build())
    struct.pack_into("<H", content, MACHINE_AT, machine)
    return bytes(content)


def test_the_machine_of_a_library_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    for own, machine in (("x86_64", X86_64), ("aarch64", AARCH64)):
        monkeypatch.setattr("platform.machine", lambda own=own: own)
        for each in (X86_64, AARCH64):
            assert parse_stub_image(image_for(each)).is_of_this_machine == (each == machine)


def test_no_uprobe_is_placed_where_it_would_be_executed_as_foreign_code(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    library = StubLibrary(ourselves(), "1.so", 0, parse_stub_image(image_for(AARCH64)))
    sites = [probe.site for probe in probes_of([library])]
    # It has no kernel to ask: the check comes first.
    source = BpfSource.__new__(BpfSource)
    with pytest.raises(JcollectError, match="the program is emulated"):
        source.arm(list(range(len(sites))), sites)
