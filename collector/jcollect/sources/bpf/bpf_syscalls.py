"""bpf(2) and perf_event_open(2) through ctypes: maps, programs and links, without bcc.

bcc only compiles: it would stay in memory, has no uprobe_multi links in 0.26, and passes garbage as
ref_ctr_offset (bcc issue 5236). Structures: union bpf_attr in linux/bpf.h, struct perf_event_attr in
linux/perf_event.h. All offsets are file offsets in bytes.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import mmap
import os
import platform
import resource
from collections.abc import Sequence
from pathlib import Path

from jcollect.sources.bpf.shielded import create_link

BPF_PERF_EVENT = 41
BPF_TRACE_UPROBE_MULTI = 48

_BPF_MAP_CREATE = 0
_BPF_PROG_LOAD = 5
_BPF_MAP_UPDATE_ELEM = 2
_BPF_MAP_DELETE_ELEM = 3
_BPF_RAW_TRACEPOINT_OPEN = 17
_BPF_LINK_CREATE = 28
_BPF_MAP_TYPE_HASH = 1
_BPF_MAP_TYPE_ARRAY = 2
_BPF_MAP_TYPE_RINGBUF = 27
_BPF_F_MMAPABLE = 1 << 10
BPF_PROG_TYPE_KPROBE = 2  # Uprobes use it as well.
BPF_PROG_TYPE_RAW_TRACEPOINT = 17
_BPF_OBJ_NAME_LEN = 16
# Number of attempts, as in libbpf: a signal interrupts the verifier.
_LOAD_TRIES = 5
# Size of the verifier's log. Kernels before 6.4 return none if it does not fit. Unwritten pages use no
# memory.
_LOG_BYTES = 16 << 20
_PERF_FLAG_FD_CLOEXEC = 8
# asm/unistd.h: bpf, perf_event_open
_CALLS = {"x86_64": (321, 298), "aarch64": (280, 241)}

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


class _Map(ctypes.Structure):
    _fields_ = [
        ("map_type", ctypes.c_uint32),
        ("key_size", ctypes.c_uint32),
        ("value_size", ctypes.c_uint32),
        ("max_entries", ctypes.c_uint32),
        ("map_flags", ctypes.c_uint32),
        ("inner_map_fd", ctypes.c_uint32),
        ("numa_node", ctypes.c_uint32),
        ("map_name", ctypes.c_char * _BPF_OBJ_NAME_LEN),
    ]


class _Program(ctypes.Structure):
    _fields_ = [
        ("prog_type", ctypes.c_uint32),
        ("insn_cnt", ctypes.c_uint32),
        ("insns", ctypes.c_char_p),
        ("license", ctypes.c_char_p),
        ("log_level", ctypes.c_uint32),
        ("log_size", ctypes.c_uint32),
        ("log_buf", ctypes.c_void_p),
        ("kern_version", ctypes.c_uint32),  # Checked before Linux 5.0.
        ("prog_flags", ctypes.c_uint32),
        ("prog_name", ctypes.c_char * _BPF_OBJ_NAME_LEN),
        ("prog_ifindex", ctypes.c_uint32),
        ("expected_attach_type", ctypes.c_uint32),
    ]


class _Element(ctypes.Structure):
    _fields_ = [
        ("map_fd", ctypes.c_uint64),
        ("key", ctypes.c_uint64),
        ("value", ctypes.c_uint64),
        ("flags", ctypes.c_uint64),
    ]


class _RawTracepoint(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("prog_fd", ctypes.c_uint32), ("padding", ctypes.c_uint32)]


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
    # PERF_ATTR_SIZE_VER5, 112 bytes. The fields after config2 stay 0.
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
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    result: int = _libc.syscall(ctypes.c_long(numbers[index]), *arguments)
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


class LoadError(OSError):
    """`log` is the verifier's output, which ends with the reason."""

    def __init__(self, number: int, log: str) -> None:
        super().__init__(number, os.strerror(number))
        self.log = log


def create_ring_buffer(name: str, size: int) -> int:
    """Returns the descriptor of a map. `size` is in bytes, a power of two of pages. Raises OSError. Linux 5.8
    or later."""
    return _create_map(_Map(map_type=_BPF_MAP_TYPE_RINGBUF, max_entries=size, map_name=name.encode()))


def create_array(name: str, value_size: int, count: int) -> int:
    """Returns the descriptor of an array that can be mapped into memory. Raises OSError. Linux 5.5 or
    later."""
    return _create_map(
        _Map(
            map_type=_BPF_MAP_TYPE_ARRAY,
            key_size=4,
            value_size=value_size,
            max_entries=count,
            map_flags=_BPF_F_MMAPABLE,
            map_name=name.encode(),
        )
    )


