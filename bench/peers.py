"""Other tracers beside which a bench measures jprobe: BTrace, Byteman, and LTTng-ust in a C program.

Maven Central has the first two; Debian's packages of LTTng are installed if they are missing.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import statistics
from collections.abc import Iterator
from pathlib import Path

from conditions import wait_until
from java_target import COMPILER, ROOT, Process, run
from programs import BUILD, Measurements

JARS = ROOT / "java-agent/build/targets"
TARGETS = ROOT / "bench/targets"
PEERS = BUILD / "peers"
LTTNG_PACKAGES = ("lttng-tools", "liblttng-ust-dev")
SESSION = "jprobe-bench"
# Ring buffers of LTTng for each CPU, as large together as jprobe's.
SUBBUFFERS, SUBBUFFER_SIZE = 8, "1M"


def prepare() -> None:
    """Fetches and compiles everything. Raises AssertionError with the output of a step that fails."""
    shutil.rmtree(PEERS, ignore_errors=True)
    PEERS.mkdir(parents=True)
    # Debian's Gradle runs on no later JDK.
    jdk = {"JAVA_HOME": str(COMPILER.home)}
    _do("gradle", "--no-daemon", "-q", "benchTargets", cwd=ROOT / "java-agent", env={**os.environ, **jdk})
    classpath = ":".join(str(JARS / f"btrace-{part}.jar") for part in ("client", "boot", "agent"))
    opened = "--add-opens=java.base/java.lang=ALL-UNNAMED"
    compiler = "org.openjdk.btrace.compiler.Compiler"
    _do(COMPILER.java, opened, "-cp", classpath, compiler, "-d", PEERS, TARGETS / "btrace/Timing.java")
    missing = [name for name in LTTNG_PACKAGES if run("dpkg-query", "-W", name).returncode]
    if missing:
        _do("apt-get", "update", "-qq")
        install = ("apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing)
        _do(*install, env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"})
    sources = TARGETS / "lttng"
    flags = ("-O2", "-Wall", "-Wextra", "-Werror", f"-I{sources}")
    _do("gcc", *flags, "-o", PEERS / "returns", sources / "returns.c", "-llttng-ust", "-ldl")


def _do(*command: str | Path, **options: object) -> str:
    done = run(*command, timeout=300, **options)
    assert done.returncode == 0, (command, done.stdout, done.stderr)
    return str(done.stdout)


def btrace() -> list[str]:
    """Returns the JVM's options to run the script Timing.java from the start."""
    agent, boot = JARS / "btrace-agent.jar", JARS / "btrace-boot.jar"
    return [
        "--add-opens=java.base/java.lang=ALL-UNNAMED",
        "--add-opens=java.base/jdk.internal.reflect=ALL-UNNAMED",
        f"-javaagent:{agent}=noserver=true,stdout=true,bootClassPath={boot},script={PEERS / 'Timing.class'}",
    ]


def byteman() -> list[str]:
    """Returns the JVM's options to run the rule of counting.btm."""
    return [f"-javaagent:{JARS / 'byteman.jar'}=script:{TARGETS / 'counting.btm'}"]


def c_call_ns(what: str) -> float:
    """Returns the median time of a call in returns.c in ns of CPU time; see Lanes.java."""
    with Process([PEERS / "returns", what]) as target:
        measurements = Measurements(target)
        measurements.next(3)
        return statistics.median(measurements.next(10))


def lttng_call_ns() -> float:
    """Returns the time of a call in ns while LTTng-ust records each into a local directory."""
    with lttng_session() as folder:
        taken = c_call_ns("traced")
    assert any(file.stat().st_size for file in folder.rglob("*_*")), f"no events in {folder}"
    return taken


@contextlib.contextmanager
def lttng_session() -> Iterator[Path]:
    """Records the events of returns.c until the end of the block, and then checks that few were discarded."""
    folder = PEERS / "lttng"
    shutil.rmtree(folder, ignore_errors=True)
    with _session_daemon():
        _lttng("create", SESSION, f"--output={folder}")
        try:
            sizes = (f"--subbuf-size={SUBBUFFER_SIZE}", f"--num-subbuf={SUBBUFFERS}")
            _lttng("enable-channel", "--userspace", "--discard", *sizes, "all")
            _lttng("enable-event", "--userspace", "--channel=all", "jprobe_bench:*")
            _lttng("start")
            yield folder
            _lttng("stop")
            discarded = re.search(r"Discarded events: (\d+)", _lttng("list", SESSION))
            assert discarded is None or int(discarded[1]) == 0, discarded[0]
        finally:
            _lttng("destroy", SESSION)


@contextlib.contextmanager
def _session_daemon() -> Iterator[None]:
    """Runs LTTng's daemon, without tracing the kernel, unless one runs already."""
    if _is_running():
        yield
        return
    with Process(["lttng-sessiond", "--no-kernel"]) as daemon:
        wait_until(_is_running, "LTTng's daemon")
        yield
        daemon.signal(15)
        daemon.wait()


def _is_running() -> bool:
    return bool(run("lttng", "--no-sessiond", "list").returncode == 0)


def _lttng(*command: str) -> str:
    return _do("lttng", "--no-sessiond", *command)
