"""Recipes for a JDBC connection pool and a database."""

from __future__ import annotations

import re
from collections import Counter

from recipes.recipe import Program, Recipe, Run, to_number
from recipes.running import java_program

POOL = "com.zaxxer.hikari.pool.HikariPool#getConnection(long)"
PARAMETER = "((org.h2.expression.Parameter) this.command.parameters"


def check_waits(run: Run) -> None:
    assert run.hits["hits"] == run.figures["acquired"] == 211
    assert run.hits["lost"] == 0
    assert len(run.events) == run.hits["delivered"] > 20
    assert all(event.nanos > 5e6 for event in run.events)
    active = Counter(event.number("active") for event in run.events)
    assert max(active) == 2
    assert active[2] > len(run.events) // 2


def check_sql(run: Run) -> None:
    assert len(run.events) == run.figures["executions"] == run.figures["updated"] == 41
    for number, event in enumerate(run.events, 1):
        assert event.captures["sql"].endswith(f"{{1: {10 * number}, 2: 'owner {number}'}}")


def check_values(run: Run) -> None:
    assert run.hits["hits"] == run.figures["executions"] == 41
    assert len(run.events) == run.figures["large"] == 11
    assert [event.number("amount") for event in run.events] == list(range(310, 411, 10))
    assert run.events[0].captures["owner"] == "owner 31"


def check_layers(run: Run) -> None:
    found = {line.split()[-1] for line in run.output[0]}
    lines = run.lines[next(i for i, line in enumerate(run.lines) if line.startswith("totals ")) :]
    rows = [re.fullmatch(r" *([\d,]+) .* (\S+)#\S+", line) for line in lines]
    calls = {row[2]: to_number(row[1]) for row in rows if row}
    assert calls.keys() <= found
    assert set(calls.values()) == {run.figures["executions"]}
    assert "org.h2.jdbc.JdbcPreparedStatement" in calls


def check_split(run: Run) -> None:
    assert len(run.events) == run.hits["delivered"] == run.figures["executions"] == 41
    split = [event for event in run.events if "on CPU" in event.rest]
    # A few calls are unknown: their switches were not reported.
    assert len(split) > 30


def check_slowest(run: Run) -> None:
    final = run.lines[next(i for i, line in enumerate(run.lines) if line.startswith("the 2 slowest calls")) :]
    assert final[0] == f"the 2 slowest calls of {run.figures['executions']}:"
    assert sum(bool(re.match(r"[12]\. ", line)) for line in final) == 2
    assert any(" at Bank" in line for line in final)


def check_halves(run: Run) -> None:
    compared = run.output[1]
    calls = sum(to_number(match[1]) for line in compared[:2] if (match := re.search(r"([\d,]+) calls", line)))
    assert calls == run.figures["acquired"] == 211
    report = compared[
        next(i for i, line in enumerate(compared) if "JdbcPreparedStatement#executeQuery" in line) :
    ]
    assert any(re.match(r" +mean +[\d.]+(us|ms) +[\d.]+(us|ms) ", line) for line in report), report


def check_exception_counts(run: Run) -> None:
    rows = [
        line for line in run.lines if re.match(r" *\d+ .*JdbcSQLIntegrityConstraintViolationException", line)
    ]
    assert [int(row.split()[0]) for row in rows] == [run.figures["rejected"]] == [10]
    assert any(" at org.h2." in line for line in run.lines)


def check_compilations(run: Run) -> None:
    compiled = [line for line in run.lines if re.search(r" compile +[\d.]+(us|ms)  C1 \S+#", line)]
    counted = next(re.search(r"compile: ([\d,]+) event", line) for line in run.lines if "compile: " in line)
    assert counted is not None
    assert len(compiled) == to_number(counted[1]) >= 1


def check_update_tree(run: Run) -> None:
    (root,) = [line for line in run.lines if "JdbcPreparedStatement#executeUpdate" in line]
    calls = re.search(r"\b([\d,]+)\b", root)
    assert calls is not None
    assert to_number(calls[1]) == run.figures["executions"] == 53
    assert any("org.h2.mvstore" in line for line in run.lines)


