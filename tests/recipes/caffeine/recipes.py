"""Recipes for a cache: Caffeine."""

from __future__ import annotations

import json

from recipes.recipe import Program, Recipe, Run
from recipes.running import java_program

CACHE = "com.github.benmanes.caffeine.cache.BoundedLocalCache"


def check_rate(run: Run) -> None:
    probes = json.loads("".join(run.output[1]))["probes"]
    calls = {each["probe"]["name"]: each["counts"]["filtered"] for each in probes}
    assert calls == {
        "computeIfAbsent__return": run.figures["hitCount"] + run.figures["missCount"],
        "doComputeIfAbsent__return": run.figures["missCount"],
    }
    assert run.figures["missCount"] > 100


PROGRAM = Program(
    name="caffeine",
    title="A cache: Caffeine 3.2",
    introduction="A cache of 100 prices, asked for 211.",
    start=java_program("Prices"),
    recipes=(
        Recipe(
            question="What is the hit rate of a cache, without its statistics?",
            commands=(
                "sudo jcollect attach PID --counts counts.json --probe '*__return' --select \\\n"
                f"    '{CACHE}#computeIfAbsent(Object,Function,boolean,boolean) when duration > 60min' --select \\\n"
                f"    '{CACHE}#doComputeIfAbsent when duration > 60min'",
                "cat counts.json",
            ),
            load="lookups 5003",
            shows=(
                ("^armed", "^detached"),
                ('"name": "computeIfAbsent__', '"filtered"', '"name": "doComputeIfAbsent__', '"filtered"'),
            ),
            reading="Caffeine calls `computeIfAbsent` for each lookup and `doComputeIfAbsent` for each miss. The condition "
            "never holds, so the calls are counted in the program and none traps into the kernel. Both numbers equal "
            "those of `recordStats()`, which the program does not need.",
            check=check_rate,
        ),
    ),
)
