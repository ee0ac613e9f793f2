"""Lints and tests the files below a path, or those that have changed: `make check [IN=PATH]`.

Changed files are those that differ from the merge base with main, committed or not, and untracked ones; on
main itself, those of the last commit if nothing else has changed. Each kind of file has its tests:

    collector/jcollect/**.py     the unit tests that import the module; if none does, those of its package
    java-agent/**.java           the JUnit tests of its package
    **.c, **.h                   the tests that name the file or its folder's product
    bpf/**                       the tests that compile the BPF programs
    docs/**, *.md                the tests of the documentation
    tests/**/test_*.py           the test itself

A file without tests of its own is named at the end: `make test` covers it.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ALWAYS = {"tests/unit/test_structure.py"}
JUNIT = "java-agent/src/test/java"
# Maximum number of files to list in a message.
SHOWN = 5
# Tests of files that no test names.
BY_FOLDER = {
    "bpf": {"tests/unit/test_compiling.py"},
    "collector/jcollect/sources/records/c": {"tests/unit/test_drain.py", "tests/unit/test_direct_pools.py"},
    "docs/recipes.md": {"tests/unit/test_recipes_page.py"},
    "docs": {"tests/unit/test_docs_links.py", "tests/unit/test_docs_messages.py"},
    "java-agent/src/main/c/libstapsdt": {"tests/integration/test_libstapsdt.py"},
    "java-agent/src/main/c": {"tests/integration/test_native_checks.py"},
    "layout": {"tests/unit/test_layout.py", "tests/unit/test_drain.py"},
    "tests/recipes": {"tests/unit/test_recipes_page.py"},
    "proto": {"tests/unit/test_proto_breaking.py"},
}


def changed_files() -> list[str]:
    """Returns the paths of the existing files that have changed, relative to the root."""
    base = git("merge-base", "HEAD", "main")[0]
    changed = git("diff", "--name-only", base) + git("ls-files", "--others", "--exclude-standard")
    return existing(changed or git("diff", "--name-only", "HEAD~1"))


def existing(files: Iterable[str]) -> list[str]:
    return sorted({file for file in files if (ROOT / file).is_file()})


def git(*arguments: str) -> list[str]:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def imports(file: Path) -> set[str]:
    """Returns the names of the modules that a Python file imports."""
    text = file.read_text()
    whole = set(re.findall(r"^\s*(?:from|import) ([\w.]+)", text, re.MULTILINE))
    parts = re.findall(r"^\s*from ([\w.]+) import \(?([\w\s,]+)", text, re.MULTILINE)
    return whole | {f"{package}.{name}" for package, names in parts for name in re.findall(r"\w+", names)}


def tests_importing(module: str) -> set[str]:
    """Returns the unit tests that import the module; if none does, those that import a helper that does."""
    tests = {str(test.relative_to(ROOT)): imports(test) for test in (ROOT / "tests/unit").glob("test_*.py")}
    direct = {test for test, modules in tests.items() if module in modules}
    helpers = {file.stem for file in (ROOT / "tests").glob("*.py") if module in imports(file)}
    return direct or {test for test, modules in tests.items() if modules & helpers}


def tests_of_package(package: str) -> set[str]:
    """Returns the unit tests that import any module of the package; none for the top package."""
    return {
        str(test.relative_to(ROOT))
        for test in (ROOT / "tests/unit").glob("test_*.py")
        if package != "jcollect" and any(name.startswith(package) for name in imports(test))
    }


def tests_naming(file: str) -> set[str]:
    """Returns the unit tests that contain the file's name without its suffix."""
    name = re.compile(rf"\b{re.escape(Path(file).stem)}\b")
    tests = (ROOT / "tests/unit").glob("test_*.py")
    return {str(test.relative_to(ROOT)) for test in tests if name.search(test.read_text())}


def covering_tests(file: str) -> set[str]:
    """Returns the test files to run for one file other than a Java source."""
    path = Path(file)
    if path.name.startswith("test_") and path.suffix == ".py":
        return {file}
    if file.startswith("collector/") and path.suffix == ".py":
        module = (
            file.removeprefix("collector/").removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        )
        return tests_importing(module) or tests_of_package(module.rpartition(".")[0])
    if len(path.parts) == 2 and path.parts[0] == "tests" and path.suffix == ".py":
        return tests_importing(path.stem)
    folder = next((name for name in BY_FOLDER if f"{file}/".startswith(f"{name}/")), None)
    if folder:
        return BY_FOLDER[folder]
    if path.suffix == ".md":
        return BY_FOLDER["docs"]
    return tests_naming(file) if path.suffix in (".c", ".h") else set()


def junit_packages(files: Iterable[str]) -> set[str]:
    """Returns the packages with JUnit tests among those of the Java files."""
    found = (re.search(r"src/\w+/java/(.*)/\w+\.java$", file) for file in files)
    return {
        match[1].replace("/", ".")
        for match in found
        if match and any((ROOT / JUNIT / match[1]).glob("*.java"))
    }


def lint_commands(files: list[str]) -> list[list[str]]:
    python = [file for file in files if file.endswith(".py")]
    c = [file for file in files if file.endswith((".c", ".h")) and not file.startswith("bpf/include/")]
    commands = []
    if python:
        commands += [[".venv/bin/ruff", "check", "--quiet", *python]]
        commands += [[".venv/bin/ruff", "format", "--quiet", "--check", *python], [".venv/bin/mypy"]]
    if c:
        commands += [[".venv/bin/clang-format", "--dry-run", "-Werror", *c]]
    if any(file.startswith("proto/") for file in files):
        commands += [[".venv/bin/buf", "lint", "proto"]]
    return commands


def gradle_command(files: list[str]) -> list[str]:
    """Returns the options for one run of Gradle, or nothing if no Java file is among the files."""
    java = [file for file in files if file.endswith(".java")]
    if not java:
        return []
    packages = sorted(junit_packages(java))
    return ["checkFormat", *(["test"] if packages else []), *(f"--tests={package}.*" for package in packages)]


def run(command: list[str] | str, folder: Path = ROOT) -> bool:
    text = command if isinstance(command, str) else " ".join(command)
    print(f"$ {text if len(text) < 200 else text[:200] + '…'}", flush=True)
    return subprocess.run(command, cwd=folder, shell=isinstance(command, str), check=False).returncode == 0


def main() -> int:
    begun = time.monotonic()
    files = existing(git("ls-files", "--", sys.argv[1])) if sys.argv[1:] else changed_files()
    if not files:
        print(f"nothing to check below {sys.argv[1]}" if sys.argv[1:] else "nothing has changed")
        return 1 if sys.argv[1:] else 0
    tests = {file: covering_tests(file) for file in files}
    chosen = sorted(set().union(ALWAYS, *tests.values()))
    passed = [run(command) for command in lint_commands(files)]
    if any("/integration/" in test for test in chosen):
        passed.append(run("make build"))
    if gradle := gradle_command(files):
        passed.append(run(f"{os.environ['GRADLE']} {' '.join(gradle)}", ROOT / "java-agent"))
    passed.append(run(f"{os.environ['PYTEST']} -q {' '.join(chosen)}"))
    untested = [file for file in files if not tests[file] and not file.endswith(".java")]
    if untested:
        more = f" and {len(untested) - SHOWN} more" if len(untested) > SHOWN else ""
        print(f"without tests of their own, see make test: {', '.join(untested[:SHOWN])}{more}")
    print(f"check: {'passed' if all(passed) else 'FAILED'} in {time.monotonic() - begun:.0f} s")
    return 0 if all(passed) else 1


if __name__ == "__main__":
    sys.exit(main())
