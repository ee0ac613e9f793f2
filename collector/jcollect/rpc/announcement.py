"""Announces the address of a collector that serves outside of the default directories.

`jcollect observe PID` and `jcollect status PID` find it by that. An announcement is a symbolic link in a
default directory. Its name has the PID of the collector, and its content is the address. Links of other users
are ignored.
"""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Iterator

from jcollect.errors import JcollectError
from jcollect.rpc.address import Address, is_number, parse_address
from jcollect.rpc.run_directory import (
    directory_to_serve_in,
    open_to_read,
    open_to_serve,
    run_directories,
)

_SUFFIX = ".at"
# Maximum number of entries of the directory that are looked at.
_MOST_ENTRIES = 10_000


@contextlib.contextmanager
def announced(address: Address) -> Iterator[None]:
    """Announces an address during the block, if the user may write into a default directory."""
    if address.path is not None and os.path.dirname(address.path) in run_directories():
        yield
        return
    name = f"{os.getpid()}{_SUFFIX}"
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError, JcollectError):
            directory = open_to_serve(directory_to_serve_in())
            stack.callback(os.close, directory)
            _unlink(directory, name)
            os.symlink(address.text, name, dir_fd=directory)
            stack.callback(_unlink, directory, name)
        yield


def announced_addresses() -> list[Address]:
    """Returns the addresses that running collectors of root and of this user have announced."""
    return [address for path in run_directories() for address in _announced_in(path)]


def _announced_in(path: str) -> list[Address]:
    found: list[Address] = []
    with contextlib.suppress(OSError):
        directory = open_to_read(path)
        try:
            with os.scandir(directory) as entries:
                names = sorted(entry.name for entry in itertools.islice(entries, _MOST_ENTRIES))
            for name in names:
                with contextlib.suppress(OSError, JcollectError):
                    found += _announced_by(directory, name)
        finally:
            os.close(directory)
    return found


def _announced_by(directory: int, name: str) -> list[Address]:
    pid = name.removesuffix(_SUFFIX)
    if pid == name or not is_number(pid):
        return []
    owner = os.stat(name, dir_fd=directory, follow_symlinks=False).st_uid
    if owner not in (0, os.geteuid()):
        return []
    if not os.path.exists(f"/proc/{pid}"):
        _unlink(directory, name)
        return []
    return [parse_address(os.readlink(name, dir_fd=directory))]


def _unlink(directory: int, name: str) -> None:
    with contextlib.suppress(OSError):
        os.unlink(name, dir_fd=directory)
