"""The rights that each verb keeps while it runs: everything else is given up before it does anything.

SECURITY.md says what each is for, and the tests run every verb with exactly these.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from contextlib import suppress

from jcollect.procfs import capabilities as cap
from jcollect.procfs.seccomp import NEVER, forbid

# Memory and namespaces of other processes, the files that they have mapped, and becoming the target's user for
# its files.
READING = frozenset((cap.SYS_PTRACE, cap.CHECKPOINT_RESTORE, cap.SETUID, cap.SETGID))
TRACING = frozenset((cap.BPF, cap.PERFMON))

# For programs of other users. What a verb does for the user's own programs takes less.
NEEDED = {
    "attach": READING | TRACING,
    "observe": frozenset[int](),
    "probes": READING,
    "ps": READING,
    "reset": READING,
    "select": READING,
    "set": READING,
    "status": READING,
    "top": frozenset[int](),
    "unselect": READING,
}
# The network namespace of a container; sockets and directories of other users; a child's bounding set.
OPTIONAL = {
    "attach": frozenset((cap.SYS_ADMIN, cap.DAC_OVERRIDE, cap.SETPCAP)),
    "observe": frozenset((cap.DAC_OVERRIDE,)),
    "probes": frozenset((cap.SETPCAP,)),
    "ps": frozenset((cap.SETPCAP,)),
    "reset": frozenset((cap.SYS_ADMIN, cap.SETPCAP)),
    "select": frozenset((cap.SYS_ADMIN, cap.SETPCAP)),
    "set": frozenset((cap.SYS_ADMIN, cap.SETPCAP)),
    "status": frozenset((cap.SYS_ADMIN, cap.DAC_OVERRIDE, cap.SETPCAP)),
    "top": frozenset((cap.DAC_OVERRIDE,)),
    "unselect": frozenset((cap.SYS_ADMIN, cap.SETPCAP)),
}


def keep_for(verb: str) -> None:
    """Gives up what a verb does not use. For a process with one thread. Raises OSError."""
    cap.keep_only(NEEDED[verb] | OPTIONAL[verb])
    forbid(NEVER)


def narrow_attach(*, loads: bool, directories: Collection[str]) -> None:
    """Gives up what `attach` does not use as it was called: network namespaces, other users' directories.

    `directories` are those in which it makes or removes files. For a process with one thread. Raises OSError.
    """
    kept = NEEDED["attach"] | {cap.SETPCAP}
    if loads:
        kept |= {cap.SYS_ADMIN}
    if not all(map(_is_ours, directories)):
        kept |= {cap.DAC_OVERRIDE}
    cap.keep_only(kept)


def _is_ours(directory: str) -> bool:
    with suppress(OSError):
        return os.stat(directory).st_uid == os.geteuid()
    return False