def create_hash(name: str, key_size: int, value_size: int, count: int) -> int:
    """Returns the descriptor of a hash table. Raises OSError."""
    return _create_map(
        _Map(
            map_type=_BPF_MAP_TYPE_HASH,
            key_size=key_size,
            value_size=value_size,
            max_entries=count,
            map_name=name.encode(),
        )
    )


def update_hash(map: int, key: bytes, value: bytes) -> None:
    """Sets an element. Raises OSError."""
    of_key, of_value = ctypes.create_string_buffer(key), ctypes.create_string_buffer(value)
    element = _Element(map_fd=map, key=ctypes.addressof(of_key), value=ctypes.addressof(of_value))
    _bpf(_BPF_MAP_UPDATE_ELEM, element)


def delete_from_hash(map: int, key: bytes) -> None:
    """Removes an element. Raises OSError."""
    of_key = ctypes.create_string_buffer(key)
    # The kernel rejects a value.
    _bpf(_BPF_MAP_DELETE_ELEM, _Element(map_fd=map, key=ctypes.addressof(of_key)))


def open_raw_tracepoint(name: str, program: int) -> int:
    """Attaches a program to a tracepoint of the kernel. Returns a descriptor; closing it detaches. Raises
    OSError. Linux 4.17 or later."""
    return _bpf(_BPF_RAW_TRACEPOINT_OPEN, _RawTracepoint(name=name.encode(), prog_fd=program))


def _create_map(attributes: _Map) -> int:
    try:
        return _bpf(_BPF_MAP_CREATE, attributes)
    except PermissionError:
        # Before Linux 5.11, maps counted as locked memory, which has a low limit.
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_MEMLOCK, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        return _bpf(_BPF_MAP_CREATE, attributes)


def load_program(
    name: str, code: bytes, license: str, attach_type: int = 0, program_type: int = BPF_PROG_TYPE_KPROBE
) -> int:
    """Returns the descriptor of a program, by default for uprobes. Raises LoadError."""
    attributes = _Program(
        prog_type=program_type,
        insn_cnt=len(code) // 8,
        insns=code,
        license=license.encode(),
        prog_name=name.encode(),
        expected_attach_type=attach_type,
    )
    try:
        return _load(attributes)
    except OSError as error:
        if error.errno == errno.EPERM:  # The verifier fails with EACCES.
            raise LoadError(errno.EPERM, "") from None
        # Load it again for the log: writing that takes much longer than loading.
        with contextlib.closing(mmap.mmap(-1, _LOG_BYTES)) as log:
            start = ctypes.c_char.from_buffer(log)
            attributes.log_level = 1
            attributes.log_size = _LOG_BYTES
            attributes.log_buf = ctypes.addressof(start)
            try:
                return _load(attributes)
            except OSError as error:
                raise LoadError(error.errno or 0, _text(log)) from None
            finally:
                del start


def _load(attributes: _Program) -> int:
    for _ in range(_LOAD_TRIES - 1):
        with contextlib.suppress(BlockingIOError):
            return _bpf(_BPF_PROG_LOAD, attributes)
    return _bpf(_BPF_PROG_LOAD, attributes)


def _text(log: mmap.mmap) -> str:
    end = log.find(b"\0")
    return log[: end if end >= 0 else len(log)].decode(errors="replace")


def link_uprobe_multi(
    program: int,
    path: str,
    offsets: Sequence[int],
    semaphores: Sequence[int] | None,
    cookies: Sequence[int],
    pid: int,
) -> int:
    """Links a program to many offsets of a file in one process. The kernel increments and decrements the
    semaphores.

    Returns the link's descriptor; closing it detaches. Raises OSError. Linux 6.6 or later.
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
    return create_link(attributes)


def link_perf_event(program: int, event: int, cookie: int) -> int:
    """Links a program to a perf event with a cookie. Returns the link's descriptor. Linux 5.15 or later."""
    return _bpf(
        _BPF_LINK_CREATE,
        _PerfEventLink(prog_fd=program, target_fd=event, attach_type=BPF_PERF_EVENT, cookie=cookie),
    )


def _bpf(command: int, attributes: ctypes.Structure) -> int:
    return _call(
        0,
        ctypes.c_int(command),
        ctypes.byref(attributes),
        ctypes.c_uint(ctypes.sizeof(attributes)),
    )


def open_uprobe_event(path: str, offset: int, semaphore: int, pid: int) -> int:
    """Opens a perf event that is a uprobe. Returns its descriptor. Raises OSError. Linux 4.20 or later.

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
