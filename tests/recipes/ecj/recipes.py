"""Recipes for a compiler: Eclipse's."""

from __future__ import annotations

from recipes.recipe import Program, Recipe, Run
from recipes.running import java_program


def check_files(run: Run) -> None:
    assert run.hits["hits"] == len(run.events) == run.figures["classes"] == 23
    assert sum("Difficult.java" in event.captures["file"] for event in run.events) == 1


PROGRAM = Program(
    name="ecj",
    title="A compiler: Eclipse's ecj 3.41",
    introduction="A build server that compiles 23 files.",
    start=java_program("Builder"),
    recipes=(
        Recipe(
            question="Which source files take the compiler long?",
            commands=(
                "sudo jcollect attach PID -o compact --probe '*__return' --select \\\n"
                "    'org.eclipse.jdt.internal.compiler.Compiler#process"
                "(file=arg0.compilationResult.fileName, problems=arg0.compilationResult.problemCount)'",
            ),
            load="build 23",
            shows=(("^armed", "Class", r"Difficult\.java", "^detached"),),
            reading="One line per file, with the number of its problems. The file's name is a `char[]` in a field, "
            "so no code of the compiler runs to capture it. The number of lines equals the number of class files.",
            check=check_files,
        ),
    ),
)
