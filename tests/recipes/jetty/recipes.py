"""Recipes for a web server: Jetty."""

from __future__ import annotations

from recipes.recipe import Program, Recipe, Run
from recipes.running import java_program


def check_queue(run: Run) -> None:
    assert run.hits["hits"] == run.figures["tasks"] > 97
    assert len(run.events) == run.hits["delivered"] >= 1
    assert all(event.number("queued") >= 3 for event in run.events)


def check_errors(run: Run) -> None:
    assert len(run.events) == run.figures["responses"] == 9
    assert {event.captures["status"] for event in run.events} == {"503"}


PROGRAM = Program(
    name="jetty",
    title="A web server: Jetty 12",
    introduction="A Jetty server with six threads, whose handler needs 5 ms.",
    start=java_program("Tasks"),
    recipes=(
        Recipe(
            question="When do tasks queue up, and are threads idle then?",
            commands=(
                "sudo jcollect attach PID -o compact --probe '*__entry' --select \\\n"
                "    'org.eclipse.jetty.util.thread.QueuedThreadPool#execute"
                "(queued=this.getQueueSize(), idle=this.getIdleThreads()) when queued >= 3'",
            ),
            load="burst 97",
            shows=(("^armed", "queued", "^detached"),),
            reading="`queued` is the number of tasks that already wait, and `idle` the number of threads without a task. "
            "The number of hits equals the pool's own number of tasks.",
            check=check_queue,
        ),
        Recipe(
            question="Which answers are errors?",
            commands=(
                "sudo jcollect attach PID -o compact --probe '*__entry' --select \\\n"
                "    'org.eclipse.jetty.server.internal.HttpChannelState$ChannelResponse#setStatus"
                "(status=arg0, path=this.getRequest().getHttpURI().getPath()) when status >= 500'",
            ),
            load="burst 90",
            shows=(("^armed", "status=503", "status=503", "^detached"),),
            reading="The number of events equals the 5xx responses of Jetty's StatisticsHandler.",
            check=check_errors,
        ),
    ),
)
