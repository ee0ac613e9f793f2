"""Every function and file that SECURITY.md names as a door for untrusted data exists."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
COLLECTOR = ROOT / "collector/jcollect"

_SOURCE = re.compile(r"[\w/]+\.(py|c|java)")
_MODULE = re.compile(r"[a-z_]+(/[a-z_{},]+)+(\.\w+)?")


def doors(text: str) -> Iterator[str]:
    """Returns the code in the second column of the tables of the section Doors."""
    section = text.partition("\n## Doors\n")[2].partition("\n## ")[0]
    for row in re.findall(r"^\|[^|]*\|([^|]*)\|", section, re.MULTILINE):
        yield from re.findall(r"`([^`]+)`", row)


def exists(door: str, sources: list[str]) -> bool:
    """Returns true for a source file, and for a module, `dir/{a,b}` or function of the collector."""
    if _SOURCE.fullmatch(door):
        return any(source.endswith(f"/{door}") for source in sources)
    path, _, name = door.partition(".")
    if group := re.fullmatch(r"(.*)\{(.*)\}", path):
        return all((COLLECTOR / f"{group[1]}{each}.py").exists() for each in group[2].split(","))
    file = COLLECTOR / f"{path}.py"
    return file.exists() and (not name or re.search(rf"\b(def|class) {name}\b", file.read_text()) is not None)


@pytest.fixture(scope="module")
def sources() -> list[str]:
    command = ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()


def test_every_door_exists(sources: list[str]) -> None:
    named = [door for door in doors((ROOT / "SECURITY.md").read_text()) if "/" in door or "." in door]
    found = [door for door in named if _SOURCE.fullmatch(door) or _MODULE.fullmatch(door)]
    assert len(found) > 40
    missing = [door for door in found if not exists(door, sources)]
    assert not missing, f"SECURITY.md names doors that are not in the code: {', '.join(missing)}"


@pytest.mark.parametrize("door", ["procfs/mapped.no_such", "procfs/{mapped,none}", "none.py", "procfs/none"])
def test_a_missing_door_is_found(sources: list[str], door: str) -> None:
    assert not exists(door, sources)
