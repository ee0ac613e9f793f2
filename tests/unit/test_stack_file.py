"""Stacks are read from the memory of a process as they were written, and nothing of it is trusted."""

from __future__ import annotations

import pytest

from jcollect.layout.stacks import STACK_ENTRY_KIND_FRAME, STACK_ENTRY_KIND_STACK
from jcollect.probes.stack_file import FoundStack, StackFile
from stack_image import StackImage


def test_each_stack_is_read_once() -> None:
    image = StackImage()
    first = image.add(["a.A.b(A.java:1)", "żółć"])
    file = StackFile(image.descriptor)
    assert list(file.new()) == [FoundStack(first, ("a.A.b(A.java:1)", "żółć"), False)]
    assert list(file.new()) == []
    second = image.add(["żółć"], is_truncated=True)
    assert list(file.new()) == [FoundStack(second, ("żółć",), True)]
    file.close()


def test_more_is_read_than_one_piece() -> None:
    image = StackImage(8 << 20)
    for number in range(4000):
        image.add([f"com.acme.Orders.place{number}(Orders.java:{number})" + "x" * 900])
    assert image.used > 3 << 20
    file = StackFile(image.descriptor)
    assert [stack.id for stack in file.new()] == list(range(1, 4001))
    file.close()


@pytest.mark.parametrize(
    ("header", "problem"),
    [
        ({"version": 7}, "it has version 7"),
        ({"data": 8}, "its stacks overlap its header"),
        ({"data": 4097}, "its stacks overlap its header"),
        ({"data": 1 << 20}, "its stacks overlap its header"),
    ],
)
def test_a_header_that_cannot_be_right_is_refused(header: dict[str, int], problem: str) -> None:
    with pytest.raises(OSError, match=problem):
        StackFile(StackImage(**header).descriptor)


def test_a_file_without_a_header_is_refused() -> None:
    with pytest.raises(OSError, match="it is too short"):
        StackFile(StackImage(16).descriptor)


@pytest.mark.parametrize(
    ("kind", "content", "problem"),
    [
        (9, b"x", "of an unknown kind"),
        (STACK_ENTRY_KIND_STACK, b"abc", "half a frame"),
        (STACK_ENTRY_KIND_STACK, b"\7\0\0\0", "a frame that is not described"),
        (STACK_ENTRY_KIND_FRAME, b"x" * 5000, "an entry is too long"),
    ],
)
def test_nothing_is_read_after_an_entry_that_is_malformed(kind: int, content: bytes, problem: str) -> None:
    image = StackImage()
    good = image.add(["a"])
    file = StackFile(image.descriptor)
    image.entry(kind, 5, content)
    image.add(["b"])
    new = file.new()
    assert next(new).id == good
    with pytest.raises(OSError, match=problem):
        next(new)
    assert list(file.new()) == []
    assert problem in file.problem
    file.close()


def test_sizes_that_do_not_fit_end_the_reading() -> None:
    for used in (1 << 40, 1 << 16, (1 << 16) - 4096 + 8):
        image = StackImage()
        file = StackFile(image.descriptor)
        image.publish(used)
        with pytest.raises(OSError, match="do not fit"):
            list(file.new())
        file.close()
    image = StackImage()
    image.add(["a"])
    file = StackFile(image.descriptor)
    assert len(list(file.new())) == 1
    # Half a header.
    image.publish(image.used + 8)
    with pytest.raises(OSError, match="beyond the end"):
        list(file.new())
    file.close()


def test_a_process_has_so_many_frames_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jcollect.probes.stack_file._MOST_FRAMES", 6)
    image = StackImage()
    for _ in range(5):
        image.add(["a", "b"])
    file = StackFile(image.descriptor)
    new = file.new()
    assert [next(new).id for _ in range(3)] == [1, 2, 3]
    with pytest.raises(OSError, match="too many stacks"):
        next(new)
    assert list(file.new()) == []
    file.close()
