"""Finds non-Python files that `make build` creates: in the installed package, or in a checkout."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import jcollect
from jcollect.errors import JcollectError


def find_built(installed: str, built: str, what_for: str) -> Path:
    """Returns the path in the package if the file exists there, otherwise the one in the checkout. Raises
    JcollectError, whose message begins with `what_for`.

    Only users who can also change jcollect's own code can have created or changed the file.
    """
    package = Path(jcollect.__file__).parent
    candidates = (package / installed, package.parent.parent / built)
    for file in candidates:
        if file.is_file():
            problem = _untrusted_writer(file)
            if problem:
                raise JcollectError(
                    f"{what_for}: {problem}; build it again, so that only its owner can write to it"
                )
            return file
    raise JcollectError(f"{what_for}: neither {candidates[0]} nor {candidates[1]} exists; run make build")


def _untrusted_writer(file: Path) -> str | None:
    trusted = {0, os.geteuid(), os.stat(jcollect.__file__).st_uid}
    for path in (file, file.parent):
        about = os.stat(path)
        if about.st_uid not in trusted:
            return f"{path} belongs to user {about.st_uid}"
        if about.st_mode & stat.S_IWOTH:
            return f"{path} is writable by all users"
    return None
