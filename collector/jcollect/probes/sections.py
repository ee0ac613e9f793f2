"""Reads sections of binaries as they are now in the memory of their processes."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator, Sequence

from jcollect.errors import copy_of
from jcollect.probes.site import Binary
from jcollect.probes.stub_library import Section, StubLibrary
from jcollect.procfs.apart import apart
from jcollect.procfs.memory import parts_of, read_memory
from jcollect.procfs.process import Process
from jcollect.procfs.reader_process import MAX_ANSWER_BYTES

# Maximum size of one request. A single section is smaller, as part of a library.
_ENOUGH_BYTES = MAX_ANSWER_BYTES // 10
_MOST_SECTIONS = 4096

Part = tuple[Binary, Section]


def read_states(libraries: Iterable[StubLibrary]) -> list[bytes]:
    """Returns the state bytes of each library, in slot order."""
    return all_of(read_sections([(library, library.image.states) for library in libraries]))


def read_section(library: StubLibrary, section: Section) -> bytes:
    """Returns the current content of a section in its process. Raises OSError."""
    (content,) = all_of(read_sections([(library, section)]))
    return content


def all_of(read: Iterable[bytes | OSError]) -> list[bytes]:
    """Returns all contents. Raises the first error among them."""
    parts = []
    for part in read:
        if isinstance(part, OSError):
            raise copy_of(part)
        parts.append(part)
    return parts


def read_sections(wanted: Sequence[Part]) -> list[bytes | OSError]:
    """Returns the current content of each section in its process, or the error if it cannot be read, for
    instance because it is unmapped.

    Reads the sections of one process in as few requests as possible.
    """
    found: list[bytes | OSError] = [b""] * len(wanted)
    for process, numbers in _requests(wanted):
        try:
            parts = _read_memory(process, [wanted[number] for number in numbers])
        except OSError as error:
            parts = [error.with_traceback(None)] * len(numbers)
        for number, part in zip(numbers, parts, strict=True):
            found[number] = part
    return found


def _requests(wanted: Sequence[Part]) -> Iterator[tuple[Process, list[int]]]:
    """Yields each process with the indices of the sections to request together."""
    size = 0
    numbers: list[int] = []
    for number, (binary, section) in enumerate(wanted):
        is_full = size + section.size > _ENOUGH_BYTES or len(numbers) >= _MOST_SECTIONS
        if numbers and (is_full or binary.process is not wanted[numbers[-1]][0].process):
            yield wanted[numbers[-1]][0].process, numbers
            numbers, size = [], 0
        numbers.append(number)
        size += section.size
    if numbers:
        yield wanted[numbers[-1]][0].process, numbers


def _read_memory(process: Process, wanted: Sequence[Part]) -> list[bytes | OSError]:
    """Reads sections in the memory of one process. Raises OSError."""
    ranges = [(binary.bias + section.address, section.size) for binary, section in wanted]
    parts = parts_of(apart(process, read_memory, process.pid, ranges).content, ranges)
    for number, (part, (_, size)) in enumerate(zip(parts, ranges, strict=True)):
        # For a process that is about to exit, the kernel returns less instead of an error.
        if isinstance(part, bytes) and len(part) < size:
            parts[number] = ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH))
    return parts
