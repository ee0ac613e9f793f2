"""Compiles the BPF programs: takes them from the cache, or has a child process compile them before anything
is attached to.

Imports as little as possible: compiling takes a second, and begins before the rest of jcollect is imported.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import platform
import subprocess
import sys
from pathlib import Path

import jcollect
from jcollect.errors import JcollectError
from jcollect.sources.bpf.cache import Cache
from jcollect.sources.bpf.program import EVENTS, FORMAT, Program, Source, decoded

_ARCHITECTURES = {"x86_64": "JPROBE_X86_64", "aarch64": "JPROBE_AARCH64"}
# Name of the source folder in an installed package.
_INSTALLED = "_bpf"
# It takes one second if a CPU is free.
_COMPILE_SECONDS = 120.0


class Compilation:
    """A compilation that runs from `start` on. `result` waits for it; without that, `close` must be called.

    The child ends at the latest with the thread that started it.
    """

    def __init__(self, folder: Path, cache: Cache, source: Source = EVENTS) -> None:
        self._folder = folder
        self._source = source
        self._key = ""
        self._cache = cache
        self._child: subprocess.Popen[bytes] | None = None
        self._result: Program | JcollectError | None = None

    @classmethod
    def start(cls, cache: Cache | None = None, source: Source = EVENTS) -> Compilation:
        """Reads the cache, and begins to compile if it has nothing. Raises nothing."""
        compilation = cls(bpf_directory(), cache or Cache(), source)
        try:
            compilation._begin()
        except JcollectError as error:
            compilation._result = error
        return compilation

    @classmethod
    def without_rights(cls) -> Compilation:
        """Returns one that was not started, for a process that may not load BPF programs."""
        compilation = cls(bpf_directory(), Cache())
        compilation._result = JcollectError("BPF programs need CAP_BPF and CAP_PERFMON; run with sudo")
        return compilation

    def result(self) -> Program:
        """Returns the programs. Raises JcollectError if bcc is missing or cannot compile them."""
        if self._result is None:
            try:
                self._result = self._compiled()
            except JcollectError as error:
                self._result = error
        if isinstance(self._result, JcollectError):
            raise self._result
        return self._result

    def close(self) -> None:
        """Ends the child if it is still running."""
        child, self._child = self._child, None
        if child is not None:
            child.kill()
            child.communicate()

    def _begin(self) -> None:
        self._key = key_of(self._folder, flags(), self._source)
        has_bcc = not self._key.endswith("-")
        if not has_bcc:
            # The result of any bcc for the same sources will do.
            self._key = self._cache.newest(self._key)
        content = self._cache.read(self._key)
        if content is not None:
            try:
                self._result = decoded(content, self._source)
                return
            except ValueError:
                pass  # Damaged or of another format: compile again, and replace it.
        if not has_bcc:
            raise JcollectError(
                "bcc is missing: install python3-bpfcc, and run jcollect with the distribution's python3 "
                "(in a venv made with --system-site-packages)"
            )
        module = "jcollect.sources.bpf.compiler"
        command = [sys.executable, "-P", "-m", module, os.getpid(), self._folder, self._source.file, *flags()]
        try:
            self._child = subprocess.Popen(
                [str(part) for part in command],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                # Ctrl-C is for jcollect, which ends the child.
                start_new_session=True,
            )
        except OSError as error:
            raise self._trouble(f"{sys.executable} does not start: {error.strerror}") from None

    def _compiled(self) -> Program:
        if self._child is None:
            raise self._trouble("the compiler was stopped")
        try:
            content, output = self._child.communicate(timeout=_COMPILE_SECONDS)
        except subprocess.TimeoutExpired:
            self.close()
            raise self._trouble(f"the compiler took more than {_COMPILE_SECONDS:.0f} s") from None
        code, self._child = self._child.returncode, None
        try:
            program = decoded(content, self._source)
        except ValueError:
            raise self._trouble(_complaint(output.decode(errors="replace"), code)) from None
        self._cache.write(self._key, content)
        return program

    def _trouble(self, reason: str) -> JcollectError:
        file = self._folder / self._source.file
        return JcollectError(f"bcc cannot compile {file} on Linux {platform.release()}: {reason}")


def bpf_directory() -> Path:
    """Returns the folder of the programs and their headers: in an installed package, or beside collector/
    in a checkout."""
    package = Path(jcollect.__file__).parent
    installed = package / _INSTALLED
    return installed if installed.is_dir() else package.parent.parent / "bpf"


def flags() -> list[str]:
    machine = platform.machine()
    if machine not in _ARCHITECTURES:
        raise JcollectError(f"cannot trace: jcollect needs x86_64 or aarch64, and this machine is {machine}")
    return [f"-D{_ARCHITECTURES[machine]}", "-Wno-macro-redefined"]


def key_of(folder: Path, flags: list[str], source: Source = EVENTS) -> str:
    """Returns a key for everything that the compiler's result depends on: SOURCES-BCC, two digests.
    The second one is empty if bcc is missing."""
    layout = folder / "include/jprobe/layout.h"
    if not layout.is_file():
        remedy = "reinstall jcollect" if folder.name == _INSTALLED else "run make build"
        raise JcollectError(f"cannot compile the BPF programs: {layout} does not exist; {remedy}")
    digest = hashlib.sha256(f"{FORMAT} {flags}".encode())
    try:
        for file in [folder / source.file, *sorted((folder / "include").rglob("*.h"))]:
            content = file.read_bytes()
            digest.update(f"\0{file.relative_to(folder)} {len(content)}\0".encode() + content)
    except OSError as error:
        raise JcollectError(
            f"cannot compile the BPF programs: cannot read {error.filename}: {error.strerror}; "
            "reinstall jcollect"
        ) from None
    return f"{digest.hexdigest()[:32]}-{_bcc_version()}"


def _bcc_version() -> str:
    """Returns a digest that changes when another bcc is installed; empty if there is none. Does not
    import bcc, which would load LLVM."""
    found = importlib.util.find_spec("bcc")
    folders = list(found.submodule_search_locations or ()) if found else []
    if not folders:
        return ""
    files = sorted(Path(folders[0]).glob("*.py"))
    version = [(str(file), about.st_mtime_ns, about.st_size) for file in files for about in [file.stat()]]
    return hashlib.sha256(str(version).encode()).hexdigest()[:16]


def _complaint(output: str, code: int) -> str:
    """Returns clang's first error, otherwise the last line of the output."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if " error: " in line]
    return (errors or lines[-1:] or [f"the compiler ended with code {code}"])[0]
