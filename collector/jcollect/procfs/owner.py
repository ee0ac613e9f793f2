"""The owner of a process: the user who is charged for the work that it causes."""

from __future__ import annotations

from jcollect.procfs.status import real_user

NOBODYS = -1


def owner_of(pid: int) -> int:
    """Returns the real user, whatever the process has executed since; NOBODYS if it has exited."""
    try:
        return real_user(pid)
    except (OSError, ValueError, LookupError):
        return NOBODYS
