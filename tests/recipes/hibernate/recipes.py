"""Recipes for an object-relational mapper: Hibernate."""

from __future__ import annotations

from collections import Counter

from recipes.recipe import Program, Recipe, Run
from recipes.running import java_program


def check_statements(run: Run) -> None:
    assert len(run.events) == run.figures["prepareStatementCount"] == 2 * 21
    counts = Counter(event.captures["sql"] for event in run.events)
    assert sorted(counts.values()) == [2, 40]


PROGRAM = Program(
    name="hibernate",
    title="An object-relational mapper: Hibernate 7.1",
    introduction="A list of 20 books, with an author each.",
    start=java_program("Library"),
    recipes=(
        Recipe(
            question="Which SQL does one page cause (N+1)?",
            commands=(
                "sudo jcollect attach PID -o compact --probe '*__entry' --select \\\n"
                "    'org.hibernate.engine.jdbc.internal.StatementPreparerImpl#prepare*Statement(String,..)"
                "(thread.name, sql=arg0)'",
            ),
            load="list 2",
            shows=(("^armed", "Book", "Author", "Author", "^detached"),),
            reading="One query reads the books, and one more reads the author of each: 21 statements instead of one. "
            "The number of events equals Hibernate's `prepareStatementCount`.",
            check=check_statements,
        ),
    ),
)
