"""Determines whether others could have put or changed a file that is to run with our rights."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterator
from pathlib import Path

# Limit from path_resolution(7).
_MAX_LINKS = 40
_MAX_FILES = 10_000
# A user namespace that maps all users is the host's, where each number stands for itself.
_ALL_USERS = ["0", "0", "4294967295"]


def who_could_change(path: Path) -> str | None:
    """Returns who besides us and root could change the file at an absolute path; None if nobody could.

    Each directory from / on counts, and each symbolic link on the way, and also a sticky directory, where
    every user can create files. Raises OSError if there is no such file.
    """
    trusted = _trusted_users()
    return next((told for place in _places(path) if (told := _told(place, trusted))), None)


def who_could_change_below(folder: Path) -> str | None:
    """Checks a folder and everything in it as who_could_change does. Skips broken links."""
    trusted = _trusted_users()
    told = who_could_change(folder)
    if told:
        return told
    count = 0
    for where, folders, files in os.walk(folder):
        for name in (*folders, *files):
            count += 1
            if count > _MAX_FILES:
                return f"{folder} has more than {_MAX_FILES:,} files"
            path = Path(where, name)
            if path.is_symlink():
                told = who_could_change(path) if path.exists() else None
            else:
                told = _told(path, trusted)
            if told:
                return told
    return None


def is_open_to_all(path: str) -> bool:
    """Returns true if every user may read what lies at an absolute path. Raises OSError."""
    *passed, last = (os.stat(place).st_mode for place in _places(Path(path)))
    return all(mode & stat.S_IXOTH for mode in passed if stat.S_ISDIR(mode)) and bool(last & stat.S_IROTH)


def _places(path: Path) -> Iterator[Path]:
    """Yields everything that is passed on the way to a file, and the file itself."""
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


def _told(place: Path, trusted: Collection[int]) -> str | None:
    about = os.lstat(place)
    if about.st_uid not in trusted:
        return f"{place} belongs to user {about.st_uid}"
    if stat.S_ISLNK(about.st_mode):
        return None  # A link's mode is always 777 and means nothing.
    if about.st_mode & stat.S_IWOTH:
        return f"{place} can be written by everybody"
    if about.st_mode & stat.S_IWGRP and about.st_gid != 0:
        return f"{place} can be written by group {about.st_gid}"
    return None


def _trusted_users() -> set[int]:
    trusted = {0, os.geteuid()}
    if Path("/proc/self/uid_map").read_text().split() != _ALL_USERS:
        # The host's root has no number in this namespace, and appears as nobody.
        trusted.add(int(Path("/proc/sys/kernel/overflowuid").read_text()))
    return trusted
