"""Recipes for a JDBC connection pool and a database."""

from __future__ import annotations

from recipes.recipe import Program, Recipe, Run
from recipes.running import java_program

POOL = "com.zaxxer.hikari.pool.HikariPool#getConnection(long)"


def check_waits(run: Run) -> None:
    assert run.hits["hits"] == run.figures["acquired"] == 211
    assert run.hits["lost"] == 0
    assert len(run.events) == run.hits["delivered"] > 20
    assert all(event.nanos > 5e6 for event in run.events)
    assert {event.number("active") for event in run.events} <= {1, 2}


def check_sql(run: Run) -> None:
    assert len(run.events) == run.figures["updated"] == 41
    for number, event in enumerate(run.events, 1):
        assert event.captures["sql"].endswith(f"{{1: {10 * number}, 2: 'owner {number}'}}")


def check_rejected(run: Run) -> None:
    assert len(run.events) == run.figures["rejected"] == 10
    assert run.hits["hits"] == 11
    assert all("Unique index or primary key violation" in event.captures["why"] for event in run.events)


def check_lock(run: Run) -> None:
    assert len(run.events) >= run.figures["balanced"] // 2
    assert all(event.nanos > 5e6 for event in run.events)


def check_observed(run: Run) -> None:
    assert len(run.events) == 3
    assert run.hits["delivered"] == run.hits["hits"] == 2 * run.figures["acquired"]


PROGRAM = Program(
    name="hikari",
    title="A database and its connection pool: H2 2.3 and HikariCP 7.0",
    introduction="Four threads share a pool of two connections to a database in memory.",
    start=java_program("Bank"),
    recipes=(
        Recipe(
            question="Which SQL runs, with which values?",
            commands=(
                "sudo jcollect attach PID -o compact --probe '*__return' --select \\\n"
                "    'public org.h2.jdbc.JdbcPreparedStatement#execute*(sql=this.command.toString())'",
            ),
            load="transfers 41",
            shows=(("^armed", "update", "update", "^detached"),),
            reading="`toString()` of H2's command is the statement with the values of its parameters.",
            check=check_sql,
        ),
        Recipe(
            question="Which statements fail, and why?",
            commands=(
                "sudo jcollect attach PID -o compact --select \\\n"
                "    'public org.h2.jdbc.JdbcPreparedStatement#execute*(why=exception.message) when exception != null'",
            ),
            load="duplicates 11",
            shows=(("^armed", "throw", "^detached"),),
            reading="Each line has the class of the exception and its message, also if the program swallows it. "
            "11 statements ran, and the 10 that failed are events.",
            check=check_rejected,
        ),
        Recipe(
            question="Who waits for a connection, and how long?",
            commands=(
                "sudo jcollect attach PID -o compact --select \\\n"
                f"    '{POOL}(active=this.getActiveConnections(), waiting=this.getThreadsAwaitingConnection(), "
                "thread.name) when duration > 5ms'",
            ),
            load="queries 211",
            shows=(("^armed", "getConnection", "getConnection", "^detached"),),
            reading="`active` and `waiting` are read when the call begins. The number of hits equals the "
            "number of connections that HikariCP's own metrics count.",
            check=check_waits,
        ),
        Recipe(
            question="Which threads wait for a lock?",
            commands=(
                "sudo jcollect attach PID -o compact --select \\\n"
                "    'java.util.concurrent.locks.ReentrantLock#lock(thread.name, queued=this.getQueueLength()) "
                "when duration > 5ms'",
            ),
            load="books 31",
            shows=(("^armed", "lock", "lock", "^detached"),),
            reading="Classes of the JDK are traced if the selector spells out their package. `queued` is the number "
            "of threads that waited before this one.",
            check=check_lock,
        ),
        Recipe(
            question="How can a second person watch?",
            commands=(
                f"sudo jcollect attach PID --select '{POOL}' &",
                "sudo jcollect observe PID --probe '*__return' --max-events 3",
            ),
            load="queries 53",
            shows=(("^armed",), ("getConnection", "getConnection", "getConnection")),
            reading="`attach` serves all events to up to 64 clients, and `observe` prints those that match. It "
            "attaches nothing itself, so it costs the program nothing.",
            check=check_observed,
        ),
    ),
)
