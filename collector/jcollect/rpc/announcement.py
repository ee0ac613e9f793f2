"""Announces the address of a collector that serves outside of the default directory.

`jcollect observe PID` and `jcollect status PID` find it by that. An announcement is a symbolic link in the
default directory. Its name has the PID of the collector, and its content is the address. Links of other users
are ignored.
"""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Iterator

from jcollect.errors import JcollectError
from jcollect.rpc.address import RUN_DIRECTORY, Address, is_number, parse_address
from jcollect.rpc.lock_file import NO_LINK, open_directory

_SUFFIX = ".at"
# Maximum number of entries of the directory that are looked at.
_MOST_ENTRIES = 10_000


@contextlib.contextmanager
def announced(address: Address) -> Iterator[None]:
    """Announces an address during the block, if the user may write into the default directory."""
    if address.path is not None and os.path.dirname(address.path) == RUN_DIRECTORY:
        yield
        return
    name = f"{os.getpid()}{_SUFFIX}"
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):
            directory = open_directory(RUN_DIRECTORY)
            stack.callback(os.close, directory)
            _unlink(directory, name)
            os.symlink(address.text, name, dir_fd=directory)
            stack.callback(_unlink, directory, name)
        yield


def announced_addresses() -> list[Address]:
    """Returns the addresses that running collectors of root and of this user have announced."""
    found: list[Address] = []
    with contextlib.suppress(OSError):
        directory = os.open(RUN_DIRECTORY, os.O_RDONLY | os.O_DIRECTORY | NO_LINK)
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
