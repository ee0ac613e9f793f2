"""Ways to start the JVM that take too long to test with every change."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from conditions import require_bpf
from java_target import (
    H2_JAR,
    JAR,
    JDKS,
    ORDERS,
    ORDERS_PROBES,
    Jdk,
    attach,
    finish,
    java,
    run,
    wait_for_probes,
)
from prime_calls import hits_of, run_calls

on_every_jdk = pytest.mark.parametrize("jdk", JDKS, ids=str)

# Answers one query with H2. The archive is created from the same query.
QUERY = ("-cp", str(H2_JAR), "org.h2.tools.Shell", "-url", "jdbc:h2:mem:", "-sql", "select 6 * 7")


def dump_archive(jdk: Jdk, kind: str, archive: Path) -> None:
    """Creates an archive of the classes that a query loads, without an agent."""
    if kind == "dynamic":
        steps = [[f"-XX:ArchiveClassesAtExit={archive}", *QUERY]]
    else:
        classes = archive.with_suffix(".classes")
        steps = [
            [f"-XX:DumpLoadedClassList={classes}", *QUERY],
            ["-Xshare:dump", f"-XX:SharedClassListFile={classes}", f"-XX:SharedArchiveFile={archive}",
             "-cp", str(H2_JAR)],
        ]  # fmt: skip
    for step in steps:
        done = run(jdk.java, *step, timeout=120)
        assert done.returncode == 0, done


def shared_classes(log: Path, source: str) -> set[str]:
    """Returns the classes of H2 that were loaded from the archive."""
    return set(re.findall(rf"\] (org\.h2\.\S+) source: {re.escape(source)}$", log.read_text(), re.MULTILINE))


@on_every_jdk
@pytest.mark.parametrize(
    ("kind", "source"), [("dynamic", "shared objects file (top)"), ("static", "shared objects file")]
)
def test_the_programs_classes_come_from_its_archive_as_without_the_agent(
    jdk: Jdk, kind: str, source: str, tmp_path: Path
) -> None:
    archive = tmp_path / "h2.jsa"
    dump_archive(jdk, kind, archive)
    shared = {}
    for who, agent in (
        ("no agent", {}),
        ("agent", {"probes": "org.h2.**#*", "options": "max-methods=100000"}),
    ):
        log = tmp_path / who
        # With -Xshare:on, the JVM exits if it cannot use the archive.
        jvm = ["-Xshare:on", f"-XX:SharedArchiveFile={archive}", f"-Xlog:class+load:file={log}"]
        with java(jdk, *QUERY, jvm=jvm, **agent) as query:
            assert query.wait() == 0, query.err
            assert "42" in query.out
            assert query.err == []
        shared[who] = shared_classes(log, source)
    assert len(shared["no agent"]) > 200
    assert shared["agent"] == shared["no agent"]


@on_every_jdk
@pytest.mark.parametrize(
    "jvm",
    ["-Xint", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-XX:+UseParallelGC", "-XX:+UseZGC",
     "-Xmx16m", "-Xshare:off", "-Xrs", "-Xverify:all", "-XX:-UseCompressedOops",
     "-XX:+DisableAttachMechanism"],
)  # fmt: skip
def test_a_jvm_with_any_of_these_options_is_traced_exactly(jdk: Jdk, jvm: str, targets: Path) -> None:
    require_bpf()
    with java(jdk, "-cp", targets, "PrimeCalls", probes=ORDERS, jvm=[jvm]) as target:
        target.wait_for_line("ready", 120)
        wait_for_probes(target.pid, ORDERS_PROBES)
        with attach(target.pid) as collector:
            hits = hits_of(run_calls(target))
            assert f" {hits:,} hits = {hits:,} delivered + 0 lost" in finish(collector)
        target.send("exit")
        assert target.wait(120) == 0
    # HotSpot warns about deprecated options.
    assert [line for line in target.err if "VM warning: " not in line] == []


@pytest.mark.parametrize("jdk", [jdk for jdk in JDKS if jdk.version < 24], ids=str)
def test_under_a_security_manager_that_grants_the_jar_everything_it_traces(
    jdk: Jdk, targets: Path, tmp_path: Path
) -> None:
    require_bpf()
    policy = tmp_path / "policy"
    policy.write_text(f'grant codeBase "file:{JAR}" {{ permission java.security.AllPermission; }};\n')
    jvm = ["-Djava.security.manager", f"-Djava.security.policy={policy}"]
    with java(jdk, "-cp", targets, "PrimeCalls", probes=ORDERS, jvm=jvm) as target:
        target.wait_for_line("ready")
        wait_for_probes(target.pid, ORDERS_PROBES)
        with attach(target.pid) as collector:
            hits = hits_of(run_calls(target))
            assert f" {hits:,} hits = {hits:,} delivered + 0 lost" in finish(collector)
