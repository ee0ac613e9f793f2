"""Makes the system calls that some kernels do not support, and explains which kernel feature is missing.

Detects each feature by making the call, not by version numbers: distributions backport features. `without`
names features to treat as missing: the call then fails as it would on an older kernel.
"""

from __future__ import annotations

import errno
import os
import platform
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jcollect.errors import JcollectError
from jcollect.sources.bpf.bpf_syscalls import (
    BPF_PROG_TYPE_KPROBE,
    LoadError,
    create_array,
    create_hash,
    create_ring_buffer,
    link_uprobe_multi,
    load_program,
    open_uprobe_event,
)


@dataclass(frozen=True)
class _Feature:
    name: str
    since: str


_FEATURES = {
    "uprobe-multi": _Feature("uprobe_multi links", "6.6"),
    "cookies": _Feature("BPF cookies", "5.15"),
    "ring-buffer": _Feature("BPF ring buffers", "5.8"),
    "ref-count": _Feature("semaphores of uprobes (ref_ctr_offset)", "4.20"),
}
UPROBE_MULTI, COOKIES, RING_BUFFER, REF_COUNT = _FEATURES
_OLDEST = "5.15"

# linux/bpf.h: BPF_FUNC_get_attach_cookie, an instruction that calls it, and the verifier's last line.
# That is "invalid func unknown#174" if the kernel has no such function. If it has one for other program types
# only, it is "unknown func bpf_get_attach_cookie#174" or "program of this type cannot use helper
# bpf_get_attach_cookie#174".
_GET_ATTACH_COOKIE = 174
_CALLS_GET_ATTACH_COOKIE = b"\x85\0\0\0" + _GET_ATTACH_COOKIE.to_bytes(4, "little")
_NO_COOKIES = re.compile(rf"(func|helper) \w+#{_GET_ATTACH_COOKIE}$")

_UPROBE_EVENTS = Path("/sys/bus/event_source/devices/uprobe")
_LOG_LINES = 3


class Kernel:
    """System calls whose errors name the missing kernel feature."""

    def __init__(self, without: frozenset[str] = frozenset()) -> None:
        """Raises ValueError for an unknown feature."""
        if unknown := without - set(_FEATURES):
            raise ValueError(f"unknown kernel features: {', '.join(sorted(unknown))}")
        self._without = without

    def create_ring_buffer(self, name: str, size: int) -> int:
        """See bpf_syscalls. Raises JcollectError."""
        try:
            if RING_BUFFER in self._without:
                raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
            return create_ring_buffer(name, size)
        except OSError as error:
            if error.errno == errno.EINVAL:
                raise missing(RING_BUFFER) from None
            raise _no_map(name, error) from None

    def create_array(self, name: str, value_size: int, count: int) -> int:
        """See bpf_syscalls. Raises JcollectError."""
        try:
            return create_array(name, value_size, count)
        except OSError as error:
            raise _no_map(name, error) from None

    def create_hash(self, name: str, key_size: int, value_size: int, count: int) -> int:
        """See bpf_syscalls. Raises JcollectError."""
        try:
            return create_hash(name, key_size, value_size, count)
        except OSError as error:
            raise _no_map(name, error) from None

    def load_program(
        self,
        name: str,
        code: bytes,
        license: str,
        attach_type: int = 0,
        program_type: int = BPF_PROG_TYPE_KPROBE,
    ) -> int:
        """See bpf_syscalls. Raises JcollectError."""
        try:
            if COOKIES in self._without and _CALLS_GET_ATTACH_COOKIE in code:
                raise LoadError(errno.EINVAL, f"invalid func unknown#{_GET_ATTACH_COOKIE}\n")
            return load_program(name, code, license, attach_type, program_type)
        except LoadError as error:
            if error.errno == errno.EPERM:
                raise _not_permitted(f"load the BPF program {name}", error) from None
            # The last line is a statistic.
            lines = [line.strip() for line in error.log.splitlines() if not line.startswith("processed ")]
            if error.errno == errno.EINVAL and lines and _NO_COOKIES.search(lines[-1]):
                raise missing(COOKIES) from None
            reasons = "; ".join(lines[-_LOG_LINES:])
            raise JcollectError(
                f"cannot load jcollect's BPF program {name} on Linux {platform.release()}: {error.strerror}"
                + (f"; the verifier reports: {reasons}" if reasons else "")
            ) from None

    def link_uprobe_multi(
        self,
        program: int,
        path: str,
        offsets: Sequence[int],
        semaphores: Sequence[int] | None,
        cookies: Sequence[int],
        pid: int,
    ) -> int:
        """See bpf_syscalls. Raises OSError."""
        if UPROBE_MULTI in self._without:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        return link_uprobe_multi(program, path, offsets, semaphores, cookies, pid)

    def has_uprobe_multi(self, program: int) -> bool:
        """Returns true if the kernel has uprobe_multi links: it then rejects a link to a folder with
        EBADF."""
        try:
            os.close(self.link_uprobe_multi(program, "/", [0], None, [0], os.getpid()))
        except OSError as error:
            return error.errno == errno.EBADF
        return True

    def open_uprobe_event(self, path: str, offset: int, semaphore: int, pid: int) -> int:
        """See bpf_syscalls. Raises OSError, and JcollectError if the kernel has no uprobes."""
        try:
            return open_uprobe_event(path, offset, semaphore, pid)
        except FileNotFoundError:
            if _UPROBE_EVENTS.exists():
                raise
            raise JcollectError(
                f"cannot attach: Linux {platform.release()} has no uprobes, or /sys is not mounted; "
                "mount it, or run a kernel with CONFIG_UPROBE_EVENTS"
            ) from None

    def check_counts_semaphores(self) -> None:
        """Raises JcollectError if the kernel has uprobes but does not increment their semaphores."""
        is_there = (_UPROBE_EVENTS / "format/ref_ctr_offset").exists() or not _UPROBE_EVENTS.exists()
        if REF_COUNT in self._without or not is_there:
            raise missing(REF_COUNT)


def missing(feature: str) -> JcollectError:
    """Returns the error for a kernel without a feature."""
    about = _FEATURES[feature]
    return JcollectError(
        f"cannot attach: Linux {platform.release()} has no {about.name}, available since {about.since}; "
        + ("omit --link" if feature == UPROBE_MULTI else f"run Linux {_OLDEST} or later")
    )


def _no_map(name: str, error: OSError) -> JcollectError:
    if error.errno in (errno.EPERM, errno.EACCES):
        return _not_permitted(f"create the map {name}", error)
    return JcollectError(
        f"cannot create jcollect's map {name} on Linux {platform.release()}: {error.strerror}"
        + ("; a smaller --max-probes needs less memory" if error.errno == errno.ENOMEM else "")
    )


def _not_permitted(what: str, error: OSError) -> JcollectError:
    return JcollectError(
        f"cannot {what}: {error.strerror}; "
        "run with sudo, and outside of a container or in one with CAP_BPF and CAP_PERFMON"
    )
