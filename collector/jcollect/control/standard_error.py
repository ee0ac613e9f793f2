"""Whether loading an agent would have a JVM wait for whoever reads its standard error.

JDK 21 and later write a warning there as they load an agent (JEP 451), JDK 24 and later another one for its
native code. Where nobody reads, the thread that every tool attaches by waits for ever.
"""

from __future__ import annotations

import ctypes
import os
import select
from collections.abc import Sequence

from jcollect.discovery.jvm import command_line, describe_jvm, is_libjvm, is_perfdata
from jcollect.discovery.maps import Mapping

_STANDARD_ERROR = 2
# pidfd_getfd(2) has this number on every architecture; Linux 5.6 and later.
_PIDFD_GETFD = 438
_WARNS_SINCE = 21
_SILENCED_BY = "-XX:+EnableDynamicAgentLoading"

_libc = ctypes.CDLL(None, use_errno=True)


def would_wait(pid: int, mappings: Sequence[Mapping]) -> bool:
    """What cannot be found out counts as no."""
    return _warns(pid, mappings) and _is_full(pid)


def _warns(pid: int, mappings: Sequence[Mapping]) -> bool:
    libjvm = next((mapping for mapping in mappings if is_libjvm(mapping)), None)
    if libjvm is None:
        return False
    perfdata = next((mapping for mapping in mappings if is_perfdata(mapping)), None)
    feature = describe_jvm(pid, libjvm, perfdata).jdk.split(".")[0].split("-")[0]
    return feature.isdecimal() and int(feature) >= _WARNS_SINCE and _SILENCED_BY not in command_line(pid)


def _is_full(pid: int) -> bool:
    try:
        descriptor = _borrow(pid, _STANDARD_ERROR)
    except OSError:
        return False
    try:
        poll = select.poll()
        poll.register(descriptor, select.POLLOUT)
        # An error, such as a reader that is gone, makes no writer wait.
        return not poll.poll(0)
    finally:
        os.close(descriptor)


def _borrow(pid: int, descriptor: int) -> int:
    """A descriptor of the same open file. Raises OSError."""
    process = os.pidfd_open(pid)
    try:
        borrowed: int = _libc.syscall(_PIDFD_GETFD, process, descriptor, 0)
        if borrowed < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        return borrowed
    finally:
        os.close(process)
