"""Recipes for a web server: embedded Tomcat."""

from __future__ import annotations

import re

from recipes.recipe import Program, Recipe, Run
from recipes.running import java_program

SERVICE = "org.apache.catalina.connector.CoyoteAdapter#service"


def check_count(run: Run) -> None:
    assert run.hits["hits"] == run.hits["filtered"] == run.figures["requestCount"] == 509
    assert run.hits["lost"] == 0


def check_queue(run: Run) -> None:
    assert run.hits["hits"] == run.figures["completedTaskCount"]
    assert len(run.events) == run.hits["delivered"] > 5
    assert all(event.number("queued") > 0 for event in run.events)


def check_histogram(run: Run) -> None:
    buckets = [int(match[1]) for line in run.lines if (match := re.match(r"\[.*\) +(\d+) \|", line))]
    assert sum(buckets) == run.figures["requestCount"] == 211


PROGRAM = Program(
    name="tomcat",
    title="A web server: Tomcat 11",
    introduction="An embedded Tomcat with two threads.",
    start=java_program("Servlets"),
    recipes=(
        Recipe(
            question="How many requests does the server get, counted at the least cost?",
            commands=(f"sudo jcollect attach PID --select '{SERVICE} when duration > 60min'",),
            load="requests 509",
            shows=(("^armed", "^detached"),),
            reading="The condition never holds, so every call is counted in the program and none traps into the "
            "kernel. The number equals Tomcat's own `requestCount`.",
            check=check_count,
        ),
        Recipe(
            question="How many requests wait for a thread?",
            commands=(
                "sudo jcollect attach PID -o compact --probe '*__entry' --select \\\n"
                "    'org.apache.tomcat.util.threads.TaskQueue#offer(Runnable)(queued=this.size()) "
                "when queued > 0'",
            ),
            load="burst 61",
            shows=(("^armed", "queued", "queued", "^detached"),),
            reading="`offer` puts a request into the queue of the thread pool. `queued` is the number of requests "
            "that already wait there. The number of hits equals the pool's own `completedTaskCount`.",
            check=check_queue,
        ),
        Recipe(
            question="How are the times of requests distributed, in bpftrace?",
            commands=(
                f"sudo jcollect select PID '{SERVICE}'",
                "sudo bpftrace -p PID -e \\\n"
                "    'usdt:/tmp/jprobe-PID-RANDOM/N.so:org_apache_catalina_connector_CoyoteAdapter:service__return "
                "{ @us = hist(arg0 / 1000); }'",
                "sudo jcollect reset PID",
            ),
            load="requests 211",
            shows=(("^selected",), ("@us", r"^\[", r"^\[", r"^\["), ("reset|shut",)),
            reading="The first argument of a return probe is the duration in ns. `jcollect probes PID` prints the "
            "path of the library.",
            check=check_histogram,
        ),
    ),
)
