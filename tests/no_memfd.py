"""Runs a command in a process tree whose memfd_create fails, as under some containers' seccomp profiles.

python no_memfd.py ERRNO COMMAND...; the numbers are those of linux/filter.h, linux/seccomp.h and prctl(2).
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys

MEMFD_CREATE = {"x86_64": 319, "aarch64": 279}
LOAD_WORD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06
RETURN_ERRNO, RETURN_ALLOW = 0x00050000, 0x7FFF0000
SET_NO_NEW_PRIVILEGES, SET_SECCOMP, FILTER_MODE = 38, 22, 2


def instruction(code: int, if_true: int, if_false: int, operand: int) -> bytes:
    return struct.pack("HBBI", code, if_true, if_false, operand)


def forbid_memfd(errno: int) -> None:
    program = b"".join(
        (
            instruction(LOAD_WORD, 0, 0, 0),
            instruction(JUMP_IF_EQUAL, 0, 1, MEMFD_CREATE[os.uname().machine]),
            instruction(RETURN, 0, 0, RETURN_ERRNO | errno),
            instruction(RETURN, 0, 0, RETURN_ALLOW),
        )
    )
    memory = ctypes.create_string_buffer(program)
    filter = struct.pack("HxxxxxxQ", len(program) // 8, ctypes.addressof(memory))
    libc = ctypes.CDLL(None, use_errno=True)
    for arguments in ((SET_NO_NEW_PRIVILEGES, 1, 0, 0, 0), (SET_SECCOMP, FILTER_MODE, filter, 0, 0)):
        if libc.prctl(*arguments):
            raise OSError(ctypes.get_errno(), "prctl")


if __name__ == "__main__":
    forbid_memfd(int(sys.argv[1]))
    os.execvp(sys.argv[2], sys.argv[2:])
