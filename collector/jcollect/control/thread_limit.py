"""Finds the kernel limit that keeps a process from starting threads.

A JVM that is asked for its attach socket for the first time starts a thread for it. If that fails, HotSpot
ends the program, with the message of a JVM that cannot start.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

from jcollect.printable import printable
from jcollect.procfs.process import Process
from jcollect.procfs.status import read_fields

# The JVM needs one. Others are started beside it.
_MARGIN = 3

_MAX_BYTES = 16 << 20
_MAX_DIGITS = 19
_MAX_DEPTH = 256
_MAX_SHOWN_PATH = 200
# linux/capability.h
_CAP_SYS_ADMIN = 21
_CAP_SYS_RESOURCE = 24
# linux/proc_ns.h: PROC_USER_INIT_INO
_INITIAL_USERS = "user:[4026531837]"
_OCTAL = re.compile(r"\\([0-7]{3})")


def thread_shortage(process: Process) -> str | None:
    """Returns why the process can start no thread, naming the limit; None if it can.

    Limits that cannot be read are ignored.
    """
    pid = process.pid
    return _refusal(_limit_of_cgroups(pid) or _limit_of_user(pid) or _limit_of_kernel())


def users_thread_shortage(pid: int) -> str | None:
    """Does the same, but only for the limit toward which all threads of the process's user count. For the
    program attach_agent.py, which gets a PID."""
    return _refusal(_limit_of_user(pid))


def _refusal(limit: str | None) -> str | None:
    if limit is None:
        return None
    return f"it can start no more threads ({limit}), and the attempt would end it; raise that limit"


def _limit_of_cgroups(pid: int) -> str | None:
    for line in _read(f"/proc/{pid}/cgroup").splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        is_v2 = number == "0" and not controllers
        if not (is_v2 or "pids" in controllers.split(",")) or path.count("/") > _MAX_DEPTH:
            continue
        for root, mount_point in _mounts(is_v2=is_v2):
            limit = _limit_below(root, mount_point, path)
            if limit is not None:
                return limit
    return None


def _mounts(*, is_v2: bool) -> Iterator[tuple[str, str]]:
    """Yields the mounted cgroups of the hierarchy with pids.max, and their mount points. Format: mountinfo in
    proc(5)."""
    for line in _read("/proc/self/mountinfo").splitlines():
        mount, _, kind = line.partition(" - ")
        fields, kinds = mount.split(" "), kind.split(" ")
        if len(fields) < 5 or len(kinds) < 3:
            continue
        if (kinds[0] == "cgroup2") if is_v2 else (kinds[0] == "cgroup" and "pids" in kinds[2].split(",")):
            yield _unescaped(fields[3]), _unescaped(fields[4])


def _unescaped(path: str) -> str:
    return _OCTAL.sub(lambda match: chr(int(match[1], 8)), path)


def _limit_below(root: str, mount_point: str, path: str) -> str | None:
    """Returns the exhausted limit of the cgroup of that path or of one above, if the mount shows it."""
    top = root.rstrip("/")
    if path != top and not path.startswith(top + "/"):
        return None
    names = [name for name in path[len(top) :].split("/") if name]
    if ".." in names:
        return None  # The cgroup is outside of the cgroup namespace of this process.
    for depth in range(len(names), -1, -1):
        folder = "/".join((mount_point.rstrip("/"), *names[:depth]))
        most, now = _number_in(f"{folder}/pids.max"), _number_in(f"{folder}/pids.current")
        if most is not None and now is not None and most - now < _MARGIN:
            group = "/".join((top, *names[:depth])) or "/"
            return f"pids.max={most} of {printable(group[:_MAX_SHOWN_PATH])}"
    return None


def _limit_of_user(pid: int) -> str | None:
    """Checks RLIMIT_NPROC: the maximum number of threads of the process's real user."""
    limits = (line for line in _read(f"/proc/{pid}/limits").splitlines() if line.startswith("Max processes "))
    words = next(limits, "").split()
    most = _number(words[2]) if len(words) > 2 else None
    status = _status(pid)
    user = _first_number(status, "Uid")
    if most is None or user is None or _is_exempt(pid, user, status):
        return None
    threads = _number_of_threads()
    if threads is not None and most - threads >= _MARGIN:
        return None  # The user has at most all threads of the machine, and counting takes time.
    now = 0
    for name in os.listdir("/proc"):
        if name.isdecimal() and _first_number(other := _status(name), "Uid") == user:
            now += _first_number(other, "Threads") or 0
            if most - now < _MARGIN:
                return f"ulimit -u is {most} for user {user}"
    return None


def _is_exempt(pid: int, user: int, status: dict[str, str]) -> bool:
    """Returns true for the host's root, and for processes with one of two capabilities on the host, as
    copy_process() in the kernel does."""
    if user == 0 and _users_of("self") == _INITIAL_USERS:
        return True
    try:
        held = int(status.get("CapEff", "0"), 16)
    except ValueError:
        return True
    has_any = held >> _CAP_SYS_RESOURCE & 1 or held >> _CAP_SYS_ADMIN & 1
    return bool(has_any) and _users_of(str(pid)) == _INITIAL_USERS


def _users_of(process: str) -> str:
    """Returns the user namespace, or the host's if it cannot be read."""
    try:
        return os.readlink(f"/proc/{process}/ns/user")
    except OSError:
        return _INITIAL_USERS


def _limit_of_kernel() -> str | None:
    most = _number_in("/proc/sys/kernel/threads-max")
    now = _number_of_threads()
    if most is None or now is None or most - now >= _MARGIN:
        return None
    return f"kernel.threads-max={most}"


def _number_of_threads() -> int | None:
    """Returns the number of threads of the machine."""
    # Example: "0.20 0.18 0.12 1/80 11206", where 1 of 80 threads is running.
    fields = _read("/proc/loadavg").split()
    return _number(fields[3].rpartition("/")[2]) if len(fields) > 3 else None


def _status(process: int | str) -> dict[str, str]:
    try:
        return read_fields(process)
    except OSError:
        return {}


def _first_number(status: dict[str, str], name: str) -> int | None:
    words = status.get(name, "").split()
    return _number(words[0]) if words else None


def _number_in(path: str) -> int | None:
    return _number(_read(path).strip())


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS else None


def _read(path: str) -> str:
    """Returns the content of a file; empty if it cannot be read or is too long."""
    pieces: list[bytes] = []
    rest = _MAX_BYTES
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            while piece := os.read(descriptor, min(rest, 1 << 16)):
                pieces.append(piece)
                rest -= len(piece)
                if rest <= 0:
                    return ""
        finally:
            os.close(descriptor)
    except (OSError, ValueError):
        return ""
    return b"".join(pieces).decode(errors="surrogateescape")
