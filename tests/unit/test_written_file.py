"""Files that jcollect writes as root, at paths where another user may have planted files."""

from __future__ import annotations

import os
import termios
from pathlib import Path

import pytest

from jcollect.cli.written_file import open_to_write
from jcollect.console import Stdout, terminal_columns
from jcollect.errors import JcollectError

SOMEBODY = 64041


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Returns a directory of another user."""
    made = tmp_path / "theirs"
    made.mkdir()
    os.chown(made, SOMEBODY, SOMEBODY)
    return made


def write(path: Path) -> None:
    with open(open_to_write(str(path)), "wb") as file:
        file.write(b"new")


def test_a_link_of_another_user_is_not_followed(tmp_path: Path, folder: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("old")
    link = folder / "counts.json"
    link.symlink_to(victim)
    os.chown(link, SOMEBODY, SOMEBODY, follow_symlinks=False)
    with pytest.raises(PermissionError, match="link of user 64041"):
        write(link)
    through = folder / "elsewhere"
    through.symlink_to(tmp_path)
    os.chown(through, SOMEBODY, SOMEBODY, follow_symlinks=False)
    with pytest.raises(PermissionError, match="link of user 64041"):
        write(through / "victim")
    assert victim.read_text() == "old"


def test_files_and_own_links_are_written(tmp_path: Path, folder: Path) -> None:
    write(folder / "counts.json")
    assert (folder / "counts.json").read_text() == "new"
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "file")
    write(link)
    assert (tmp_path / "file").read_text() == "new"


def test_a_missing_directory_is_not_created(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write(tmp_path / "nowhere/counts.json")
    assert not (tmp_path / "nowhere").exists()


def test_an_error_names_the_file() -> None:
    out = Stdout(open_to_write("/dev/full"), "/dev/full")
    with pytest.raises(JcollectError, match=r"^cannot write to /dev/full: No space left on device$"):
        out.write(b"new")
    os.close(out.descriptor)
    with pytest.raises(JcollectError, match=r"^cannot write to /dev/full: it is closed$"):
        out.write(b"new")


def test_lines_in_a_file_have_no_width(tmp_path: Path) -> None:
    controller, terminal = os.openpty()
    termios.tcsetwinsize(terminal, (24, 61))
    assert terminal_columns(terminal) == 61
    assert terminal_columns(open_to_write(str(tmp_path / "events"))) is None
    os.close(terminal)
    os.close(controller)
