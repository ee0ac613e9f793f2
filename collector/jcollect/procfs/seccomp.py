"""Forbids system calls that jcollect never makes, so that an exploited bug cannot make them.

It is a deny list, because an allow list of what gRPC, Python and a JVM call would not last. A forbidden call
fails with EPERM. Format: seccomp(2), struct sock_filter in linux/filter.h.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from collections.abc import Iterable

from jcollect.procfs.capabilities import check

# Call numbers on x86_64 and on aarch64 (asm/unistd.h); those from 424 on are the same everywhere.
_NUMBERS: dict[str, tuple[int, int | None]] = {
    "acct": (163, 89),
    "add_key": (248, 217),
    "adjtimex": (159, 171),
    "bind": (49, 200),
    "bpf": (321, 280),
    "chroot": (161, 51),
    "clock_adjtime": (305, 266),
    "clock_settime": (227, 112),
    "delete_module": (176, 106),
    "execve": (59, 221),
    "execveat": (322, 281),
    "finit_module": (313, 273),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fsopen": (430, 430),
    "fspick": (433, 433),
    "init_module": (175, 105),
    "io_uring_setup": (425, 425),
    "ioperm": (173, None),
    "iopl": (172, None),
    "kexec_file_load": (320, 294),
    "kexec_load": (246, 104),
    "keyctl": (250, 219),
    "mknod": (133, None),
    "mknodat": (259, 33),
    "mount": (165, 40),
    "mount_setattr": (442, 442),
    "move_mount": (429, 429),
    "open_tree": (428, 428),
    "perf_event_open": (298, 241),
    "personality": (135, 92),
    "pivot_root": (155, 41),
    "process_vm_writev": (311, 271),
    "ptrace": (101, 117),
    "quotactl": (179, 60),
    "reboot": (169, 142),
    "request_key": (249, 218),
    "setns": (308, 268),
    "settimeofday": (164, 170),
    "swapoff": (168, 225),
    "swapon": (167, 224),
    "syslog": (103, 116),
    "umount2": (166, 39),
    "unshare": (272, 97),
    "userfaultfd": (323, 282),
}
# Readers start no programs, serve no clients, trace nothing and enter no namespace.
_OF_OTHERS = frozenset(("bind", "bpf", "execve", "execveat", "perf_event_open", "setns"))
NEVER = frozenset(_NUMBERS) - _OF_OTHERS
NEVER_IN_READERS = frozenset(_NUMBERS)

# linux/audit.h
_ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
# System calls of the x32 ABI have this bit.
_X32 = 0x40000000

# linux/seccomp.h, linux/bpf_common.h
_SECCOMP_SET_MODE_FILTER = 1
_SECCOMP_FILTER_FLAG_TSYNC = 1
_RET_ALLOW = 0x7FFF0000
_RET_ERRNO = 0x00050000
_LOAD, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_NR_AT, _ARCH_AT = 0, 4
_INSTRUCTION = struct.Struct("<HBBI")
_SECCOMP_CALL = {"x86_64": 317, "aarch64": 277}


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_char_p)]


def forbid(calls: Iterable[str]) -> None:
    """Forbids calls permanently, for all threads of this process and its children. no_new_privs must be set.

    Does nothing if the kernel has no filters, or on any other machine than these. Raises OSError.
    """
    machine = os.uname().machine
    if machine not in _ARCHITECTURES:
        return
    code = program(calls, machine)
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    attributes = _Program(len(code) // _INSTRUCTION.size, code)
    result = libc.syscall(
        ctypes.c_long(_SECCOMP_CALL[machine]),
        ctypes.c_uint(_SECCOMP_SET_MODE_FILTER),
        ctypes.c_uint(_SECCOMP_FILTER_FLAG_TSYNC),
        ctypes.byref(attributes),
    )
    if result < 0 and ctypes.get_errno() in (errno.ENOSYS, errno.EINVAL):
        return  # The kernel was built without CONFIG_SECCOMP_FILTER.
    check(result)


def program(calls: Iterable[str], machine: str) -> bytes:
    """Returns the filter: forbidden calls, and calls through another ABI, fail with EPERM."""
    column, architecture = _ARCHITECTURES[machine]
    numbers = sorted(number for name in calls if (number := _NUMBERS[name][column]) is not None)
    refuse = len(numbers) + 1  # Jumps are relative to the instruction after the test of the architecture.
    code = [
        (_LOAD, 0, 0, _ARCH_AT),
        (_EQUAL, 1, 0, architecture),
        (_RETURN, 0, 0, _RET_ERRNO | errno.EPERM),
        (_LOAD, 0, 0, _NR_AT),
        (_AT_LEAST, refuse, 0, _X32),
    ]
    code += [(_EQUAL, len(numbers) - index, 0, number) for index, number in enumerate(numbers)]
    code += [(_RETURN, 0, 0, _RET_ALLOW), (_RETURN, 0, 0, _RET_ERRNO | errno.EPERM)]
    return b"".join(_INSTRUCTION.pack(*instruction) for instruction in code)
