"""Finds what `make build` makes besides Python: inside an installed package, or where a checkout has it."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import jcollect
from jcollect.errors import JcollectError


def find_built(installed: str, built: str, what_for: str) -> Path:
    """Returns the path in the package, or else the one in the checkout. Raises JcollectError, whose message
    begins with `what_for`.

    Only users who could also change jcollect's own code, which runs anyway, can have put or changed the file.
    """
    package = Path(jcollect.__file__).parent
    places = (package / installed, package.parent.parent / built)
    for file in places:
        if file.is_file():
            told = _who_else_could_change(file)
            if told:
                raise JcollectError(f"{what_for}: {told}; make it again, for its owner alone to write")
            return file
    raise JcollectError(f"{what_for}: there is neither {places[0]} nor {places[1]}; run make build")


def _who_else_could_change(file: Path) -> str | None:
    trusted = {0, os.geteuid(), os.stat(jcollect.__file__).st_uid}
    for place in (file, file.parent):
        about = os.stat(place)
        if about.st_uid not in trusted:
            return f"{place} belongs to user {about.st_uid}"
        if about.st_mode & stat.S_IWOTH:
            return f"{place} can be written by everybody"
    return None
