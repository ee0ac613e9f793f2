"""The rights that each verb keeps while it runs: everything else is given up before it does anything.

docs/security.md says what each is for, and the tests run every verb with exactly these.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from contextlib import suppress

from jcollect.procfs import capabilities as cap
from jcollect.procfs.seccomp import NEVER, forbid

# Memory and namespaces of other processes; mapped files; becoming the target's user, for its files.
READING = frozenset((cap.SYS_PTRACE, cap.CHECKPOINT_RESTORE, cap.SETUID, cap.SETGID, cap.SETPCAP))
# Signals for the JVM, and its network namespace.
COMMANDING = READING | {cap.KILL, cap.SYS_ADMIN}
TRACING = frozenset((cap.BPF, cap.PERFMON))
# Sockets of collectors that other users have started.
ASKING = frozenset((cap.DAC_OVERRIDE,))

_VERBS = {
    "attach": COMMANDING | TRACING | {cap.DAC_OVERRIDE},
    "observe": ASKING | {cap.SYS_PTRACE},
    "probes": READING,
    "ps": READING,
    "reset": COMMANDING,
    "select": COMMANDING,
    "set": COMMANDING,
    "status": COMMANDING | ASKING,
    "top": ASKING | {cap.SYS_PTRACE},
    "unselect": COMMANDING,
}


def keep_for(verb: str) -> None:
    """Gives up what a verb does not need. For a process with one thread. Raises OSError."""
    cap.keep_only(_VERBS[verb])
    forbid(NEVER)


def narrow(*, loads: bool, directories: Collection[str]) -> None:
    """Gives up what `attach` does not need as it was called: loading agents, writing where others may.

    `directories` are those in which it will make or remove files. Raises OSError.
    """
    kept = READING | TRACING
    if loads:
        kept |= COMMANDING
    if not all(_is_ours(directory) for directory in directories):
        kept |= {cap.DAC_OVERRIDE}
    cap.keep_only(kept)


def _is_ours(directory: str) -> bool:
    with suppress(OSError):
        return os.stat(directory).st_uid == os.geteuid()
    return False
