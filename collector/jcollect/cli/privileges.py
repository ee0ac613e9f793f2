"""Gives up all capabilities that a verb does not need, before it does anything.

SECURITY.md lists the purpose of each capability. The tests run every verb with exactly the needed ones.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Collection

from jcollect.procfs import capabilities as cap
from jcollect.procfs.seccomp import NEVER, forbid

# Needed to read memory and namespaces of other processes, and stub libraries, which only their owner can
# open.
READING = frozenset((cap.SYS_PTRACE, cap.DAC_READ_SEARCH))
# Needed to become the target's user.
COMMANDING = READING | {cap.SETUID, cap.SETGID}
TRACING = READING | {cap.BPF, cap.PERFMON}

# Capabilities that each verb needs for programs of other users. For the user's own programs only the
# kernel lane needs any.
NEEDED = {
    "attach": TRACING,
    "attach --select": TRACING | COMMANDING,
    "observe --select": TRACING | COMMANDING,
    "top --select": TRACING | COMMANDING,
    "hist --select": TRACING | COMMANDING,
    "convert": frozenset[int](),
    "diff": frozenset[int](),
    "exceptions": frozenset[int](),
    "exceptions --select": TRACING | COMMANDING,
    "find": COMMANDING,
    "flame": frozenset[int](),
    "flame --select": TRACING | COMMANDING,
    "hist": frozenset[int](),
    "jvm": TRACING,
    "observe": frozenset[int](),
    "probes": READING,
    "ps": READING,
    "record": frozenset[int](),
    "record --select": TRACING | COMMANDING,
    "replay": frozenset[int](),
    "reset": COMMANDING,
    "run": TRACING | COMMANDING,
    "select": COMMANDING,
    "set": COMMANDING,
    "slow": frozenset[int](),
    "slow --select": TRACING | COMMANDING,
    "status": COMMANDING,
    "top": frozenset[int](),
    "tree": frozenset[int](),
    "tree --select": TRACING | COMMANDING,
    "unselect": COMMANDING,
}

# Optional: files without a path, reading as the target's user, and bounds for children.
_READING_WELL = COMMANDING | {cap.CHECKPOINT_RESTORE, cap.KILL, cap.SETPCAP}
# Optional: the network namespaces of containers.
_COMMANDING_WELL = _READING_WELL | {cap.SYS_ADMIN}
# Optional: sockets of other users' collectors, and directories of other users.
_OTHERS = frozenset((cap.DAC_OVERRIDE,))
# Optional: the group of the directory of a socket, until the address is claimed.
_GROUPS = frozenset((cap.CHOWN,))
# Optional: the priority of the thread that drains the ring buffer, without which a burst overruns it.
_TRACING_WELL = _READING_WELL | {cap.SYS_NICE}
_ATTACH = NEEDED["attach --select"] | _TRACING_WELL | _COMMANDING_WELL | _OTHERS
_CLIENT = READING | _OTHERS
# Optional: recordings of other users.
_FILES = frozenset((cap.DAC_READ_SEARCH,)) | _OTHERS
_KEPT = {
    "attach": _ATTACH | _GROUPS,
    "convert": _FILES,
    "diff": _FILES,
    "exceptions": _ATTACH,  # Without --select only _CLIENT.
    "find": _COMMANDING_WELL,
    "flame": _ATTACH,  # Of a collector or a recording only _CLIENT.
    "hist": _ATTACH,  # Without --select only _CLIENT.
    "jvm": _ATTACH,
    "observe": _ATTACH,  # Without --select only _CLIENT.
    "probes": _READING_WELL,
    "ps": _READING_WELL,
    "record": _ATTACH,  # Of a running collector only _CLIENT.
    "replay": _FILES,
    "reset": _COMMANDING_WELL,
    "run": NEEDED["run"] | _TRACING_WELL | _COMMANDING_WELL | _OTHERS | _GROUPS,
    "select": _COMMANDING_WELL,
    "set": _COMMANDING_WELL,
    "slow": _ATTACH,  # Without --select only _CLIENT.
    "status": _COMMANDING_WELL | _OTHERS,
    "top": _ATTACH,  # Without --select only _CLIENT.
    "tree": _ATTACH,  # Without --select only _CLIENT.
    "unselect": _COMMANDING_WELL,
}


def keep_for(verb: str) -> None:
    """Gives up the capabilities that a verb does not use. For a process with one thread. Raises OSError."""
    cap.keep_in_process(_KEPT[verb])
    forbid(NEVER)


def narrow_to_client() -> None:
    """Gives up all capabilities but those of a client of a collector. For a process with one thread. Raises
    OSError."""
    cap.keep_in_process(_CLIENT)


def narrow_attach(*, needs_admin: bool, paths: Collection[str]) -> None:
    """Gives up the capabilities for network namespaces and for directories of other users, unless this run of
    `attach` needs them.

    `paths` are those of files that it creates or removes. For a process with one thread. Raises OSError.
    """
    kept = TRACING | _TRACING_WELL
    # Before Linux 5.8, and in older containers, CAP_SYS_ADMIN stands for both.
    if needs_admin or not (cap.holds(cap.BPF) and cap.holds(cap.PERFMON)):
        kept |= {cap.SYS_ADMIN}
    if not all(map(_can_write_as_owner, paths)):
        kept |= {cap.DAC_OVERRIDE}
    cap.keep_in_process(kept)


def _can_write_as_owner(path: str) -> bool:
    directory = os.path.dirname(os.path.abspath(path))
    try:
        existing = [directory, path] if os.path.lexists(path) else [directory]
        return all(
            about.st_uid == os.geteuid() and about.st_mode & stat.S_IWUSR for about in map(os.stat, existing)
        )
    except OSError:
        return False
