"""Determines whether other users could have created or changed a file that jcollect is about to run."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterator
from pathlib import Path

# Limit from path_resolution(7).
_MAX_LINKS = 40
_MAX_FILES = 10_000
# A user namespace that maps all users is the host's: user IDs need no translation.
_ALL_USERS = ["0", "0", "4294967295"]


def untrusted_writer(path: Path) -> str | None:
    """Returns a sentence about a user, other than root and the one of this process, who could change the file
    at an absolute path; None if no other user could.

    Checks every directory and symbolic link in the path. A sticky directory counts as writable, because
    every user can create files in it. Raises OSError if there is no such file.
    """
    trusted = _trusted_users()
    return next((problem for each in _components(path) if (problem := _problem_of(each, trusted))), None)


def untrusted_writer_below(folder: Path) -> str | None:
    """Checks a folder and everything in it as untrusted_writer does. Skips broken links."""
    trusted = _trusted_users()
    problem = untrusted_writer(folder)
    if problem:
        return problem
    count = 0
    for where, folders, files in os.walk(folder):
        for name in (*folders, *files):
            count += 1
            if count > _MAX_FILES:
                return f"{folder} has more than {_MAX_FILES:,} files"
            path = Path(where, name)
            if path.is_symlink():
                problem = untrusted_writer(path) if path.exists() else None
            else:
                problem = _problem_of(path, trusted)
            if problem:
                return problem
    return None


def is_readable_by_all(path: str) -> bool:
    """Returns true if every user may read the file at an absolute path. Raises OSError."""
    *directories, last = (os.stat(each).st_mode for each in _components(Path(path)))
    can_search = all(mode & stat.S_IXOTH for mode in directories if stat.S_ISDIR(mode))
    return can_search and bool(last & stat.S_IROTH)


def _components(path: Path) -> Iterator[Path]:
    """Yields every directory and symbolic link that the kernel visits to resolve a path, then the file."""
    at, rest, links = Path("/"), list(path.parts[1:]), 0
    yield at
    while rest:
        name = rest.pop(0)
        if name == "..":
            at = at.parent
            continue
        at /= name
        yield at
        if at.is_symlink():
            links += 1
            if links > _MAX_LINKS:
                raise OSError(f"{path} has too many links")
            to = Path(os.readlink(at))
            at, rest = (
                (Path("/"), [*to.parts[1:], *rest]) if to.is_absolute() else (at.parent, [*to.parts, *rest])
            )


def _problem_of(path: Path, trusted: Collection[int]) -> str | None:
    about = os.lstat(path)
    if about.st_uid not in trusted:
        return f"{path} belongs to user {about.st_uid}"
    if stat.S_ISLNK(about.st_mode):
        return None  # The kernel ignores the mode of a link, which is always 777.
    if about.st_mode & stat.S_IWOTH:
        return f"{path} is writable by all users"
    if about.st_mode & stat.S_IWGRP and about.st_gid != 0:
        return f"{path} is writable by group {about.st_gid}"
    return None


def _trusted_users() -> set[int]:
    trusted = {0, os.geteuid()}
    if Path("/proc/self/uid_map").read_text().split() != _ALL_USERS:
        # The host's root is not mapped into this namespace, and appears as the overflow user (nobody).
        trusted.add(int(Path("/proc/sys/kernel/overflowuid").read_text()))
    return trusted
