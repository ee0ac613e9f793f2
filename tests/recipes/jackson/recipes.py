"""Recipes for a JSON library: Jackson."""

from __future__ import annotations

from recipes.recipe import Program, Recipe, Run
from recipes.running import java_program

READ = "com.fasterxml.jackson.databind.ObjectMapper#readValue(String,Class)"


def check_malformed(run: Run) -> None:
    assert run.hits["hits"] == run.figures["messages"] == 1006
    assert len(run.events) == run.figures["malformed"] == 5
    assert {event.captures["type"] for event in run.events} == {"Messages$Customer"}
    assert all("nmae" in event.rest for event in run.events)


def check_sizes(run: Run) -> None:
    assert run.hits["hits"] == run.figures["messages"] - run.figures["malformed"]
    assert len(run.events) == run.hits["delivered"] == run.figures["messages"] // 100


PROGRAM = Program(
    name="jackson",
    title="JSON: Jackson 2.20",
    introduction="A program that reads orders and customers, of which some are misspelled.",
    start=java_program("Messages"),
    recipes=(
        Recipe(
            question="Which messages do not fit their type, and why?",
            commands=(
                "sudo jcollect attach PID -o compact --select \\\n"
                f"    '{READ}(type=arg1.getName(), json=arg0, why=exception.message) "
                "when exception != null'",
            ),
            load="messages 503",
            shows=(("^armed", "nmae", "nmae", "^detached"),),
            reading="Each line has the type, the text and the reason, whether or not the program logs the exception. The "
            "numbers of calls and events equal those of the program.",
            check=check_malformed,
        ),
        Recipe(
            question="Which types are read, in a sample of one call in 100?",
            commands=(
                "sudo jcollect attach PID -o compact --probe '*__return' --select \\\n"
                f"    '{READ}(type=arg1.getSimpleName(), length=arg0.length()) every 100'",
            ),
            load="messages 500",
            shows=(("^armed", "type", "type", "^detached"),),
            reading="`every 100` decides in the program: 99 of 100 calls are only counted. The number of hits equals the "
            "number of messages that fit.",
            check=check_sizes,
        ),
    ),
)
