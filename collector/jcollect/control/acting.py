"""Touches files with the rights of the target's user instead of root's.

Thereby nothing that the target prepares (links, other people's files) makes root do what its user may
not, and files are made where root has no name: in file systems of another user namespace.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Iterator

from jcollect.control.target import Target

_libc = ctypes.CDLL(None, use_errno=True)


@contextlib.contextmanager
def as_user_of(target: Target) -> Iterator[None]:
    """In this thread alone: setfsuid(2), which also puts the capabilities over files aside. Root only."""
    if os.geteuid() != 0:
        yield
        return
    # The group first: the user's change takes the right to change it.
    group = _libc.setfsgid(target.gid)
    user = _libc.setfsuid(target.uid)
    try:
        yield
    finally:
        _libc.setfsuid(user)
        _libc.setfsgid(group)
