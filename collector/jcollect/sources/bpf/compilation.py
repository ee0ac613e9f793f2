"""The handlers, compiled: from the cache, or by a child that is gone before anything is attached to.

Nothing here imports more than it must: compiling takes a second, and is to begin before the rest of
jcollect is there.
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
from jcollect.sources.bpf.program import FORMAT, Program, decoded

_ARCHITECTURES = {"x86_64": "JPROBE_X86_64", "aarch64": "JPROBE_AARCH64"}


# A second, where there is a CPU for it.
_COMPILE_SECONDS = 120.0


class Compilation:
    """Under way from `start` on; `result` waits for it. To be closed, if nobody has waited.

    The child ends with the thread that has started it, at the latest.
    """

    def __init__(self, source: Path, cache: Cache) -> None:
        self._source = source
        self._key = ""
        self._cache = cache
        self._child: subprocess.Popen[bytes] | None = None
        self._result: Program | JcollectError | None = None

    @classmethod
    def start(cls, cache: Cache | None = None) -> Compilation:
        """Looks into the cache, and begins to compile where nothing is there. Raises nothing."""
        source = bpf_directory()
        compilation = cls(source, cache or Cache())
        try:
            compilation._key = key_of(source, flags())
            compilation._begin()
        except JcollectError as error:
            compilation._result = error
        return compilation

    def result(self) -> Program:
        """Raises JcollectError where there is no bcc, or it cannot compile."""
        if self._result is None:
            try:
                self._result = self._compiled()
            except JcollectError as error:
                self._result = error
        if isinstance(self._result, JcollectError):
            raise self._result
        return self._result

    def close(self) -> None:
        """Ends the child, if nobody has waited for it."""
        child, self._child = self._child, None
        if child is not None:
            child.kill()
            child.communicate()

    def _begin(self) -> None:
        content = self._cache.read(self._key)
        if content is not None:
            try:
                self._result = decoded(content)
                return
            except ValueError:
                pass  # Not of our making, or damaged: compiled anew, and replaced.
        module = "jcollect.sources.bpf.compiler"
        command = [sys.executable, "-P", "-m", module, os.getpid(), self._source, *flags()]
        try:
            self._child = subprocess.Popen(
                [str(part) for part in command],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                # Ctrl-C is for us; when we go, it goes.
                start_new_session=True,
            )
        except OSError as error:
            raise self._trouble(f"{sys.executable} does not start: {error.strerror}") from None

    def _compiled(self) -> Program:
        if self._child is None:
            raise self._trouble("it was given up")
        try:
            content, said = self._child.communicate(timeout=_COMPILE_SECONDS)
        except subprocess.TimeoutExpired:
            self.close()
            raise self._trouble(f"it was not done within {_COMPILE_SECONDS:.0f} s") from None
        code, self._child = self._child.returncode, None
        try:
            program = decoded(content)
        except ValueError:
            raise self._trouble(_complaint(said.decode(errors="replace"), code)) from None
        self._cache.write(self._key, content)
        return program

    def _trouble(self, reason: str) -> JcollectError:
        file = self._source / "events.c"
        return JcollectError(f"bcc cannot compile {file} on Linux {platform.release()}: {reason}")


def bpf_directory() -> Path:
    """Where events.c and its headers are: inside an installed package, or beside collector/ in a checkout."""
    package = Path(jcollect.__file__).parent
    installed = package / "_bpf"
    return installed if installed.is_dir() else package.parent.parent / "bpf"


def flags() -> list[str]:
    machine = platform.machine()
    if machine not in _ARCHITECTURES:
        raise JcollectError(f"jcollect traces on x86_64 and aarch64, and this machine is {machine}")
    return [f"-D{_ARCHITECTURES[machine]}", "-Wno-macro-redefined"]


def key_of(source: Path, flags: list[str]) -> str:
    """A digest of all that the compiler's result depends on."""
    digest = hashlib.sha256(f"{FORMAT} {flags} {_bcc_version()}".encode())
    try:
        for file in [source / "events.c", *sorted((source / "include").rglob("*.h"))]:
            content = file.read_bytes()
            digest.update(f"\0{file.relative_to(source)} {len(content)}\0".encode() + content)
    except OSError as error:
        raise JcollectError(
            f"cannot read {error.filename}, of which the handlers are made: {error.strerror}"
        ) from None
    return digest.hexdigest()[:32]


def _bcc_version() -> list[tuple[str, int, int]]:
    """What changes when another bcc is installed; without importing it, which would bring LLVM along."""
    found = importlib.util.find_spec("bcc")
    folders = list(found.submodule_search_locations or ()) if found else []
    if not folders:
        raise JcollectError(
            "bcc is missing: install python3-bpfcc, and run jcollect with the distribution's python3 "
            "(in a venv made with --system-site-packages)"
        )
    files = sorted(Path(folders[0]).glob("*.py"))
    return [(str(file), about.st_mtime_ns, about.st_size) for file in files for about in [file.stat()]]


def _complaint(said: str, code: int) -> str:
    """clang's first error, or the last that was said."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    errors = [line for line in lines if " error: " in line]
    return (errors or lines[-1:] or [f"the compiler ended with code {code}"])[0]
