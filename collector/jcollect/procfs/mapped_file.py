"""Reads the files that a process has mapped, in a reader process: see procfs/mapped.py."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from jcollect.errors import copy_of
from jcollect.limits import MAX_READ_BYTES
from jcollect.procfs.apart import PATIENCE_SECONDS, apart
from jcollect.procfs.mapped import MAX_FILES, Mapped, read_mapped
from jcollect.procfs.mapped_answer import FileState, MappedFile, decode
from jcollect.procfs.maps import Mapping
from jcollect.procfs.process import Process


class MappedFiles:
    """The files that a process has mapped, to be read at one moment."""

    def __init__(self, process: Process, seconds: float = PATIENCE_SECONDS) -> None:
        """`seconds` is the maximum time for an answer."""
        self._process = process
        self._seconds = seconds
        self._read = 0

    def read_all(
        self, mappings: Sequence[Mapping], most: int, known: frozenset[FileState] = frozenset()
    ) -> Iterator[MappedFile | OSError]:
        """Yields the file of each mapping, or the error if it cannot be read, for instance because
        it has more than `most` bytes. Omits the content of `known` files. Raises OSError if the process as a
        whole cannot be read."""
        at = 0
        while at < len(mappings):
            wanted = [mapped(mapping) for mapping in mappings[at : at + MAX_FILES]]
            limits = (most, MAX_READ_BYTES, self._read)
            process = self._process
            answer = apart(process, read_mapped, process.pid, wanted, *limits, known, seconds=self._seconds)
            for file in decode(answer.content):
                at += 1
                if isinstance(file, MappedFile):
                    self._read += len(file.content or b"")
                yield file

    def read(self, mapping: Mapping, most: int) -> MappedFile:
        """Returns the file of one mapping. Raises OSError."""
        (file,) = self.read_all([mapping], most)
        if isinstance(file, OSError):
            raise copy_of(file)
        return file


def mapped(mapping: Mapping) -> Mapped:
    """Returns the mapping in the form that a reader expects."""
    has_path = mapping.path.startswith("/") and not mapping.path.startswith("/memfd:") and not mapping.deleted
    return Mapped(mapping.start, mapping.end, mapping.file, mapping.path if has_path else "")
