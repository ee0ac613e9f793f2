"""docs/recipes.md has exactly the recipes that `make recipes` runs, with output that fits their patterns."""

from __future__ import annotations

import re

import pytest

from recipes.page import LEFT_OUT, PAGE, outputs_of, render
from recipes.programs import PROGRAMS
from recipes.recipe import Recipe, parse_event

RECIPES = [recipe for program in PROGRAMS for recipe in program.recipes]


def test_the_page_is_the_rendered_recipes() -> None:
    page = PAGE.read_text()
    assert render(PROGRAMS, outputs_of(page)) == page, "run: make recipes-page"


def test_there_are_at_least_twenty() -> None:
    assert len({recipe.question for recipe in RECIPES}) == len(RECIPES) >= 20


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.question)
def test_the_output_is_what_the_recipe_shows(recipe: Recipe) -> None:
    for lines, patterns in zip(outputs_of(PAGE.read_text())[recipe.question], recipe.shows, strict=True):
        shown = [line for line in lines if line != LEFT_OUT]
        assert len(shown) == len(patterns)
        assert all(re.search(pattern, line) for pattern, line in zip(patterns, shown, strict=True)), shown


def test_a_compact_line_is_an_event() -> None:
    line = r'x.Y#m throw 1.5ms E why="no \"key\"; [1]"… thread.name="main" n=<absent: null> count=7'
    event = parse_event(f"10:00:00.123456 4720/31 {line}")
    assert event
    assert (event.type, event.method, event.kind, event.nanos) == ("x.Y", "m", "throw", 1.5e6)
    captures = {"why": 'no "key"; [1]', "thread.name": "main", "n": "<absent: null>", "count": "7"}
    assert event.captures == captures
    assert event.number("count") == 7
