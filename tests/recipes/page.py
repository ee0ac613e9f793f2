"""docs/recipes.md: rendered from the recipes and the output of their last run, which the page keeps."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Sequence

from java_target import ROOT
from recipes.recipe import Program, Recipe
from recipes.running import ENDS_ON_ITS_OWN

PAGE = ROOT / "docs/recipes.md"
# Lines of each command of a recipe, by its question.
Outputs = dict[str, list[list[str]]]
WIDTH = 120
LEFT_OUT = "…"
INTERRUPT = "^C"
_LAST_LINES = ("totals of ", "detached ")
PURPOSE = """
This page answers questions about programs that many people run. Each recipe is a command, its real output,
shortened, and an explanation. `make recipes` fetches the programs from Maven Central, runs every recipe on
JDK 17 and 25, and compares the output with the program's own figures.
"""
CONVENTIONS = """
PID stands for a process ID, as `jcollect ps` lists them. The outputs are those of JDK 25. A command that ends
with `&` runs in another terminal. `^C` stands for Ctrl-C. `app/` and `libs/` are the classes and the jars of
a program. The last line of `jcollect attach` [accounts for every call](hit-accounting.md).

The selectors fit the given versions of the programs. For another version, `jcollect find PID SELECTOR` says
whether the method still exists. [Selectors](selectors.md) has the complete grammar, and
[filter and capture](filter-and-capture.md) explains it.
"""


def shorten(lines: Sequence[str], patterns: Sequence[str]) -> list[str]:
    """Returns the lines that match the patterns, in order, and marks what it leaves out between them."""
    shown: list[str] = []
    start = 0
    for pattern in patterns:
        found = next((i for i in range(start, len(lines)) if re.search(pattern, lines[i])), None)
        assert found is not None, f"no line like {pattern!r} after {shown}"
        shown += [LEFT_OUT] * (found > start > 0) + [lines[found]]
        start = found + 1
    return shown + [LEFT_OUT] * bool(patterns and start < len(lines))


def render(programs: Sequence[Program], outputs: Outputs) -> str:
    """Returns the page."""
    paragraphs = [PURPOSE, *CONVENTIONS.split("\n\n")]
    parts = ["# Recipes\n", *map(fill, paragraphs), contents(programs)]
    for program in programs:
        parts += [f"## {program.title}\n", fill(program.introduction)]
        for recipe in program.recipes:
            block = "\n".join(session(recipe, outputs.get(recipe.question, [])))
            parts += [f"### {recipe.question}\n", f"```console\n{block}\n```\n", fill(recipe.reading)]
    return "\n".join(parts)


def contents(programs: Sequence[Program]) -> str:
    rows = ["| question | program |", "|---|---|"]
    rows += [
        f"| [{recipe.question}](#{anchor(recipe.question)}) | {program.title} |"
        for program in programs
        for recipe in program.recipes
    ]
    return "\n".join(rows) + "\n"


def anchor(heading: str) -> str:
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def session(recipe: Recipe, outputs: list[list[str]]) -> Iterator[str]:
    """Yields the lines of a terminal."""
    for number, command in enumerate(recipe.commands):
        yield f"$ {command}"
        lines = outputs[number] if number < len(outputs) else []
        first = next((i for i, line in enumerate(lines) if line.startswith(_LAST_LINES)), None)
        for i, line in enumerate(lines):
            if i == first and not re.search(ENDS_ON_ITS_OWN, command):
                yield INTERRUPT
            yield line


def outputs_of(page: str) -> Outputs:
    """Returns the outputs that a page shows."""
    outputs: Outputs = {}
    for section in page.split("\n### ")[1:]:
        question, _, text = section.partition("\n")
        block = text.split("```console\n", 1)[1].split("\n```", 1)[0]
        commands: list[list[str]] = []
        is_continued = False
        for line in block.split("\n"):
            if line.startswith("$ "):
                commands.append([])
            elif not is_continued and line != INTERRUPT:
                commands[-1].append(line)
            is_continued = line.endswith("\\") and (line.startswith("$ ") or is_continued)
        outputs[question] = commands
    return outputs


def fill(text: str) -> str:
    return textwrap.fill(" ".join(text.split()), WIDTH, break_long_words=False, break_on_hyphens=False) + "\n"
