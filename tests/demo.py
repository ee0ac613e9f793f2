"""Traces a real program, an H2 database, for ten seconds and shows its calls method by method.

An unmodified H2 server from Maven Central runs with the agent and serves SQL over TCP to a small JDBC load.
`jcollect attach` traces its command and storage engines, and `jcollect top`, a gRPC client, shows the result.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from conditions import wait_until
from java_target import (
    H2_JAR,
    JAR,
    JCOLLECT,
    JDKS,
    NATIVE_ACCESS_WARNINGS_SINCE,
    ROOT,
    Process,
    compile_targets,
    probes_of,
)

SECONDS = 10
STATEMENTS_PER_SECOND = 200
SELECTORS = "org.h2.command.*#*;org.h2.mvstore.**#*"


def say(text: str) -> None:
    print(f"demo: {text}", file=sys.stderr, flush=True)


def show(command: list[str]) -> None:
    say("$ " + " ".join(f"'{part}'" if re.search(r"[;*#]", part) else part for part in command))


def main() -> None:
    jdk = JDKS[-1]
    quiet = ["--enable-native-access=ALL-UNNAMED"] if jdk.version >= NATIVE_ACCESS_WARNINGS_SINCE else []
    server_command = [
        "java", *quiet, f"-javaagent:{JAR.relative_to(ROOT)}=probes={SELECTORS}",
        "-cp", str(H2_JAR.relative_to(ROOT)), "org.h2.tools.Server", "-tcp", "-tcpPort", "0", "-ifNotExists",
    ]  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="jprobe-demo-") as scratch:
        classes = compile_targets(Path(scratch) / "classes")
        show(server_command)
        with Process([jdk.java, *server_command[1:]], cwd=ROOT) as server:
            port = re.search(r":(\d+) ", server.wait_for_line("TCP server running"))
            assert port
            url = f"jdbc:h2:tcp://localhost:{port[1]}/mem:demo"
            load = [jdk.java, "-cp", f"{classes}:{H2_JAR}", "H2Load", url, str(STATEMENTS_PER_SECOND), "120"]
            with Process(load) as loading:
                loading.wait_for_line("loading")
                say(f"an H2 server, PID {server.pid}, serves {STATEMENTS_PER_SECOND} statements per second")
                wait_until_classes_are_loaded(server.pid)
                trace(server.pid)
            say("the server runs as before it was traced; the demo stops it")
            server.signal(signal.SIGTERM)
            server.wait()


def wait_until_classes_are_loaded(pid: int) -> None:
    """Waits until the number of probes is constant: H2 loads classes when the load needs them."""
    counts = [0]

    def steady() -> bool:
        counts.append(len(probes_of(pid)))
        return counts[-1] > 0 and len(counts) > 4 and len(set(counts[-4:])) == 1

    wait_until(steady, "the database to load its classes")


def trace(pid: int) -> None:
    attach = [str(JCOLLECT), "attach", str(pid), "--probe", "*__return", "--probe", "*__throw"]
    top = [str(JCOLLECT), "top", str(pid), "--duration", str(SECONDS), "--interval", "2", "--rows", "12"]
    show(["jcollect", *attach[1:]])
    with Process(attach) as collector:
        say(collector.wait_for_line("armed "))
        show(["jcollect", *top[1:]])
        done = subprocess.run(top, check=False, env={**os.environ, "COLUMNS": "120"})
        assert done.returncode == 0, f"jcollect top failed with exit code {done.returncode}"
        collector.signal(signal.SIGINT)
        assert collector.wait() == 0, collector.err
        say(collector.err[-1])


if __name__ == "__main__":
    main()
