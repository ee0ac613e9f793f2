"""Turns a child process into another user permanently. No other module changes an identity.

The child shares its user with an untrusted process. Of root's rights it keeps only the capabilities
that are passed to `become`: no group, no other capability now or after an exec, no directory, no core dump.
The user may signal it, but can neither trace it nor read its memory, because it is not dumpable (prctl(2)).

Imports only the standard library and modules that do the same.
"""

from __future__ import annotations

import errno
import os
import resource
import signal
from collections.abc import Collection, Sequence
from typing import NamedTuple

from jcollect.procfs.capabilities import (
    SETGID,
    SETPCAP,
    SETUID,
    SYS_PTRACE,
    bits,
    holds,
    keep_in_thread,
    limit_bounding_set,
    prctl,
    thread_sets,
)
from jcollect.procfs.status import read_fields

# linux/prctl.h
_PR_SET_PDEATHSIG = 1
_PR_GET_DUMPABLE, _PR_SET_DUMPABLE = 3, 4
_PR_SET_KEEPCAPS = 8
_PR_SET_NO_NEW_PRIVS, _PR_GET_NO_NEW_PRIVS = 38, 39
_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL = 47, 4
_UMASK = 0o077


class Identity(NamedTuple):
    """A user and a group, with their numbers in the user namespace of this process."""

    uid: int
    gid: int


class Account(NamedTuple):
    """A user as whom a program of the command line runs: numbers, supplementary groups, and names."""

    uid: int
    gid: int
    groups: Sequence[int]
    name: str
    home: str
    shell: str


def can_become(identity: Identity) -> bool:
    """Returns true if this process has the capabilities for the change, or is that user already, in any
    group."""
    return _may_change() or os.getresuid() == (identity.uid,) * 3


def _may_change() -> bool:
    return holds(SETUID) and holds(SETGID)


def become(identity: Identity, keep: Collection[int] = (SYS_PTRACE,), parent: int | None = None) -> None:
    """Makes this process that user, irrevocably, and verifies it. For a child with a single thread.

    `keep` lists the capabilities to keep, as far as the process has them. The process dies with its parent,
    whose PID is `parent`. Without CAP_SETUID and CAP_SETGID it must be that user already, and keeps its
    groups: it had the rights of both before.

    Raises OSError, and PermissionError if the result is not what was asked for: the process must then do
    nothing more.
    """
    if len(os.listdir("/proc/self/task")) != 1:
        raise _refusal("it has more than one thread, and each has an identity of its own")
    kept = bits(keep) & thread_sets()[0]
    is_bound = holds(SETPCAP)
    if not can_become(identity):
        raise _refusal("becoming another user requires CAP_SETUID and CAP_SETGID")
    if not _may_change():
        identity = Identity(identity.uid, os.getgid())
    groups = _groups_to_have()
    _change_ids(identity, groups)
    prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)
    keep_in_thread(keep)
    _confine()
    # These come last, because a change of identity clears the signal and sets or clears the dumpable flag.
    prctl(_PR_SET_DUMPABLE, 0)
    if parent is not None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            raise _refusal("its parent has ended")
    # The bounding set stays if CAP_SETPCAP is missing, but with no_new_privs it is of no use.
    _verify(identity, groups, kept, is_bound)


def become_for_good(account: Account | None) -> None:
    """Makes this process that user, as at a login, and verifies it; None stands for the user that it is.

    Unlike `become`, it is for a child that then runs a program for its user, which must not be limited: it
    leaves the bounding set, the umask, the limits and the directory as they are. It keeps no capability,
    except those of root if the account is root's. Raises OSError, and PermissionError if the result is not
    what was asked for: the process must then run nothing.
    """
    if account is not None:
        os.setgroups(list(account.groups))
        os.setresgid(*(account.gid,) * 3)
        os.setresuid(*(account.uid,) * 3)
    uid, gid = (account.uid, account.gid) if account else (os.getuid(), os.getgid())
    # Ends the rights of setuid and setgid programs too.
    os.setresgid(*(gid,) * 3)
    os.setresuid(*(uid,) * 3)
    prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)
    if uid:
        keep_in_thread(())
    found = {
        "its user": os.getresuid() == (uid,) * 3,
        "its group": os.getresgid() == (gid,) * 3,
        "its supplementary groups": account is None or set(os.getgroups()) == set(account.groups),
        "its capabilities": not uid or thread_sets() == (0, 0, 0),
    }
    wrong = [name for name, is_right in found.items() if not is_right]
    if wrong:
        raise _refusal(f"not as asked for: {', '.join(wrong)}")


def _groups_to_have() -> list[int]:
    """Returns the supplementary groups to have afterwards: none if they can be given up."""
    # If a user namespace forbids it (user_namespaces(7)), no process in it can give up or gain a group.
    return [] if _may_change() and not _is_forbidden() else os.getgroups()


def _is_forbidden() -> bool:
    try:
        with open("/proc/self/setgroups") as file:
            return file.read().strip() == "deny"
    except OSError:
        return False


def _change_ids(identity: Identity, groups: Sequence[int]) -> None:
    # The change of user drops the capability that this needs.
    if holds(SETPCAP):
        limit_bounding_set(())
    if list(groups) != os.getgroups():
        os.setgroups(groups)
    prctl(_PR_SET_KEEPCAPS, 1)
    os.setresgid(*(identity.gid,) * 3)
    os.setresuid(*(identity.uid,) * 3)
    prctl(_PR_SET_KEEPCAPS, 0)


def _confine() -> None:
    prctl(_PR_SET_NO_NEW_PRIVS, 1)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.umask(_UMASK)
    os.chdir("/")


def _verify(identity: Identity, groups: Sequence[int], kept: int, is_bound: bool) -> None:
    status = read_fields("self")
    # The fourth ID is the file system's.
    uids, gids = status["Uid"].split(), status["Gid"].split()
    found = {
        "its user": set(map(int, uids)) == {identity.uid} and os.getresuid() == (identity.uid,) * 3,
        "its group": set(map(int, gids)) == {identity.gid} and os.getresgid() == (identity.gid,) * 3,
        "its supplementary groups": os.getgroups() == list(groups),
        "its capabilities": thread_sets() == (kept, kept, 0) and int(status["CapAmb"], 16) == 0,
        "its bounding set": not is_bound or int(status["CapBnd"], 16) == 0,
        "no_new_privs": prctl(_PR_GET_NO_NEW_PRIVS) == 1,
        "dumpable": prctl(_PR_GET_DUMPABLE) == 0,
        "its directory": os.getcwd() == "/",
        "its core limit": resource.getrlimit(resource.RLIMIT_CORE) == (0, 0),
    }
    wrong = [name for name, is_right in found.items() if not is_right]
    if wrong:
        raise _refusal(f"not as asked for: {', '.join(wrong)}")


def _refusal(reason: str) -> PermissionError:
    return PermissionError(errno.EPERM, f"this process has not become that user: {reason}")
