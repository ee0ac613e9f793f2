"""Every recipe of docs/recipes.md, on the oldest and the newest JDK: its output still answers the question
and equals the program's own figures.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from java_target import JDKS, Jdk
from recipes.page import Outputs, shorten
from recipes.programs import PROGRAMS
from recipes.recipe import Program, Recipe
from recipes.running import as_in_page, run_recipe
from recipes.stage import Stage

CASES = [
    pytest.param(program, recipe, jdk, id=f"{jdk}-{program.name}-{number}")
    for jdk in dict.fromkeys((JDKS[0], JDKS[-1]))
    for program in PROGRAMS
    for number, recipe in enumerate(program.recipes, 1)
]


@pytest.mark.parametrize(("program", "recipe", "jdk"), CASES)
def test_recipe(
    stage: Stage, program: Program, recipe: Recipe, jdk: Jdk, tmp_path: Path, outputs: Outputs
) -> None:
    running = stage.start(program, jdk)
    run = run_recipe(recipe, running, jdk, tmp_path)
    try:
        shown = [shorten(lines, patterns) for lines, patterns in zip(run.output, recipe.shows, strict=True)]
        recipe.check(run)
    except AssertionError:
        print(f"{recipe.question}\n{run.figures}", *run.lines[:10], "…", *run.lines[-10:], sep="\n")
        raise
    outputs[recipe.question] = [[as_in_page(line, running) for line in lines] for lines in shown]
