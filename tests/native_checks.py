"""Runs JVMs that check the native code: with -Xcheck:jni, or with the library under ASan and UBSan."""

from __future__ import annotations

import os
import re
import subprocess
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from java_target import BINDING, COMPILER, JAR, NATIVE_ACCESS_WARNINGS_SINCE, ROOT, Jdk, Process
from layout_headers import INCLUDE_LAYOUTS

SOURCES = ROOT / "java-agent/src/main/c"
# Sources that write, map and remove stub libraries; NATIVE_PARTS adds the agent's sources.
STUB_PARTS = tuple(sorted((SOURCES / "stub").glob("*.c")))
NATIVE_PARTS = (*STUB_PARTS, SOURCES / "agent/utf8.c")

# The JVM handles SIGSEGV itself and frees nothing at exit.
_ASAN_OPTIONS = "handle_segv=0:allow_user_segv_handler=1:detect_leaks=0:detect_odr_violation=0"
_COMPLAINT = re.compile(r"WARNING in native method|FATAL ERROR in native method|runtime error:|.*Sanitizer")
# -Xcheck:jni counts local references; these methods belong to the JVM and the JDK.
_NOT_OURS = re.compile(r"WARNING: JNI local refs: \d+, exceeds capacity: \d+")


@dataclass(frozen=True)
class Checked:
    """Starts JVMs with the jars of one kind of check."""

    agent: Path = JAR
    binding: Path = BINDING
    options: Sequence[str] = ()
    environment: dict[str, str] = field(default_factory=dict)

    def java(self, jdk: Jdk, *arguments: str | Path, agent: str | None = None) -> Process:
        """Starts a JVM, with the agent if options are given."""
        quiet = ["--enable-native-access=ALL-UNNAMED"] if jdk.version >= NATIVE_ACCESS_WARNINGS_SINCE else []
        loaded = [f"-javaagent:{self.agent}={agent}"] if agent is not None else []
        return Process(
            [jdk.java, *quiet, *loaded, *self.options, *arguments], env={**os.environ, **self.environment}
        )


def jni_checked() -> Checked:
    return Checked(options=["-Xcheck:jni"])


def sanitized(folder: Path) -> Checked:
    """Rebuilds the native library with sanitizers, in copies of the jars in that folder."""
    library = folder / "libjprobe.so"
    home = COMPILER.home
    subprocess.run(
        [
            *("gcc", "-std=gnu11", "-g", "-O1", "-fno-omit-frame-pointer", "-fPIC", "-shared", "-pthread"),
            *("-fsanitize=address,undefined", "-fvisibility=hidden", "-o", library),
            *(f"-I{home}/include", f"-I{home}/include/linux", INCLUDE_LAYOUTS),
            *sorted(
                source
                for folder in ("stub", "agent", "direct", "jni")
                for source in (SOURCES / folder).glob("*.c")
            ),
            "-ldl",
        ],
        check=True,
    )
    runtimes = [_runtime(name) for name in ("libasan.so", "libubsan.so")]
    return Checked(
        agent=_with_library(JAR, "inst/native", library, folder),
        binding=_with_library(BINDING, "native", library, folder),
        environment={"LD_PRELOAD": " ".join(runtimes), "ASAN_OPTIONS": _ASAN_OPTIONS},
    )


def _runtime(name: str) -> str:
    found = subprocess.run(["gcc", f"-print-file-name={name}"], capture_output=True, text=True, check=True)
    return found.stdout.strip()


def _with_library(jar: Path, prefix: str, library: Path, folder: Path) -> Path:
    """Copies the jar with this machine's native library replaced."""
    replaced = f"{prefix}/linux-{os.uname().machine}/libjprobe.so"
    copy = folder / jar.name
    with zipfile.ZipFile(jar) as old, zipfile.ZipFile(copy, "w") as new:
        assert replaced in old.namelist()
        for entry in old.infolist():
            new.writestr(entry, library.read_bytes() if entry.filename == replaced else old.read(entry))
    return copy


def complaints(target: Process) -> list[str]:
    """Returns the complaints of the checks once the target has exited, each with the lines after it."""
    lines = [line for line in target.out + target.err if not _NOT_OURS.match(line)]
    return ["\n".join(lines[i : i + 12]) for i, line in enumerate(lines) if _COMPLAINT.match(line)]
