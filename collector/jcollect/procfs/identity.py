"""Changes the identity of this process, completely and for good."""

from __future__ import annotations

import ctypes
import os
import resource
import struct
from collections.abc import Collection
from dataclasses import dataclass

# linux/capability.h, linux/prctl.h, linux/securebits.h
CAP_KILL = 5
CAP_SYS_PTRACE = 19
_CAP_LAST = 63
_CAPABILITY_VERSION_3 = 0x20080522
_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_CAPBSET_DROP = 24
_PR_SET_SECUREBITS = 28
_PR_SET_NO_NEW_PRIVS = 38
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_CLEAR_ALL = 4
_SECBIT_NO_SETUID_FIXUP = 1 << 2
_SIGKILL = 9

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Identity:
    """User and group, as this user namespace numbers them."""

    uid: int
    gid: int


def become(identity: Identity, keep: Collection[int] = (CAP_SYS_PTRACE,)) -> None:
    """Takes on a user and a group, no other groups, and no capabilities but `keep`. There is no way back.

    For a process with one thread. Without root it takes no other identity than its own. Raises OSError,
    PermissionError where the result is not what was asked for.
    """
    if os.geteuid() == 0:
        os.setgroups([])
        _check(_libc.prctl(_PR_SET_SECUREBITS, _SECBIT_NO_SETUID_FIXUP, 0, 0, 0))
        for capability in set(range(_CAP_LAST + 1)) - set(keep):
            # EINVAL of those that this kernel does not know.
            _libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)
        os.setresgid(identity.gid, identity.gid, identity.gid)
        os.setresuid(identity.uid, identity.uid, identity.uid)
        _libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
        _set_capabilities(keep)
    _verify(identity)
    _check(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    _check(_libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0))
    # The change of identity has cleared it.
    _check(_libc.prctl(_PR_SET_PDEATHSIG, _SIGKILL, 0, 0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.umask(0o077)
    os.chdir("/")


def _set_capabilities(keep: Collection[int]) -> None:
    mask = sum(1 << capability for capability in keep)
    low, high = mask & 0xFFFFFFFF, mask >> 32
    header = struct.pack("<Ii", _CAPABILITY_VERSION_3, 0)
    _check(_libc.capset(header, struct.pack("<6I", low, low, 0, high, high, 0)))


def _verify(identity: Identity) -> None:
    user, group = identity.uid, identity.gid
    if os.getresuid() != (user,) * 3 or os.getresgid() != (group,) * 3:
        raise PermissionError(1, f"this process has not become user {user} and group {group}")


def _check(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
