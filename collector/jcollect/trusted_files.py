"""Tells if others could have put or changed a file that is to be run with our rights."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterator
from pathlib import Path

# As path_resolution(7) has it.
_MAX_LINKS = 40
_MAX_FILES = 10_000
# A user namespace that has all users is the host's, where no number stands for others than itself.
_ALL_USERS = ["0", "0", "4294967295"]


def who_could_change(path: Path) -> str | None:
    """Says who besides us and root could change what lies at an absolute path; None if nobody could.

    Each directory from / on counts, and each symbolic link on the way; also a sticky directory, because
    everybody can put a file there. Raises OSError where there is no such file.
    """
    trusted = _trusted_users()
    return next((told for place in _places(path) if (told := _told(place, trusted))), None)


def who_could_change_below(folder: Path) -> str | None:
    """As who_could_change, of the folder and of all that it contains. A link to nowhere is skipped."""
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
    """Whatever is passed on the way to a file, itself included."""
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
        return None  # Its mode is 777 and means nothing.
    if about.st_mode & stat.S_IWOTH:
        return f"{place} can be written by everybody"
    if about.st_mode & stat.S_IWGRP and about.st_gid != 0:
        return f"{place} can be written by group {about.st_gid}"
    return None


def _trusted_users() -> set[int]:
    trusted = {0, os.geteuid()}
    if Path("/proc/self/uid_map").read_text().split() != _ALL_USERS:
        # Here the host's root has no number of its own, and appears as nobody.
        trusted.add(int(Path("/proc/sys/kernel/overflowuid").read_text()))
    return trusted
