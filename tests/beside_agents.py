"""Runs PrimeCalls with jprobe and another agent that weaves the same class, loaded in either order."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from conditions import wait_until
from java_target import JAR, ORDERS, ORDERS_PROBES, ROOT, Jdk, attach, finish, java, wait_for_probes
from orders_client import Client, assert_exact
from prime_calls import run_calls
from second_agent import Digests

JACOCO_JAR = ROOT / "java-agent/build/targets/org.jacoco.agent.jar"
JACOCO_CLI_JAR = ROOT / "java-agent/build/targets/org.jacoco.cli.jar"
OPENTELEMETRY_JAR = ROOT / "java-agent/build/targets/opentelemetry-javaagent.jar"


def run_beside(
    other: Sequence[str], ours_first: bool, jdk: Jdk, targets: Path, digest_agent: Path, folder: Path
) -> tuple[dict[str, int], list[str]]:
    """Runs a program that makes all its calls twice: first traced, then untraced.

    Checks that the events are exact and that the class then has the bytecode that the other agent alone
    produces. `other` holds JVM options. Returns the result of each run and the JVM's stderr.
    """
    # JaCoCo adds a method to each class.
    ours = f"-javaagent:{JAR}=probes={ORDERS};!PrimeCalls$Orders#$jacocoInit"
    log = folder / "digests"
    digests = Digests(log, "PrimeCalls$Orders")
    agents = [ours, *other] if ours_first else [*other, ours]
    last = f"-javaagent:{digest_agent}={log},PrimeCalls$Orders"
    with java(jdk, *agents, last, "-cp", targets, "PrimeCalls") as target:
        target.wait_for_line("ready", 120)
        wait_for_probes(target.pid, ORDERS_PROBES)
        without_us = digests.of_a_retransformation()
        with attach(target.pid) as collector:
            assert digests.all()[-1] != without_us
            client = Client(f"unix:///run/jprobe/{target.pid}.sock")
            did = run_calls(target)
            finish(collector)
            client.join()
        assert_exact(client, did)
        wait_until(lambda: digests.all()[-1] == without_us, "the class to be the other agent's alone")
        assert run_calls(target) == did
        target.send("exit")
        assert target.wait(120) == 0
        assert not [line for line in target.err if line.startswith("jprobe: cannot")]
        return did, target.err
