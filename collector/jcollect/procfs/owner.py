"""The owner of a process: the user who is charged for the work that it causes."""

from __future__ import annotations

import fcntl
import os
import struct

from jcollect.procfs.status import real_user

NOBODYS = -1

# linux/nsfs.h
_NS_GET_PARENT = 0xB702
_NS_GET_OWNER_UID = 0xB704
_UID = struct.Struct("I")


def owner_of(pid: int) -> int:
    """Returns the real user, whatever the process has executed since; NOBODYS if it has exited.

    An ordinary user can have thousands of users in user namespaces (subuid(5)), and is the owner of all their
    processes.
    """
    try:
        return _maker_of_users(pid) or real_user(pid)
    except (OSError, ValueError, LookupError):
        return NOBODYS


def _maker_of_users(pid: int) -> int:
    """Returns the user who has made the process's user namespace, or the outermost one around it below ours.
    0 if it runs in ours, or if root has made it, for somebody else then."""
    path = f"/proc/{pid}/ns/user"
    ours = os.stat("/proc/self/ns/user")
    try:
        if os.path.samestat(os.stat(path), ours):
            return 0
        namespace = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except PermissionError:
        return 0
    maker = 0
    try:
        while not os.path.samestat(os.fstat(namespace), ours):
            content = fcntl.ioctl(namespace, _NS_GET_OWNER_UID, bytes(_UID.size))
            (maker,) = _UID.unpack(content)
            outer = fcntl.ioctl(namespace, _NS_GET_PARENT)
            os.close(namespace)
            namespace = outer
    except PermissionError:
        return 0  # It is around ours, or beside it.
    finally:
        os.close(namespace)
    return maker
