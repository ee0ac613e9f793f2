"""Every relative link in the documentation points to a file, and every #anchor to a heading of that file. The
source files that it names exist.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

_FENCED = re.compile(r"^( *)(```|~~~).*?^\1\2$", re.MULTILINE | re.DOTALL)
_INDENTED = re.compile(r"^ {4}.*$", re.MULTILINE)
_CODE = re.compile(r"(`+)(?!`).*?(?<!`)\1(?!`)", re.DOTALL)
# A header may be the C library's.
_SOURCE = re.compile(r"`+((?:[\w.-]+/)*[\w.-]+\.(?:py|java|c|toml|proto|md))`+")
# Stands for any name in a recipe.
_PLACEHOLDER = "NAME.py"
_LINK = re.compile(r"\[[^\]]*\]\(\s*([^)\s]+)\s*\)")


@cache
def files() -> list[Path]:
    """Returns the tracked files, relative to the root, and the untracked ones that are not ignored."""
    command = ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    return [Path(name) for name in names if (ROOT / name).exists()]


def pages() -> list[Path]:
    """Returns the Markdown files."""
    return [ROOT / file for file in files() if file.suffix == ".md"]


@cache
def path_ends() -> frozenset[str]:
    """Returns the paths of all files, in full and without any number of leading folders."""
    return frozenset("/".join(file.parts[i:]) for file in files() for i in range(len(file.parts)))


def unknown_sources(text: str) -> list[str]:
    """Returns the source files that a page names, in full or by the end of the path, and that are missing."""
    return [
        name
        for name in _SOURCE.findall(_FENCED.sub("", text))
        if name not in path_ends() and not name.endswith(_PLACEHOLDER)
    ]


def prose(text: str) -> str:
    """Returns the text without its code blocks, in which brackets are not links."""
    return _INDENTED.sub("", _FENCED.sub("", text))


@cache
def anchors(page: Path) -> frozenset[str]:
    """Returns the anchors of a page's headings, as GitHub makes them."""
    found: set[str] = set()
    for heading in re.findall(r"^#{1,6} +(.+?)\s*$", _FENCED.sub("", page.read_text()), re.MULTILINE):
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "")
        base = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
        number, anchor = 0, base
        while anchor in found:
            number += 1
            anchor = f"{base}-{number}"
        found.add(anchor)
    return frozenset(found)


def problems(page: Path) -> Iterator[str]:
    """Describes each broken link of the page."""
    for target in _LINK.findall(_CODE.sub("", prose(page.read_text()))):
        if re.match(r"[a-z][a-z0-9+.-]*:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.exists():
            yield f"{target}: there is no such file"
        elif anchor and file.suffix == ".md" and anchor not in anchors(file):
            yield f"{target}: there is no such heading"


def test_every_link_has_a_target() -> None:
    checked = pages()
    assert ROOT / "README.md" in checked
    found = [f"{page.relative_to(ROOT)}: {each}" for page in checked for each in problems(page)]
    assert not found, "\n".join(found)


def test_every_source_file_that_a_page_names_exists() -> None:
    found = [
        f"{page.relative_to(ROOT)}: {name}" for page in pages() for name in unknown_sources(page.read_text())
    ]
    assert not found, "\n".join(found)
    assert unknown_sources("`docs/design.md`, `view/lines.py`, `view/line.py`") == ["view/line.py"]


@pytest.mark.parametrize(
    ("link", "problem"),
    [
        ("[x](other.md)", ""),
        ("[x](other.md#two-words)", ""),
        ("[x](#here--there)", ""),
        ("[x](https://example.org/y.md)", ""),
        ("`[x](nowhere.md)`", ""),
        ("[x](nowhere.md)", "nowhere.md: there is no such file"),
        ("[two\nlines](nowhere.md)", "nowhere.md: there is no such file"),
        ("[`x`](other.md#two-word)", "other.md#two-word: there is no such heading"),
        ("[x](#two-words)", "#two-words: there is no such heading"),
    ],
)
def test_a_broken_link_is_found(tmp_path: Path, link: str, problem: str) -> None:
    (tmp_path / "other.md").write_text("# Other\n\n## Two `words`\n")
    page = tmp_path / "page.md"
    page.write_text(f"# Page\n\n## Here & there\n\n{link}\n\n```\n[x](code.md)\n```\n")
    assert list(problems(page)) == ([problem] if problem else [])
