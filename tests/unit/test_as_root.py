"""Tests and the demo run as root in a user's checkout, and leave nothing there that belongs to root."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from conditions import as_root
from java_target import ROOT, run

NOBODY = 65534
CREATES = "mkdir -p new/folder; echo x >new/folder/file; ln -s /etc/passwd new/link; exit 3"


@as_root
@pytest.mark.parametrize("owner", [NOBODY, 0])
def test_what_root_creates_goes_to_the_owner(tmp_path: Path, owner: int) -> None:
    os.chown(tmp_path, owner, owner)
    system_file = os.stat("/etc/passwd")
    done = run(ROOT / "tests/as-root", "bash", "-c", CREATES, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (3, "", "")
    names = ("new", "new/folder", "new/folder/file", "new/link")
    assert {(tmp_path / name).lstat().st_uid for name in names} == {owner}
    assert os.stat("/etc/passwd").st_uid == system_file.st_uid == 0
