"""Detects sockets on which no process listens."""

from __future__ import annotations

import errno
import os
import socket
from pathlib import Path

import pytest

from jcollect.unix_sockets import is_dead, is_descriptor_dead


def bound(path: Path) -> socket.socket:
    made = socket.socket(socket.AF_UNIX)
    made.bind(str(path))
    return made


def test_a_socket_without_a_listener_is_dead(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with bound(path) as made:
        assert is_dead(str(path))
        made.listen()
        assert not is_dead(str(path))
    assert is_dead(str(path))


def test_a_socket_with_a_busy_listener_is_not_dead(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with bound(path) as made, socket.socket(socket.AF_UNIX) as client:
        made.listen(0)
        client.connect(str(path))
        assert not is_dead(str(path))


def test_a_file_is_no_dead_socket(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "pipe")
    for name in ("file", "pipe", "."):
        with pytest.raises(OSError, match=os.strerror(errno.ENOTSOCK)):
            is_dead(str(tmp_path / name))


def test_a_link_to_a_dead_socket_is_not_a_dead_socket(tmp_path: Path) -> None:
    bound(tmp_path / "socket").close()
    (tmp_path / "link").symlink_to("socket")
    with pytest.raises(OSError, match=os.strerror(errno.ENOTSOCK)):
        is_dead(str(tmp_path / "link"))


def test_a_socket_is_found_by_descriptors_however_long_its_path(tmp_path: Path) -> None:
    folder = tmp_path / ("x" * 200)
    folder.mkdir()
    directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    bound(Path(f"/proc/self/fd/{directory}/socket")).close()
    assert is_dead(f"/proc/self/fd/{directory}/socket")
    entry = os.open("socket", os.O_PATH, dir_fd=directory)
    assert is_descriptor_dead(entry)
    os.close(entry)
    os.close(directory)


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        is_dead(str(tmp_path / "socket"))
