"""Finds what `make build` makes besides Python: inside an installed package, or where a checkout has it."""

from __future__ import annotations

from pathlib import Path

import jcollect
from jcollect.errors import JcollectError


def find_built(installed: str, built: str, what_for: str) -> Path:
    """Paths in the package and in the checkout. Raises JcollectError, which begins with `what_for`."""
    package = Path(jcollect.__file__).parent
    places = (package / installed, package.parent.parent / built)
    for file in places:
        if file.is_file():
            return file
    raise JcollectError(f"{what_for}: there is neither {places[0]} nor {places[1]}; run make build")
