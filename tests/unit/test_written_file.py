"""Files that jcollect writes as root, at paths where another user may have planted files."""

from __future__ import annotations

import os
import stat
import termios
from pathlib import Path

import pytest

from jcollect.cli.written_file import open_to_write
from jcollect.console import Stdout, terminal_columns
from jcollect.errors import JcollectError, explain

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


@pytest.mark.parametrize("kind", ["file", "pipe"])
def test_what_another_user_has_planted_in_a_shared_directory_is_not_written(
    tmp_path: Path, kind: str
) -> None:
    tmp_path.chmod(0o1777)
    planted = tmp_path / "events"
    if kind == "pipe":
        os.mkfifo(planted)
    else:
        planted.write_text("old")
    os.chown(planted, SOMEBODY, SOMEBODY)
    # Without a reader, opening the pipe would wait for one.
    reader = os.open(planted, os.O_RDONLY | os.O_NONBLOCK)
    with pytest.raises(PermissionError) as refused:
        write(planted)
    assert explain(refused.value, f"write events to {planted}").message == (
        f"cannot write events to {planted}: it is a {kind} of user 64041"
    )
    assert os.read(reader, 10) == (b"old" if kind == "file" else b"")
    os.close(reader)


def test_files_of_the_owner_of_a_shared_directory_are_written(folder: Path) -> None:
    folder.chmod(0o777)
    theirs = folder / "counts.json"
    theirs.write_text("old and longer")
    os.chown(theirs, SOMEBODY, SOMEBODY)
    write(theirs)
    assert theirs.read_text() == "new"


def test_a_pipe_without_a_reader_is_an_error(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    for name in ("pipe", "link"):
        with pytest.raises(OSError, match="no process reads this pipe; start its reader first: "):
            write(tmp_path / name)


def test_a_pipe_with_a_reader_is_written(tmp_path: Path) -> None:
    pipe = tmp_path / "events"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    write(pipe)
    assert os.read(reader, 10) == b"new"
    os.close(reader)


def test_a_file_is_the_one_that_was_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process replaces the file between its check and its opening."""
    victim, name = tmp_path / "victim", tmp_path / "events"
    victim.write_text("old")
    name.write_text("mine")
    fstat = os.fstat

    def replace(descriptor: int) -> os.stat_result:
        about = fstat(descriptor)
        if stat.S_ISREG(about.st_mode):
            name.unlink(missing_ok=True)
            name.symlink_to(victim)
        return about

    monkeypatch.setattr(os, "fstat", replace)
    write(name)
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
