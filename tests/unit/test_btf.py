"""The kernel's description of its types is read, and no bytes make the reader do anything but reject them."""

from __future__ import annotations

import struct
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jcollect.errors import JcollectError
from jcollect.sources.bpf.btf import Btf, offsets_of_kernel

INT, STRUCT, UNION, TYPEDEF, CONST = 1, 4, 5, 8, 10
_HEADER_BYTES = 24


class BtfImage:
    """A description from named parts."""

    def __init__(self) -> None:
        self.names = b"\0"
        self.types = b""
        self.count = 0

    def name(self, text: str) -> int:
        if not text:
            return 0
        self.names += text.encode() + b"\0"
        return len(self.names) - len(text) - 1

    def add(self, name: str, kind: int, size_or_type: int = 0, rest: bytes = b"", count: int = 0) -> int:
        """Adds a type, and returns its number."""
        self.types += struct.pack("<III", self.name(name), kind << 24 | count, size_or_type) + rest
        self.count += 1
        return self.count

    def add_struct(self, name: str, *members: tuple[str, int, int], kind: int = STRUCT) -> int:
        """Adds a structure. A member is its name, its type, and its offset in bytes."""
        rest = b"".join(struct.pack("<III", self.name(text), of, 8 * at) for text, of, at in members)
        return self.add(name, kind, 64, rest, len(members))

    def build(self) -> bytes:
        head = struct.pack(
            "<HBBIIIII", 0xEB9F, 1, 0, _HEADER_BYTES, 0, len(self.types), len(self.types), len(self.names)
        )
        return head + self.types + self.names


def task_image() -> BtfImage:
    """Returns a description with a task_struct whose members are nested, as those of kernels are."""
    image = BtfImage()
    number = image.add("unsigned int", INT, 4, struct.pack("<I", 32))
    info = image.add_struct("sched_info", ("pcount", number, 0), ("last_arrival", number, 24))
    alias = image.add("sched_info_t", TYPEDEF, image.add("", CONST, info))
    inner = image.add_struct("", ("tgid", number, 4), ("info", alias, 16))
    union = image.add_struct("", ("", inner, 0), kind=UNION)
    image.add_struct("task_struct", ("pid", number, 8), ("", union, 64))
    return image


def test_members_are_found_below_names_and_without() -> None:
    btf = Btf(task_image().build())
    assert btf.offset("task_struct", "pid") == 8
    assert btf.offset("task_struct", "tgid") == 68
    assert btf.offset("task_struct", "info", "last_arrival") == 64 + 16 + 24


@pytest.mark.parametrize("path", [("none",), ("pid", "none"), ("info", "none")])
def test_a_missing_member_is_named(path: tuple[str, ...]) -> None:
    with pytest.raises(JcollectError, match=rf"this kernel has no task_struct\.{'.'.join(path)}"):
        Btf(task_image().build()).offset("task_struct", *path)


def test_the_running_kernel_has_the_members() -> None:
    pid, tgid, arrival = offsets_of_kernel(
        "task_struct", (("pid",), ("tgid",), ("sched_info", "last_arrival"))
    )
    assert tgid == pid + 4
    assert arrival % 8 == 0
    assert arrival != pid


def test_structures_without_names_that_contain_each_other_are_rejected_in_bounded_time() -> None:
    image = BtfImage()
    # Each contains the next one twice; the last one contains the first.
    depth = 40
    for level in range(depth):
        following = (level + 1) % depth + 1
        image.add_struct("loop" if not level else "", ("", following, 0), ("", following, 8))
    begun = time.process_time()
    with pytest.raises(JcollectError, match=r"has no loop\.member"):
        Btf(image.build()).offset("loop", "member")
    assert time.process_time() - begun < 1


def read(content: bytes) -> None:
    """Accepts or rejects the content; raises nothing else."""
    begun = time.process_time()
    try:
        btf = Btf(content)
        btf.offset("task_struct", "info", "last_arrival")
        btf.offset("task_struct", "absent")
    except JcollectError:
        pass
    assert time.process_time() - begun < 2


SOUND = task_image().build()
FEW = settings(max_examples=400, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


@FEW
@given(
    changes=st.lists(st.tuples(st.integers(0, len(SOUND) - 1), st.integers(0, 255)), max_size=8),
    length=st.integers(0, len(SOUND)) | st.just(len(SOUND)),
)
def test_changed_and_truncated_descriptions(changes: list[tuple[int, int]], length: int) -> None:
    content = bytearray(SOUND)
    for at, byte in changes:
        content[at] = byte
    read(bytes(content[:length]))


@FEW
@given(content=st.binary(max_size=300))
def test_bytes_of_any_kind(content: bytes) -> None:
    read(struct.pack("<HBBI", 0xEB9F, 1, 0, 24) + content)
