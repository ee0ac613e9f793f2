"""The files and commands on a page of the documentation, so that a test can run them as they are there."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

_BLOCK = re.compile(
    r"(?:^File \*(?P<file>[\w./-]+)\*:\n\n)?^```(?P<language>\w+)\n(?P<text>.*?)^```$", re.M | re.S
)


@dataclass
class Section:
    """`files` by path, the shell `commands` in order, and all other blocks by language."""

    files: dict[str, str] = field(default_factory=dict)
    commands: list[str] = field(default_factory=list)
    others: dict[str, list[str]] = field(default_factory=dict)

    def write_files(self, folder: Path) -> None:
        for name, text in self.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)


def section_of(page: Path, heading: str) -> Section:
    """Returns the section below a heading of the second level; fails if the page has none."""
    found = re.search(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", page.read_text(), re.M | re.S)
    assert found, f"{page.name} has no section {heading}"
    section = Section()
    for block in _BLOCK.finditer(found[1]):
        if block["file"]:
            section.files[block["file"]] = block["text"]
        elif block["language"] == "sh":
            section.commands.append(block["text"])
        else:
            section.others.setdefault(block["language"], []).append(block["text"])
    return section
