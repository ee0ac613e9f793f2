"""Capabilities of this process: which it holds, and how it gives them up for good. See capabilities(7)."""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterable

# linux/capability.h
DAC_OVERRIDE = 1
DAC_READ_SEARCH = 2
KILL = 5
SETGID = 6
SETUID = 7
SETPCAP = 8
SYS_PTRACE = 19
SYS_ADMIN = 21
PERFMON = 38
BPF = 39
CHECKPOINT_RESTORE = 40

NAMES = {
    DAC_OVERRIDE: "CAP_DAC_OVERRIDE",
    DAC_READ_SEARCH: "CAP_DAC_READ_SEARCH",
    KILL: "CAP_KILL",
    SETGID: "CAP_SETGID",
    SETUID: "CAP_SETUID",
    SETPCAP: "CAP_SETPCAP",
    SYS_PTRACE: "CAP_SYS_PTRACE",
    SYS_ADMIN: "CAP_SYS_ADMIN",
    PERFMON: "CAP_PERFMON",
    BPF: "CAP_BPF",
    CHECKPOINT_RESTORE: "CAP_CHECKPOINT_RESTORE",
}

_LAST = 63
_VERSION_3 = 0x20080522
_HEADER = struct.Struct("<Ii")
# Effective, permitted, inheritable: of the lower 32, then of the upper.
_SETS = struct.Struct("<6I")
_PR_CAPBSET_READ = 23
_PR_CAPBSET_DROP = 24
_PR_SET_NO_NEW_PRIVS = 38

_libc = ctypes.CDLL(None, use_errno=True)


def effective() -> int:
    """A bit for each that this thread holds."""
    return _get()[0]


def keep_only(wanted: Iterable[int]) -> None:
    """Gives up all others, for this process and what it starts, and lets no program that it runs gain any.

    For a process with one thread: what others hold stays. Raises OSError.
    """
    mask = sum(1 << capability for capability in set(wanted))
    for capability in range(_LAST + 1):
        if not mask >> capability & 1 and _libc.prctl(_PR_CAPBSET_READ, capability, 0, 0, 0) == 1:
            # Without CAP_SETPCAP it stays in the bounding set, which alone gives nothing: see below.
            _libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)
    _, permitted, inheritable = _get()
    put(permitted & mask, permitted & mask, inheritable & mask)
    check(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))


def put(effective: int, permitted: int, inheritable: int) -> None:
    """Sets them, of this thread. Ambient ones that are not in the latter two go. Raises OSError."""
    halves = [half for word in (0, 1) for half in _words(word, effective, permitted, inheritable)]
    check(_libc.capset(_HEADER.pack(_VERSION_3, 0), _SETS.pack(*halves)))
    if _get() != (effective, permitted, inheritable):
        raise PermissionError(1, "the kernel has not set the capabilities")


def _words(word: int, *masks: int) -> list[int]:
    return [mask >> 32 * word & 0xFFFFFFFF for mask in masks]


def _get() -> tuple[int, int, int]:
    sets = ctypes.create_string_buffer(_SETS.size)
    check(_libc.capget(_HEADER.pack(_VERSION_3, 0), sets))
    words = _SETS.unpack(sets.raw)
    return words[0] | words[3] << 32, words[1] | words[4] << 32, words[2] | words[5] << 32


def check(result: int) -> None:
    """Raises the OSError of a C function that has returned -1."""
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
