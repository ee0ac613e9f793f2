"""The wire format may break clients of an earlier commit only if the commit's message says so."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CHECK = ".ci/proto-breaking"
AUTHOR = {
    f"GIT_{role}_{what}": value
    for role in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "A Tester"), ("EMAIL", "tester@example.com"))
}
ENVIRONMENT = {**os.environ, **AUTHOR, "GIT_CONFIG_GLOBAL": "/dev/null", "BUF": str(ROOT / ".venv/bin/buf")}


class Repository:
    """A Git repository with the project's proto/ and nothing else."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / ".ci").mkdir(parents=True)
        shutil.copy(ROOT / CHECK, folder / CHECK)
        shutil.copytree(ROOT / "proto", folder / "proto")
        self.git("init", "--quiet", "--initial-branch=main")
        self.commit("Describe the wire format")

    def git(self, *arguments: str) -> None:
        subprocess.run(["git", *arguments], cwd=self.folder, env=ENVIRONMENT, check=True)

    def commit(self, message: str) -> None:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", message)

    def remove_a_field(self) -> None:
        file = self.folder / "proto/jprobe/v1/collector.proto"
        text = file.read_text()
        field = re.search(r"^  (string|uint64|int64|uint32) \w+ = \d+;\n", text, re.MULTILINE)
        assert field
        file.write_text(text[: field.start()] + text[field.end() :])

    def check(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.folder / CHECK, *arguments], env=ENVIRONMENT, capture_output=True, text=True, check=False
        )


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "project")


def test_a_removed_field_fails_also_when_later_commits_leave_the_wire_format_alone(
    repository: Repository,
) -> None:
    repository.remove_a_field()
    repository.commit("Remove a field")
    repository.commit("Change something else")
    checked = repository.check()
    assert checked.returncode == 1, checked
    assert "collector.proto" in checked.stdout
    assert "add a trailer 'Breaking-Proto: REASON'" in checked.stderr


def test_a_removed_field_passes_with_a_trailer_that_gives_the_reason(repository: Repository) -> None:
    repository.remove_a_field()
    repository.commit("Remove a field\n\nBreaking-Proto: nobody has it")
    checked = repository.check()
    assert checked.returncode == 0, checked
    assert "on purpose: nobody has it" in checked.stdout


def test_a_new_comment_is_compatible(repository: Repository) -> None:
    with (repository.folder / "proto/jprobe/v1/collector.proto").open("a") as file:
        file.write("// The end.\n")
    repository.commit("Comment")
    checked = repository.check()
    assert checked.returncode == 0, checked
    assert "compatible with" in checked.stdout


def test_a_clone_compares_with_the_tip_that_was_pushed(repository: Repository, tmp_path: Path) -> None:
    subprocess.run(
        ["git", "clone", "--quiet", repository.folder, tmp_path / "clone"], env=ENVIRONMENT, check=True
    )
    clone = Repository.__new__(Repository)
    clone.folder = tmp_path / "clone"
    clone.remove_a_field()
    clone.commit("Remove a field")
    with (clone.folder / "proto/jprobe/v1/collector.proto").open("a") as file:
        file.write("// The end.\n")
    clone.commit("Comment")
    assert clone.check().returncode == 1
    assert clone.check("HEAD~1").returncode == 0


def test_a_shallow_clone_says_that_it_has_nothing_to_compare_with(
    repository: Repository, tmp_path: Path
) -> None:
    repository.commit("Change something else")
    command = ["git", "clone", "--quiet", "--depth=1", f"file://{repository.folder}", tmp_path / "clone"]
    subprocess.run(command, env=ENVIRONMENT, check=True)
    checked = subprocess.run(
        [tmp_path / "clone" / CHECK], env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked
    assert "this clone is shallow" in checked.stderr
