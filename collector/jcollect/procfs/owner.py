"""The owner of a process: the user who is charged for the work that it causes."""

from __future__ import annotations

from jcollect.procfs.status import effective_user

NOBODYS = -1


def owner_of(pid: int) -> int:
    """Returns the effective user; NOBODYS if the process has exited."""
    try:
        return effective_user(pid).uid
    except (OSError, ValueError, LookupError):
        return NOBODYS
