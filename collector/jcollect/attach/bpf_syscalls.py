"""bpf(2) and perf_event_open(2) through ctypes: the few calls that bcc's Python face lacks or gets wrong.

bcc 0.26 has no uprobe_multi links, and its attach_uprobe passes garbage as ref_ctr_offset (bcc issue
5236). Structures: union bpf_attr in linux/bpf.h, struct perf_event_attr in linux/perf_event.h. All
offsets are file offsets in bytes.
"""

from __future__ import annotations

import ctypes
import os
import platform
from collections.abc import Sequence
from pathlib import Path

BPF_PERF_EVENT = 41
BPF_TRACE_UPROBE_MULTI = 48

_BPF_LINK_CREATE = 28
_PERF_FLAG_FD_CLOEXEC = 8
# asm/unistd.h: bpf, perf_event_open
_CALLS = {"x86_64": (321, 298), "aarch64": (280, 241)}

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


class _UprobeMulti(ctypes.Structure):
    _fields_ = [
        ("prog_fd", ctypes.c_uint32),
        ("target_fd", ctypes.c_uint32),
        ("attach_type", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("path", ctypes.c_char_p),
        ("offsets", ctypes.c_void_p),
        ("ref_ctr_offsets", ctypes.c_void_p),
        ("cookies", ctypes.c_void_p),
        ("count", ctypes.c_uint32),
        ("uprobe_flags", ctypes.c_uint32),
        ("pid", ctypes.c_uint32),
        ("padding", ctypes.c_uint32),
    ]


class _PerfEventLink(ctypes.Structure):
    _fields_ = [
        ("prog_fd", ctypes.c_uint32),
        ("target_fd", ctypes.c_uint32),
        ("attach_type", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("cookie", ctypes.c_uint64),
    ]


class _PerfEventAttr(ctypes.Structure):
    # PERF_ATTR_SIZE_VER5, 112 bytes; what follows config2 stays 0.
    _fields_ = [
        ("type", ctypes.c_uint32),
        ("size", ctypes.c_uint32),
        ("config", ctypes.c_uint64),
        ("sample_period", ctypes.c_uint64),
        ("sample_type", ctypes.c_uint64),
        ("read_format", ctypes.c_uint64),
        ("flags", ctypes.c_uint64),
        ("wakeup", ctypes.c_uint32),
        ("breakpoint_type", ctypes.c_uint32),
        ("uprobe_path", ctypes.c_char_p),
        ("probe_offset", ctypes.c_uint64),
        ("unused", ctypes.c_uint64 * 5),
    ]


def _call(index: int, *arguments: object) -> int:
    numbers = _CALLS.get(platform.machine())
    if numbers is None:
        raise OSError(os.strerror(38))
    result: int = _libc.syscall(ctypes.c_long(numbers[index]), *arguments)
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def link_uprobe_multi(
    program: int,
    path: str,
    offsets: Sequence[int],
    semaphores: Sequence[int] | None,
    cookies: Sequence[int],
    pid: int,
) -> int:
    """One link for many places of a file in one process; the kernel raises and drops the semaphores.

    Returns the link's file descriptor; closing it detaches. Raises OSError. Linux 6.6 and later.
    """
    count = len(offsets)
    array = ctypes.c_uint64 * count
    offset_array, cookie_array = array(*offsets), array(*cookies)
    semaphore_array = array(*semaphores) if semaphores is not None else None
    attributes = _UprobeMulti(
        prog_fd=program,
        attach_type=BPF_TRACE_UPROBE_MULTI,
        path=os.fsencode(path),
        offsets=ctypes.addressof(offset_array),
        ref_ctr_offsets=ctypes.addressof(semaphore_array) if semaphore_array is not None else None,
        cookies=ctypes.addressof(cookie_array),
        count=count,
        pid=pid,
    )
    return _bpf_link(attributes)


def link_perf_event(program: int, event: int, cookie: int) -> int:
    """Links a program to a perf event with a cookie. Returns the link's descriptor. Linux 5.15 and later."""
    return _bpf_link(
        _PerfEventLink(prog_fd=program, target_fd=event, attach_type=BPF_PERF_EVENT, cookie=cookie)
    )


def _bpf_link(attributes: ctypes.Structure) -> int:
    return _call(
        0,
        ctypes.c_int(_BPF_LINK_CREATE),
        ctypes.byref(attributes),
        ctypes.c_uint(ctypes.sizeof(attributes)),
    )


def open_uprobe_event(path: str, offset: int, semaphore: int, pid: int) -> int:
    """A perf event that is a uprobe; Linux 4.20 and later. Returns its descriptor. Raises OSError.

    The semaphore's offset goes into bits 32..63 of config, as
    /sys/bus/event_source/devices/uprobe/format/ref_ctr_offset says.
    """
    attributes = _PerfEventAttr(
        type=int(Path("/sys/bus/event_source/devices/uprobe/type").read_text()),
        size=ctypes.sizeof(_PerfEventAttr),
        config=semaphore << 32,
        uprobe_path=os.fsencode(path),
        probe_offset=offset,
    )
    return _call(
        1,
        ctypes.byref(attributes),
        ctypes.c_int(pid),
        ctypes.c_int(-1),
        ctypes.c_int(-1),
        ctypes.c_ulong(_PERF_FLAG_FD_CLOEXEC),
    )
