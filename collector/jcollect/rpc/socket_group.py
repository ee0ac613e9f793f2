"""Lets the members of a group use a socket: --group.

The kernel decides which groups a user may give: those they are a member of, and any with CAP_CHOWN or
CAP_SETGID. A file gets its group before the group gets any right, so nobody has more rights for a moment.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import grp
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass

from jcollect.console import warn
from jcollect.errors import JcollectError
from jcollect.printable import printable
from jcollect.procfs import capabilities as cap
from jcollect.rpc.run_directory import run_directories

SOCKET_MODE = 0o660
_DIRECTORY_MODE = 0o710
_MOST_GID = (1 << 32) - 2
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class SocketGroup:
    """A group whose members may connect."""

    name: str
    gid: int

    @classmethod
    def named(cls, name: str) -> SocketGroup:
        """Returns the group with a name or number, if this process may give it. Raises JcollectError."""
        cannot = f"cannot let the group '{printable(name)}' connect"
        try:
            is_number = name.isascii() and name.isdigit() and int(name) <= _MOST_GID
            gid = int(name) if is_number else grp.getgrnam(name).gr_gid
        except (KeyError, ValueError):
            raise JcollectError(f"{cannot}: there is no such group; getent group lists them") from None
        is_member = gid in (os.getegid(), *os.getgroups())
        if not is_member and not (cap.holds(cap.CHOWN) and cap.holds(cap.SETGID)):
            raise JcollectError(
                f"{cannot}: this user is no member of it, and only root may give another one; give a group "
                "that id prints, or run with sudo"
            )
        return cls(name, gid)

    @contextlib.contextmanager
    def creating(self) -> Iterator[None]:
        """Runs a block in which new files of this thread get the group. Has no effect without CAP_SETGID."""
        before = _libc.setfsgid(self.gid)
        try:
            yield
        finally:
            _libc.setfsgid(before)

    def admit(self, entry: int) -> None:
        """Lets the group connect to the socket of a descriptor (O_PATH), whose mode is 0600. "
        "Raises OSError."""
        path = f"/proc/self/fd/{entry}"
        self._give(entry, path)
        os.chmod(path, SOCKET_MODE)

    def admit_to_directory(self, directory: int, folder: str) -> None:
        """Lets the group enter the directory of its socket, if that is one of the default ones. The rights of
        others are their owner's business. Raises OSError."""
        parent = os.path.dirname(folder)
        if folder in run_directories() and not self._may_enter(os.stat(parent)):
            # A user's own runtime directory.
            warn(
                f"the group {self.name} cannot connect: the mode of {parent} does not let it in; use --listen"
            )
        about = os.fstat(directory)
        if self._may_enter(about):
            return
        if folder not in run_directories():
            warn(f"the group {self.name} may not be able to connect: the mode of {folder} does not let it in")
            return
        if about.st_mode & stat.S_IRWXG:
            raise PermissionError(
                errno.EPERM,
                f"its group is {about.st_gid} already, for another collector; name a socket in "
                "another directory",
            )
        path = f"/proc/self/fd/{directory}"
        self._give(directory, path)
        os.chmod(path, _DIRECTORY_MODE)

    def _may_enter(self, about: os.stat_result) -> bool:
        return bool(
            about.st_mode & stat.S_IXOTH or (about.st_mode & stat.S_IXGRP and about.st_gid == self.gid)
        )

    def _give(self, entry: int, path: str) -> None:
        if os.fstat(entry).st_gid != self.gid:
            os.chown(path, -1, self.gid)
