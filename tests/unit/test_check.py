"""make check finds the tests of a changed file."""

from __future__ import annotations

import pytest

from check import covering_tests, gradle_command


@pytest.mark.parametrize(
    ("file", "test"),
    [
        ("collector/jcollect/hub/accounts.py", "tests/unit/test_drain.py"),
        ("collector/jcollect/sources/records/c/ring.c", "tests/unit/test_drain.py"),
        ("layout/gate.toml", "tests/unit/test_layout.py"),
        ("layout/to_c.py", "tests/unit/test_layout.py"),
        ("collector/jcollect/commands/attach.py", "tests/unit/test_docs_reference.py"),
        ("tests/hostile.py", "tests/unit/test_fuzz_discovery.py"),
        ("tests/integration/test_marks.py", "tests/integration/test_marks.py"),
        ("java-agent/src/main/c/stub/provider.c", "tests/integration/test_native_checks.py"),
        ("java-agent/src/main/c/libstapsdt/libstapsdt.c", "tests/integration/test_libstapsdt.py"),
        ("bpf/events.c", "tests/unit/test_compiling.py"),
        ("docs/attach.md", "tests/unit/test_docs_links.py"),
        ("docs/recipes.md", "tests/unit/test_recipes_page.py"),
        ("tests/recipes/kafka/recipes.py", "tests/unit/test_recipes_page.py"),
        ("README.md", "tests/unit/test_docs_links.py"),
        ("proto/jprobe/v1/probe.proto", "tests/unit/test_proto_breaking.py"),
    ],
)
def test_a_changed_file_has_its_tests(file: str, test: str) -> None:
    assert test in covering_tests(file)


def test_a_changed_java_file_runs_the_tests_of_its_package() -> None:
    files = ["java-agent/src/main/java/io/jprobe/select/Selector.java", "README.md"]
    assert gradle_command(files) == ["checkFormat", "test", "--tests=io.jprobe.select.*"]


def test_a_change_without_java_needs_no_gradle() -> None:
    assert gradle_command(["README.md"]) == []
