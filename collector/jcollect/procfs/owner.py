"""Whose a process is: who is charged with what it makes us do."""

from __future__ import annotations

from jcollect.procfs.status import effective_user

NOBODYS = -1


def owner_of(pid: int) -> int:
    """The effective user; NOBODYS of a process that is gone."""
    try:
        return effective_user(pid).uid
    except (OSError, ValueError, LookupError):
        return NOBODYS
