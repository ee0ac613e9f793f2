"""Distinguishes files whose pages the kernel gets on its own from those that it has to request from others.

To set a uprobe, the kernel reads the page that it goes into while it holds a lock that every fork on the
machine needs. A file system served by a program (FUSE) or over a network could block it forever. The
functions run apart.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os

# Magic numbers from linux/magic.h, and the file systems' own headers.
_TMPFS = 0x01021994
_OF_THE_KERNEL = {
    0xEF53: "ext",
    0x58465342: "xfs",
    0x9123683E: "btrfs",
    0xF2F52010: "f2fs",
    0xCA451A4E: "bcachefs",
    0x2FC12FC1: "zfs",
    _TMPFS: "tmpfs",
    0x858458F6: "ramfs",
    0xE0F5E1E2: "erofs",
    0x73717368: "squashfs",
    0x3153464A: "jfs",
    0x52654973: "reiserfs",
    0x3434: "nilfs2",
    0x4D44: "vfat",
    0x2011BAB0: "exfat",
}
_OVERLAY = 0x794C7630
# linux/nsfs.h
_NS_GET_USERNS = 0xB701

_libc = ctypes.CDLL(None, use_errno=True)


def check_kernel_serves(descriptor: int, pid: int) -> None:
    """Raises OSError (EREMOTE) unless the kernel alone serves the file of an O_PATH descriptor.

    `pid` is a process that sees it. An overlay is only as safe as its layers, which cannot be determined: it
    is accepted if root has mounted it.
    """
    kind = _kind_of(descriptor)
    if kind in _OF_THE_KERNEL or (kind == _OVERLAY and _is_of_root(descriptor, pid)):
        return
    which = "an overlay of a user namespace" if kind == _OVERLAY else f"a file system of type {kind:#x}"
    raise OSError(errno.EREMOTE, f"it is in {which}, which could block the kernel forever")


def is_in_memory(descriptor: int) -> bool:
    """Returns true if the file of an O_PATH descriptor is in a tmpfs, as each memfd is."""
    return _kind_of(descriptor) == _TMPFS


def _kind_of(descriptor: int) -> int:
    """Returns f_type of struct statfs, its first word; 0 if the file system does not even report that."""
    about = (ctypes.c_ulong * 32)()
    return about[0] & 0xFFFFFFFF if _libc.fstatfs(descriptor, about) == 0 else 0


def _is_of_root(descriptor: int, pid: int) -> bool:
    """Returns true for mounts in the mount namespace of this process, or in one that belongs to its user
    namespace: no other user can mount there."""
    mount = _mount_id(descriptor)
    ours = _devices("self")
    with contextlib.suppress(OSError):
        theirs = _devices(str(pid))
        device = theirs.get(mount) or ours.get(mount)
        return device is not None and (device in ours.values() or _has_our_users(pid))
    return mount in ours


def _mount_id(descriptor: int) -> bytes:
    with open(f"/proc/self/fdinfo/{descriptor}", "rb") as lines:
        return next((line.split()[1] for line in lines if line.startswith(b"mnt_id:")), b"")


def _devices(pid: str) -> dict[bytes, bytes]:
    """Returns the devices of mounts, by mount. Raises OSError."""
    with open(f"/proc/{pid}/mountinfo", "rb") as lines:
        return {words[0]: words[2] for words in (line.split(maxsplit=3) for line in lines)}


def _has_our_users(pid: int) -> bool:
    with open(f"/proc/{pid}/ns/mnt", "rb") as namespace:
        owner = fcntl.ioctl(namespace, _NS_GET_USERNS)
    try:
        return os.path.samestat(os.fstat(owner), os.stat("/proc/self/ns/user"))
    finally:
        os.close(owner)
