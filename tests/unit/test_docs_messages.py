"""The table of docs/troubleshooting.md lists messages that the code really prints, sorted by message."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/troubleshooting.md"

# Fragments that the agent composes from several literals.
_COMPOSED = {"cannot restore class": ("cannot ", "restore", " class ")}

# Shorter constant parts of a message prove nothing.
_SHORTEST_FRAGMENT = 6


class Row(NamedTuple):
    messages: tuple[str, ...]
    printed_by: str


def rows() -> list[Row]:
    """Returns the rows of the table of messages; the first column can hold several messages."""
    found = []
    for line in PAGE.read_text().split("| message |", 1)[1].splitlines()[2:]:
        if not line.startswith("|"):
            break
        cells = re.split(r"(?<!\\)\|", line)
        found.append(Row(tuple(re.findall(r"`([^`]+)`", cells[1])), cells[2].strip()))
    return found


def fragments(message: str) -> list[str]:
    """Returns the constant parts of a message."""
    parts = re.split(r"…|\b[NM]\b|\b\d+\b", message)
    return [part.strip(" '\";:,.#()|%") for part in parts]


@cache
def printed_texts() -> str:
    """Returns all string literals of the product, one per line, with … for the values in them."""
    texts = []
    for file in sorted((ROOT / "collector/jcollect").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.JoinedStr):
                parts = (each.value if isinstance(each, ast.Constant) else "…" for each in node.values)
                texts.append("".join(map(str, parts)))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.append(node.value)
    for file in sorted((ROOT / "java-agent/src/main/java").rglob("*.java")):
        joined = re.sub(r'"\s*\+\s*"', "", file.read_text())
        texts += re.findall(r'"((?:[^"\\\n]|\\.)+)"', joined)
    for file in sorted((ROOT / "java-agent/src/main/c").rglob("*.c")):
        joined = re.sub(r'"\s+"', "", file.read_text())
        texts += re.findall(r'"((?:[^"\\\n]|\\.)+)"', joined)
    return "\n".join(texts)


def test_every_message_of_the_page_is_printed_by_the_code() -> None:
    listed = [each for each in rows() if each.printed_by != "JVM"]
    assert len(listed) > 60
    unknown = [
        f"{message}: {literal}"
        for row in listed
        for message in row.messages
        for fragment in fragments(message)
        if len(fragment) >= _SHORTEST_FRAGMENT
        for literal in _COMPOSED.get(fragment, (fragment,))
        if literal not in printed_texts()
    ]
    assert not unknown, "\n".join(unknown)


def test_every_message_of_the_page_can_be_recognized() -> None:
    for row in rows():
        assert row.printed_by in {"agent", "jcollect", "JVM"}, row
        for message in row.messages:
            assert max(map(len, fragments(message))) >= _SHORTEST_FRAGMENT, message


def test_messages_are_sorted() -> None:
    """Sorts by letters and digits, from the first constant one."""
    keys = [re.sub(r"[^a-z0-9 ]", "", row.messages[0].lower()).strip() for row in rows()]
    assert keys == sorted(keys)
