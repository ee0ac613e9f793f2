"""Finds stub libraries among the mappings of a process, and reads them. stub_image.py holds their contents,
and probe.py makes probes of them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from jcollect.errors import copy_of
from jcollect.limits import MAX_LIBRARY_BYTES
from jcollect.probes.known_images import KnownImages, Read
from jcollect.probes.malformed import MalformedLibraryError as MalformedLibraryError
from jcollect.probes.site import Backing
from jcollect.probes.stub_image import TIMED_KINDS as TIMED_KINDS
from jcollect.probes.stub_image import Section as Section
from jcollect.probes.stub_image import StubImage as StubImage
from jcollect.probes.stub_image import parse_stub_image as parse_stub_image
from jcollect.probes.stub_image import words_of as words_of
from jcollect.procfs.mapped_answer import MappedFile
from jcollect.procfs.mapped_file import MappedFiles, mapped
from jcollect.procfs.maps import Mapping, MappingKey, read_maps
from jcollect.procfs.process import Process

# <any directory>/jprobe-<pid>-<random>/<generation>.so, or the memfd jprobe-<generation>. The PID in the name
# is the one inside the target's PID namespace, so it is useless here; older libraries lack the rest.
_PATH = re.compile(r".*/jprobe-\d+(-[0-9a-f]{1,16})?/\d+\.so|/memfd:jprobe-\d+")
_IN_EVERY_PATH = b"jprobe-"

_known = KnownImages()


_NOT_MAPPED = MappingKey((0, 0, 0), 0, "")


@dataclass(frozen=True)
class StubLibrary:
    """A stub library mapped into a process.

    `file` is a path that opens it from here. It is for display only: unlike `backing`, it may lead to another
    file at any moment. `bias` plus an address in the image is the address in the process. `key` distinguishes
    it from all others of the process.
    """

    process: Process
    file: str
    bias: int
    image: StubImage
    key: MappingKey = _NOT_MAPPED
    backing: Backing | None = None

    @property
    def is_agents(self) -> bool:
        """True if an agent has written it, and not the program itself."""
        return bool(self.image.manifest.agent_version)


def is_stub_path(path: str) -> bool:
    """Returns true if a path in /proc/PID/maps, without " (deleted)", names a stub library."""
    return _PATH.fullmatch(path) is not None


def find_stub_mappings(mappings: list[Mapping]) -> list[Mapping]:
    """Returns the first mapping of each stub library, by ascending address.

    An inaccessible mapping is not part of one: it reserves the addresses of a library that was unloaded.
    """
    first: dict[tuple[int, int, int], Mapping] = {}
    for mapping in mappings:
        if is_stub_path(mapping.path) and mapping.access != "---p":
            first.setdefault(mapping.file, mapping)
    return list(first.values())


def read_stub_mappings(process: Process) -> list[Mapping]:
    """Returns the stub libraries that a process has mapped now. Raises OSError."""
    return find_stub_mappings(read_maps(process, _IN_EVERY_PATH))


def mapped_keys(process: Process) -> set[MappingKey]:
    """Returns the keys of the stub libraries that a process has mapped now. Raises OSError."""
    return {mapping.key for mapping in read_stub_mappings(process)}


def read_stub_library(process: Process, mapping: Mapping) -> StubLibrary:
    """Reads a mapped library. Raises MalformedLibraryError, or OSError if it cannot be opened."""
    ((_, library),) = read_stub_libraries(process, [mapping])
    if isinstance(library, StubLibrary):
        return library
    raise copy_of(library)


def read_stub_libraries(
    process: Process, mappings: Sequence[Mapping]
) -> Iterator[tuple[Mapping, StubLibrary | MalformedLibraryError | OSError]]:
    """Yields the library of each mapping, or the error that it causes, as they are read. A file that was read
    recently is not read again. Raises OSError if the process as a whole cannot be read."""
    known = _known.of({mapping.inode for mapping in mappings})
    files = MappedFiles(process).read_all(mappings, MAX_LIBRARY_BYTES, frozenset(known))
    for mapping, file in zip(mappings, files, strict=True):
        if isinstance(file, OSError):
            yield mapping, file
            continue
        image, digest = read = known[file.state] if file.content is None else _parsed(file)
        _known.used(file.state, read)
        if isinstance(image, str):
            yield mapping, MalformedLibraryError(image)
            continue
        yield (
            mapping,
            StubLibrary(
                process=process,
                file=file.path,
                bias=mapping.start - mapping.offset,
                image=image,
                key=mapping.key,
                backing=Backing(mapped(mapping), file.state, digest),
            ),
        )


def _parsed(file: MappedFile) -> Read:
    assert file.content is not None
    try:
        return parse_stub_image(file.content), file.digest
    except MalformedLibraryError as error:
        return str(error), file.digest