def check_folded(run: Run) -> None:
    folded = [line for line in run.output[1] if re.match(r"\S+(;\S+)* \d+$", line)]
    assert all(line.split()[0].endswith("org.h2.mvstore.MVMap.operate") for line in folded)
    written = next(re.search(r"wrote ([\d,]+) calls? with (\d+) stacks?", line) for line in run.output[0]
                   if line.startswith("wrote"))  # fmt: skip
    assert written is not None
    assert len(folded) == int(written[2])
    assert (
        sum(int(line.split()[-1]) for line in folded) == to_number(written[1]) >= run.figures["updated"] == 41
    )


def check_rejected(run: Run) -> None:
    assert len(run.events) == run.figures["rejected"] == 10
    assert run.hits["hits"] == 11
    assert all("Unique index or primary key violation" in event.captures["why"] for event in run.events)


def check_lock(run: Run) -> None:
    locks = Counter(event.captures["lock"] for event in run.events)
    assert locks.most_common(1)[0][1] == run.figures["waited"] > 5
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
            reading="`toString()` of H2's command is the statement with the values of its parameters. The number of "
            "events equals the `execution_count` of H2's own `query_statistics`.",
            check=check_sql,
        ),
        Recipe(
            question="Which statements have a large value as parameter?",
            commands=(
                "sudo jcollect attach PID -o compact --probe '*__return' --select \\\n"
                "    'public org.h2.jdbc.JdbcPreparedStatement#executeUpdate()"
                f"(amount=((org.h2.value.ValueInteger) {PARAMETER}[0]).value).value, "
                f"owner=((org.h2.value.ValueVarchar) {PARAMETER}[1]).value).value) when amount > 300'",
            ),
            load="transfers 41",
            shows=(("^armed", "amount=310", "amount=320", "^detached"),),
            reading="`[0]` is an element of the list of parameters, and the casts give access to its fields. The path calls "
            "one getter of H2 and otherwise reads fields, so it needs less time than `toString()`. 41 statements ran, "
            "as H2's own `query_statistics` confirms, and the 11 with an amount above 300 are events.",
            check=check_values,
        ),
        Recipe(
            question="Which classes run my statements, and where does the time go?",
            commands=(
                "sudo jcollect find PID '+java.sql.PreparedStatement'",
                "sudo jcollect top PID --sort total --select '+java.sql.PreparedStatement#executeUpdate()'",
            ),
            load="transfers 53",
            shows=(
                ("Hikari", "Proxy", "Jdbc", "classes"),
                ("^armed", "^totals", "CALLS", "Hikari", "Proxy", "Jdbc", "^[0-9] methods"),
            ),
            reading="`find` lists the loaded classes that implement the interface, and changes none of them. The pool wraps "
            "the driver's statement in two layers, so each call appears three times, and the times of the outer ones "
            "contain those of the inner. Here, the driver needs nearly all of the time. All numbers of calls equal the `execution_count` of H2's own "
            "`query_statistics`. To get one event per statement, select the driver's class.",
            check=check_layers,
        ),
        Recipe(
            question="Does a statement compute, wait for a CPU, or wait for something else?",
            commands=(
                "sudo jcollect attach PID -o compact --explain cpu,faults --probe '*executeUpdate__return' "
                "--select \\\n    'org.h2.jdbc.JdbcPreparedStatement#executeUpdate()'",
            ),
            load="transfers 41",
            shows=(
                ("^armed", "executeUpdate return .* on CPU", "executeUpdate return .* on CPU", "^detached"),
            ),
            reading="Each line has the duration of the call and what the thread did meanwhile: on a CPU, ready and waiting "
            "for one (run queue), or blocked (off CPU). Nothing stands there if the kernel did not report it. The number of "
            "events equals that of the statements.",
            check=check_split,
        ),
        Recipe(
            question="Which statements take longest, and why?",
            commands=(
                "sudo jcollect slow PID -n 2 --select 'org.h2.jdbc.JdbcPreparedStatement#executeUpdate()'",
            ),
            load="transfers 41",
            shows=(("^armed", "^the 2 slowest", "^1\\. ", "of ", " at org.h2.jdbc", "^detached"),),
            reading="The two slowest of all statements, with the time that the thread computed or waited, and the stack: which "
            "code has executed them. The number of calls is that of the statements.",
            check=check_slowest,
        ),
        Recipe(
            question="Which layers of the database does an update go through?",
            commands=(
                "sudo jcollect tree PID --merge --select \\\n"
                "    'org.h2.jdbc.JdbcPreparedStatement#executeUpdate();org.h2.command.Command#executeUpdate*;"
                "org.h2.command.dml.*#update;org.h2.mvstore.MVMap#*'",
            ),
            load="transfers 53",
            shows=(("^armed", "executeUpdate", "MVMap", "^detached"),),
            reading="With `--merge`, all calls are one tree: calls, time, and SELF, the time outside of the calls below. The "
            "number of calls of the first method equals that of the statements.",
            check=check_update_tree,
        ),
        Recipe(
            question="Who writes to the storage?",
            commands=(
                "sudo jcollect flame PID --weight count -o writers.folded --select 'org.h2.mvstore.MVMap#operate'",
                "cat writers.folded",
            ),
            load="transfers 41",
            shows=(("^armed", "^wrote", "^detached"), ("MVMap.operate",)),
            reading="`flame` captures the stack of each call and counts equal ones. With `-o writers.html` it is a flame graph "
            "for the browser. Folded stacks are for other tools, one per line; their counts add up to the number of calls.",
            check=check_folded,
        ),
        Recipe(
            question="Are the queries slower than before?",
            commands=(
                "sudo jcollect record PID -w queries.jprec --select \\\n"
                "    'org.h2.jdbc.JdbcPreparedStatement#executeQuery()'",
                "jcollect diff queries.jprec@..+500ms queries.jprec@+500ms..",
            ),
            load="queries 211",
            shows=(
                ("^armed", "^recorded"),
                ("^A: ", "^B: ", "JdbcPreparedStatement#executeQuery", "mean", "median"),
            ),
            reading="`diff` compares two parts of a recording, or two recordings. The last column says whether a difference "
            "is more than chance. The numbers of calls of both parts add up to those of the program.",
            check=check_halves,
        ),
        Recipe(
            question="Which exceptions does the database throw most often?",
            commands=(
                "sudo jcollect exceptions PID --fold-digits --select \\\n"
                "    'public org.h2.jdbc.JdbcPreparedStatement#execute*'",
            ),
            load="duplicates 11",
            shows=(("^armed", "COUNT", "JdbcSQLIntegrity", "in org.h2", "at org.h2", "^detached"),),
            reading="One row per class and message, with the method that threw it, and the stack of one of them. The count is "
            "that of the program.",
            check=check_exception_counts,
        ),
        Recipe(
            question="What does the JVM compile while the database works?",
            commands=("sudo jcollect jvm PID --events compile,gc,safepoint",),
            load="transfers 211",
            shows=(("^armed", " compile ", " compile ", "^compile: ", "^detached"),),
            reading="The events are those of HotSpot's own probes; the agent takes no part. Pauses are listed as well.",
            check=check_compilations,
        ),
        Recipe(
            question="Which statements fail, and why?",
            commands=(
                "sudo jcollect attach PID -o compact --select \\\n"
                "    'public org.h2.jdbc.JdbcPreparedStatement#execute*(why=exception.message) when exception != null'",
            ),
            load="duplicates 11",
            shows=(("^armed", "throw", "^detached"),),
            reading="Each line has the class of the exception and its message, even if the program ignores it. "
            "11 statements ran, and the 10 that failed are events.",
            check=check_rejected,
        ),
        Recipe(
            question="Which threads wait for a connection, and how long?",
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
                "    'java.util.concurrent.locks.ReentrantLock#lock(thread.name, lock=this, queued=this.getQueueLength()) "
                "when duration > 5ms'",
            ),
            load="balances 31",
            shows=(("^armed", "lock", "lock", "^detached"),),
            reading="Classes of the JDK are traced if the selector spells out their package. `lock` identifies the "
            "lock, and `queued` is the number of threads that waited before this one. The program measures its own "
            "waits: as many were longer than 5 ms.",
            check=check_lock,
        ),
        Recipe(
            question="How can several terminals print the events of one collector?",
            commands=(
                f"sudo jcollect attach PID --select '{POOL}' &",
                "sudo jcollect observe PID --probe '*__return' --max-events 3",
            ),
            load="queries 53",
            shows=(("^armed",), ("getConnection", "getConnection", "getConnection")),
            reading="`attach` serves all events to up to 64 clients, and `observe` prints those that match. "
            "`observe` attaches to no probe, so it costs the program nothing.",
            check=check_observed,
        ),
    ),
)
