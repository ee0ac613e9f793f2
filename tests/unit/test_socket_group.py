"""--group: who can connect to a Unix socket, and that nobody can for a moment who cannot in the end."""

from __future__ import annotations

import contextlib
import grp
import os
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from conditions import as_root
from java_target import as_user
from jcollect.errors import InvalidCommandError, JcollectError
from jcollect.rpc import run_directory
from jcollect.rpc.address import parse_address
from jcollect.rpc.client import Client
from jcollect.rpc.listening import claim
from jcollect.rpc.socket_group import SocketGroup
from served import StillSource, described, serving

GROUP = SocketGroup("adm", grp.getgrnam("adm").gr_gid)
NOBODY, STRANGERS = 65534, 65533


@pytest.fixture
def folder() -> Iterator[Path]:
    """Yields a directory that every user can enter."""
    with tempfile.TemporaryDirectory(prefix="jprobe-test-", dir="/var/tmp") as made:
        os.chmod(made, 0o755)
        yield Path(made)


def connects(path: Path, uid: int, gid: int) -> bool:
    """Returns true if a process of another user can connect."""
    program = f"import socket; socket.socket(socket.AF_UNIX).connect({str(path)!r})"
    command = [
        "setpriv",
        f"--reuid={uid}",
        f"--regid={gid}",
        "--clear-groups",
        "/usr/bin/python3",
        "-c",
        program,
    ]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def modes(path: Path) -> tuple[str, int]:
    about = path.stat()
    return oct(stat.S_IMODE(about.st_mode)), about.st_gid


@as_root
def test_members_of_the_group_can_connect_and_nobody_else(folder: Path) -> None:
    source = StillSource(described(1))
    with serving(source, folder, group=GROUP) as address:
        path = folder / "still.sock"
        assert modes(path) == ("0o660", GROUP.gid)
        assert connects(path, NOBODY, GROUP.gid)
        assert not connects(path, NOBODY, STRANGERS)
        with Client(address) as client:
            assert client.list_probes()
    with serving(source, folder):
        assert modes(path) == ("0o600", os.getegid())
        assert not connects(path, NOBODY, GROUP.gid)


@as_root
def test_the_default_directory_lets_the_group_in(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    default = folder / "jprobe"
    monkeypatch.setattr(run_directory, "RUN_DIRECTORY", str(default))
    address = f"unix://{default}/1.sock"
    with claim(parse_address(address)):
        assert modes(default) == ("0o700", os.getegid())
    source = StillSource(described(1))
    with serving(source, folder, address, group=GROUP):
        assert modes(default) == ("0o710", GROUP.gid)
        assert connects(default / "1.sock", NOBODY, GROUP.gid)
        # A second collector for the same group shares it; one for another group cannot.
        with claim(parse_address(f"unix://{default}/2.sock"), group=GROUP):
            pass
        other = SocketGroup("nogroup", grp.getgrnam("nogroup").gr_gid)
        with pytest.raises(
            JcollectError, match="is 4 already, for another collector; name a socket in another"
        ):
            claim(parse_address(f"unix://{default}/3.sock"), group=other)


@as_root
def test_members_of_the_group_find_a_collector_by_pid(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They may not list the default directory."""
    default = folder / "jprobe"
    monkeypatch.setattr(run_directory, "RUN_DIRECTORY", str(default))
    program = (
        "from jcollect.rpc import find, run_directory\n"
        f"run_directory.RUN_DIRECTORY = {str(default)!r}\n"
        "print(find.collector_of(4711))"
    )
    with serving(StillSource(described(1)), folder, f"unix://{default}/4711.sock", group=GROUP):
        command = [*as_user("nobody", "adm", reads_checkout=True), sys.executable, "-c", program]
        found = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert f"unix://{default}/4711.sock" in found


@as_root
def test_rights_only_grow_to_what_they_are_in_the_end(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After each change of a mode or an owner, the group has a right only if it is the right one."""
    default = folder / "jprobe"
    monkeypatch.setattr(run_directory, "RUN_DIRECTORY", str(default))
    seen: list[tuple[str, int]] = []

    def watched(change: Callable[..., Any]) -> Callable[..., Any]:
        def run(path: Any, *arguments: Any) -> None:
            change(path, *arguments)
            about = os.stat(path)
            seen.append((oct(stat.S_IMODE(about.st_mode)), about.st_gid))

        return run

    monkeypatch.setattr(os, "chmod", watched(os.chmod))
    monkeypatch.setattr(os, "chown", watched(os.chown))
    with serving(StillSource(described(1)), folder, f"unix://{default}/1.sock", group=GROUP):
        pass
    assert ("0o710", GROUP.gid) in seen
    assert ("0o660", GROUP.gid) in seen
    assert all(gid == GROUP.gid for mode, gid in seen if int(mode, 8) & 0o077), seen


@as_root
def test_the_socket_is_created_with_its_group(folder: Path) -> None:
    """Otherwise a collector would need CAP_CHOWN for its whole life."""
    path = folder / "socket"
    mask = os.umask(0o177)
    with GROUP.creating(), socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))
    os.umask(mask)
    assert modes(path) == ("0o600", GROUP.gid)
    after = folder / "after"
    after.touch()
    assert modes(after)[1] == os.getegid()


@as_root
def test_a_user_cannot_give_a_group_of_others() -> None:
    program = (
        "from jcollect.rpc.socket_group import SocketGroup\n"
        "try: print(SocketGroup.named('adm'))\n"
        "except Exception as error: print(error.message)"
    )
    said = {}
    for groups in ("--clear-groups", f"--groups={GROUP.gid}"):
        command = [
            "setpriv", "--reuid=nobody", "--regid=nogroup", groups, "--inh-caps=+dac_read_search",
            "--ambient-caps=+dac_read_search", sys.executable, "-c", program,
        ]  # fmt: skip
        said[groups] = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "this user is no member of it" in said["--clear-groups"]
    assert "SocketGroup(name='adm'" in said[f"--groups={GROUP.gid}"]


@pytest.mark.parametrize("name", ["no-such-group", "", "4294967295", "٣", "a\x1b[31m"])
def test_a_group_that_does_not_exist_is_rejected(name: str) -> None:
    with pytest.raises(JcollectError, match="there is no such group") as raised:
        SocketGroup.named(name)
    assert "\x1b" not in raised.value.message


def test_only_sockets_have_groups() -> None:
    with pytest.raises(InvalidCommandError, match="only a Unix socket has a group"):
        claim(parse_address("127.0.0.1:0"), insecure=True, group=GROUP)


def test_a_directory_that_does_not_let_the_group_in_is_reported(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder.chmod(0o700)
    with contextlib.closing(_Released(claim(parse_address(f"unix://{folder}/a.sock"), group=GROUP))):
        assert f"the mode of {folder} does not let it in" in capfd.readouterr().err
        assert modes(folder)[0] == "0o700"


def test_a_runtime_directory_that_does_not_let_the_group_in_is_reported(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    folder.chmod(0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    with claim(parse_address(f"unix://{folder}/jprobe/a.sock"), group=GROUP):
        assert f"the mode of {folder} does not let it in; use --listen" in capfd.readouterr().err


class _Released:
    def __init__(self, claimed: Any) -> None:
        self.close = claimed.release
