"""Collectors that serve outside of the default directory are found by what they announce."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from jcollect.rpc import run_directory
from jcollect.rpc.address import parse_address
from jcollect.rpc.announcement import announced, announced_addresses


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(run_directory, "RUN_DIRECTORY", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("text", ["unix:///elsewhere/of.sock", "127.0.0.1:50051"])
def test_an_address_is_announced_while_it_is_served(directory: Path, text: str) -> None:
    with announced(parse_address(text)):
        assert [each.text for each in announced_addresses()] == [text]
    assert announced_addresses() == []
    assert os.listdir(directory) == []


def test_addresses_in_the_default_directory_need_no_announcement(directory: Path) -> None:
    with announced(parse_address(f"unix://{directory}/17.sock")):
        assert os.listdir(directory) == []


def test_what_a_killed_collector_has_left_is_removed(directory: Path) -> None:
    (directory / "999999999.at").symlink_to("unix:///gone.sock")
    (directory / "x.at").symlink_to("unix:///other.sock")
    (directory / f"{os.getpid()}.at").symlink_to("no address")
    assert announced_addresses() == []
    assert not (directory / "999999999.at").is_symlink()
