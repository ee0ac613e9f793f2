"""Capabilities of this process: which it holds, and how it gives them up permanently. See capabilities(7)."""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Collection

# linux/capability.h
CHOWN = 0
DAC_OVERRIDE = 1
DAC_READ_SEARCH = 2
KILL = 5
SETGID = 6
SETUID = 7
SETPCAP = 8
SYS_PTRACE = 19
SYS_ADMIN = 21
SYS_NICE = 23
PERFMON = 38
BPF = 39
CHECKPOINT_RESTORE = 40
NAMES = {
    CHOWN: "CAP_CHOWN",
    DAC_OVERRIDE: "CAP_DAC_OVERRIDE",
    DAC_READ_SEARCH: "CAP_DAC_READ_SEARCH",
    KILL: "CAP_KILL",
    SETGID: "CAP_SETGID",
    SETUID: "CAP_SETUID",
    SETPCAP: "CAP_SETPCAP",
    SYS_PTRACE: "CAP_SYS_PTRACE",
    SYS_ADMIN: "CAP_SYS_ADMIN",
    SYS_NICE: "CAP_SYS_NICE",
    PERFMON: "CAP_PERFMON",
    BPF: "CAP_BPF",
    CHECKPOINT_RESTORE: "CAP_CHECKPOINT_RESTORE",
}

_VERSION_3 = 0x20080522
_HEADER = struct.Struct("<Ii")
# Effective, permitted and inheritable sets: the lower 32 bits of each, then the upper.
_SETS = struct.Struct("<6I")
_PR_CAPBSET_DROP = 24
_PR_SET_NO_NEW_PRIVS = 38

_libc = ctypes.CDLL(None, use_errno=True)


def thread_sets() -> tuple[int, int, int]:
    """Returns the effective, permitted and inheritable capabilities of this thread as bit sets."""
    sets = ctypes.create_string_buffer(_SETS.size)
    check(_libc.capget(_HEADER.pack(_VERSION_3, 0), sets))
    low, high = _SETS.unpack(sets.raw)[:3], _SETS.unpack(sets.raw)[3:]
    effective, permitted, inheritable = (low[i] | high[i] << 32 for i in range(3))
    return effective, permitted, inheritable


def holds(capability: int) -> bool:
    """Returns true if this thread has the capability in effect."""
    return bool(thread_sets()[0] >> capability & 1)


def advice() -> str:
    """Returns how to get a capability that is missing."""
    if os.geteuid():
        return "run with sudo"
    return "this root lacks it, as in a container; run jcollect on the host, or add the capability"


def bits(capabilities: Collection[int]) -> int:
    """Returns a set of capabilities in the form that `thread_sets` returns."""
    return sum(1 << capability for capability in set(capabilities))


def keep_in_thread(wanted: Collection[int], inheritable: int = 0) -> None:
    """Gives up all others, in this thread only; ambient ones go with them. Raises OSError.

    `inheritable` is a set as `thread_sets` returns it. Without it, no program that this thread runs has any,
    unless root runs it.
    """
    kept = bits(wanted) & thread_sets()[1]
    sets = (kept, kept, inheritable & kept)
    words = [each >> shift & 0xFFFFFFFF for shift in (0, 32) for each in sets]
    check(_libc.capset(_HEADER.pack(_VERSION_3, 0), _SETS.pack(*words)))
    if thread_sets() != sets:
        raise PermissionError(1, "this thread keeps other capabilities than it should")


def limit_bounding_set(wanted: Collection[int]) -> None:
    """Keeps everything that this thread runs from gaining others. Requires CAP_SETPCAP. Raises OSError."""
    for capability in set(range(_count())) - set(wanted):
        prctl(_PR_CAPBSET_DROP, capability)


def keep_in_process(wanted: Collection[int]) -> None:
    """Gives up all others, for this process and its children, and lets no program that it runs gain any.

    For a process with one thread. Raises OSError.
    """
    if holds(SETPCAP):
        limit_bounding_set(wanted)
    prctl(_PR_SET_NO_NEW_PRIVS, 1)
    keep_in_thread(wanted, thread_sets()[2])


def _count() -> int:
    with open("/proc/sys/kernel/cap_last_cap") as file:
        return int(file.read()) + 1


def prctl(option: int, *arguments: int) -> int:
    """Calls prctl(2). Raises OSError."""
    words = [ctypes.c_ulong(word) for word in (*arguments, 0, 0, 0, 0)[:4]]
    return check(_libc.prctl(ctypes.c_int(option), *words))


def check(result: int) -> int:
    """Returns the result of a C function. Raises the OSError of one that returned -1."""
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
