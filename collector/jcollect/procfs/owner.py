"""Determines the owner of a process: the user who is charged for the work that it causes."""

from __future__ import annotations

import fcntl
import functools
import os
import struct

NOBODYS = -1

# linux/nsfs.h
_NS_GET_PARENT = 0xB702
_NS_GET_OWNER_UID = 0xB704
_UID = struct.Struct("I")


def owner_of(pid: int, real_user: int) -> int:
    """Returns the owner of a process that this user has started; NOBODYS if it has exited.

    An ordinary user can have thousands of users in user namespaces (subuid(5)), and is the owner of all their
    processes. What a process has executed since it was started does not matter.
    """
    try:
        return _creator_of_user_namespace(pid) or real_user
    except (OSError, ValueError, LookupError):
        return NOBODYS


def _creator_of_user_namespace(pid: int) -> int:
    """Returns the user who created the user namespace of a process: the outermost one around it that is
    still inside the namespace of this process.

    Returns 0 if the process runs in that of this process, or if root created it on behalf of another user.
    """
    path = f"/proc/{pid}/ns/user"
    ours = _our_user_namespace()
    try:
        if os.path.samestat(os.stat(path), ours):
            return 0
        namespace = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except PermissionError:
        return 0
    creator = 0
    try:
        while not os.path.samestat(os.fstat(namespace), ours):
            content = fcntl.ioctl(namespace, _NS_GET_OWNER_UID, bytes(_UID.size))
            (creator,) = _UID.unpack(content)
            outer = fcntl.ioctl(namespace, _NS_GET_PARENT)
            os.close(namespace)
            namespace = outer
    except PermissionError:
        return 0  # The namespace is not inside the one of this process.
    finally:
        os.close(namespace)
    return creator


@functools.cache
def _our_user_namespace() -> os.stat_result:
    return os.stat("/proc/self/ns/user")
