"""Turns a child of ours into another user for good: the one place that changes an identity.

The child shares its user with a process that may be hostile. Of root it keeps the capabilities that are named
to `become`, and nothing else: no group, no other capability now or after an exec, no directory, no core dump.
The user may signal it, and neither trace it nor read its memory, because it is not dumpable (prctl(2)).

It imports nothing but the standard library.
"""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import signal
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

# linux/capability.h
CAP_DAC_READ_SEARCH = 2
_CAP_SETGID = 6
_CAP_SETUID = 7
_CAP_SETPCAP = 8
CAP_SYS_PTRACE = 19
_VERSION_3 = 0x20080522
# linux/prctl.h
_PR_SET_PDEATHSIG = 1
_PR_GET_DUMPABLE, _PR_SET_DUMPABLE = 3, 4
_PR_SET_KEEPCAPS = 8
_PR_CAPBSET_DROP = 24
_PR_SET_NO_NEW_PRIVS, _PR_GET_NO_NEW_PRIVS = 38, 39
_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL = 47, 4
_UMASK = 0o077

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Identity:
    """A user and a group, as numbered in our user namespace."""

    uid: int
    gid: int


def can_become(identity: Identity) -> bool:
    """Returns true if this process has the capabilities for it, or is that user already, in any group."""
    return _may_change() or os.getresuid() == (identity.uid,) * 3


def _may_change() -> bool:
    held = _held()[0]
    return bool(held >> _CAP_SETUID & 1 and held >> _CAP_SETGID & 1)


def become(identity: Identity, keep: Collection[int] = (CAP_SYS_PTRACE,), parent: int | None = None) -> None:
    """Makes this process that user, irrevocably, and verifies it. For a child with a single thread.

    `keep` are capabilities, of which it keeps those that it has. `parent` is the PID of the parent that it
    dies with. A process without CAP_SETUID and CAP_SETGID has to be that user already, and keeps its groups:
    it has had the rights of both before. Raises OSError, PermissionError where the result is not what was
    asked for: then the process must do nothing more.
    """
    if len(os.listdir("/proc/self/task")) != 1:
        raise _refusal("it has more than one thread, and each has an identity of its own")
    held = _held()[0]
    kept = _bits(keep) & held
    if not can_become(identity):
        raise _refusal("it takes CAP_SETUID and CAP_SETGID to become another user")
    if not _may_change():
        identity = Identity(identity.uid, os.getgid())
    groups = _groups_to_have()
    _change_ids(identity, groups)
    _keep_capabilities(kept)
    _confine()
    # Last: a change of identity takes the signal back, and makes the process dumpable or not as it likes.
    _prctl(_PR_SET_DUMPABLE, 0)
    if parent is not None:
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            raise _refusal("its parent has ended")
    # Without CAP_SETPCAP the bounding set stays, and is of no use with no_new_privs.
    _verify(identity, groups, kept, has_bounds=not held >> _CAP_SETPCAP & 1)


def keep_only(capabilities: Collection[int]) -> None:
    """Gives up the other capabilities that `become` has kept, in this thread alone. Raises OSError."""
    kept = _bits(capabilities) & _held()[0]
    _set_capabilities(kept)
    if _held() != (kept, kept, 0):
        raise _refusal("it keeps other capabilities")


def _groups_to_have() -> list[int]:
    """The supplementary groups afterwards: none, where they can be given up."""
    # Where a user namespace forbids it (user_namespaces(7)), nobody in there can give up or gain a group.
    return [] if _may_change() and not _is_forbidden() else os.getgroups()


def _is_forbidden() -> bool:
    try:
        return Path("/proc/self/setgroups").read_text().strip() == "deny"
    except OSError:
        return False


def _change_ids(identity: Identity, groups: Sequence[int]) -> None:
    # While the capabilities for it are there.
    if _held()[0] >> _CAP_SETPCAP & 1:
        for capability in range(_count()):
            _prctl(_PR_CAPBSET_DROP, capability)
    if list(groups) != os.getgroups():
        os.setgroups(groups)
    _prctl(_PR_SET_KEEPCAPS, 1)
    os.setresgid(*(identity.gid,) * 3)
    os.setresuid(*(identity.uid,) * 3)
    _prctl(_PR_SET_KEEPCAPS, 0)


def _keep_capabilities(kept: int) -> None:
    _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)
    _set_capabilities(kept)


def _confine() -> None:
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.umask(_UMASK)
    os.chdir("/")


def _verify(identity: Identity, groups: Sequence[int], kept: int, has_bounds: bool) -> None:
    status = _status()
    # The fourth is the one for files.
    uids, gids = status["Uid"].split(), status["Gid"].split()
    found = {
        "its user": set(map(int, uids)) == {identity.uid} and os.getresuid() == (identity.uid,) * 3,
        "its group": set(map(int, gids)) == {identity.gid} and os.getresgid() == (identity.gid,) * 3,
        "its supplementary groups": os.getgroups() == list(groups),
        "its capabilities": _held() == (kept, kept, 0) and int(status["CapAmb"], 16) == 0,
        "its bounding set": has_bounds or int(status["CapBnd"], 16) == 0,
        "no_new_privs": _prctl(_PR_GET_NO_NEW_PRIVS) == 1,
        "dumpable": _prctl(_PR_GET_DUMPABLE) == 0,
        "its directory": os.getcwd() == "/",
        "its core limit": resource.getrlimit(resource.RLIMIT_CORE) == (0, 0),
    }
    wrong = [name for name, is_right in found.items() if not is_right]
    if wrong:
        raise _refusal(f"not as asked for: {', '.join(wrong)}")


def _bits(capabilities: Collection[int]) -> int:
    return sum(1 << capability for capability in set(capabilities))


def _count() -> int:
    return int(Path("/proc/sys/kernel/cap_last_cap").read_text()) + 1


def _status() -> dict[str, str]:
    lines = Path("/proc/self/status").read_text(errors="replace").splitlines()
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)


# capget(2): two words of each set, and a header.
_Data = ctypes.c_uint32 * 6


class _Header(ctypes.Structure):
    _fields_ = [("version", ctypes.c_uint32), ("pid", ctypes.c_int)]


def _held() -> tuple[int, int, int]:
    """The effective, permitted and inheritable capabilities of this thread."""
    header, data = _Header(_VERSION_3, 0), _Data()
    _check(_libc.capget(ctypes.byref(header), data))
    effective, permitted, inheritable = (data[i] | data[i + 3] << 32 for i in range(3))
    return effective, permitted, inheritable


def _set_capabilities(bits: int) -> None:
    low, high = bits & 0xFFFFFFFF, bits >> 32
    header = _Header(_VERSION_3, 0)
    _check(_libc.capset(ctypes.byref(header), _Data(low, low, 0, high, high, 0)))


def _prctl(option: int, *arguments: int) -> int:
    words = [ctypes.c_ulong(word) for word in (*arguments, 0, 0, 0, 0)[:4]]
    return _check(_libc.prctl(ctypes.c_int(option), *words))


def _refusal(reason: str) -> PermissionError:
    return PermissionError(errno.EPERM, f"this process has not become that user: {reason}")


def _check(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
