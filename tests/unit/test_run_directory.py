"""The directory of a user's own collectors is used only if no other user can put anything there."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from conditions import as_root
from jcollect.errors import JcollectError
from jcollect.rpc import run_directory
from jcollect.rpc.run_directory import (
    directory_to_serve_in,
    open_to_serve,
    own_directory,
    run_directories,
)

SOMEBODY = 64043


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Yields the user's runtime directory, who may not write to the default one."""
    with tempfile.TemporaryDirectory(prefix="jprobe-test-", dir="/var/tmp") as made:
        monkeypatch.setenv("XDG_RUNTIME_DIR", made)
        monkeypatch.setattr(run_directory, "may_write_default", lambda: False)
        yield Path(made)


def why_not() -> str:
    """Returns why there is no directory to serve in."""
    assert own_directory() is None
    assert run_directories() == [run_directory.RUN_DIRECTORY]
    with pytest.raises(
        JcollectError, match=r"Permission denied, and .*; other commands find this collector"
    ) as raised:
        directory_to_serve_in()
    return raised.value.message


def test_the_users_directory_is_created_for_its_owner(runtime: Path) -> None:
    assert directory_to_serve_in() == f"{runtime}/jprobe"
    assert run_directories() == [run_directory.RUN_DIRECTORY, f"{runtime}/jprobe"]
    for _ in range(2):
        os.close(open_to_serve(f"{runtime}/jprobe"))
    assert (runtime / "jprobe").stat().st_mode & 0o7777 == 0o700


def test_the_default_directory_comes_first(runtime: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_directory, "may_write_default", lambda: True)
    assert directory_to_serve_in() == run_directory.RUN_DIRECTORY


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("", "XDG_RUNTIME_DIR is not set"),
        ("run/user", "XDG_RUNTIME_DIR is no absolute path"),
        ("/nonexistent/run", "XDG_RUNTIME_DIR cannot be used: No such file or directory"),
        ("/etc/passwd", "XDG_RUNTIME_DIR cannot be used: Not a directory"),
    ],
)
def test_a_variable_that_names_no_directory_is_of_no_use(
    runtime: Path, monkeypatch: pytest.MonkeyPatch, value: str, why: str
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", value)
    assert why in why_not()


def test_a_path_that_is_too_long_for_a_socket_is_of_no_use(
    runtime: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = runtime / ("x" * 80)
    long.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(long))
    assert "is too long for the path of a socket" in why_not()


@pytest.mark.parametrize("part", ["", "jprobe"])
def test_a_directory_that_others_can_write_to_is_not_trusted(runtime: Path, part: str) -> None:
    folder = runtime / part
    folder.mkdir(exist_ok=True)
    for mode in (0o720, 0o702, 0o1777):
        folder.chmod(mode)
        assert f"other users can write to {folder}" in why_not()


@as_root
@pytest.mark.parametrize("part", ["", "jprobe"])
def test_a_directory_of_another_user_is_not_trusted(runtime: Path, part: str) -> None:
    folder = runtime / part
    folder.mkdir(exist_ok=True)
    os.chown(folder, SOMEBODY, SOMEBODY)
    assert f"{folder} belongs to user {SOMEBODY}" in why_not()


@as_root
def test_another_user_must_not_own_what_contains_it(runtime: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (runtime / "mine").mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", f"{runtime}/mine")
    assert own_directory() == f"{runtime}/mine/jprobe"
    os.chown(runtime, SOMEBODY, SOMEBODY)
    assert f"{runtime} belongs to user {SOMEBODY}" in why_not()


@as_root
def test_links_of_other_users_are_not_followed(runtime: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (runtime / "mine").mkdir()
    (runtime / "link").symlink_to("mine")
    monkeypatch.setenv("XDG_RUNTIME_DIR", f"{runtime}/link")
    assert own_directory() == f"{runtime}/mine/jprobe"
    os.chown(runtime / "link", SOMEBODY, SOMEBODY, follow_symlinks=False)
    assert "XDG_RUNTIME_DIR cannot be used" in why_not()


def test_the_directory_itself_is_no_link(runtime: Path) -> None:
    (runtime / "elsewhere").mkdir()
    (runtime / "jprobe").symlink_to("elsewhere")
    assert f"{runtime}/jprobe is no directory" in why_not()
