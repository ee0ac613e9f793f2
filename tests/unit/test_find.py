"""Which sockets in the default directory are those of collectors that serve a process."""

from __future__ import annotations

import os
import socket
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from java_target import as_user, run
from jcollect.rpc import find, run_directory
from jcollect.rpc.address import bound_name, default_address, parse_address
from jcollect.rpc.find import collector_of
from jcollect.rpc.listening import claim_default

SOMEBODY = 64041
PID = 4711


@pytest.fixture
def directory(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Yields a default directory that all users can search."""
    with tempfile.TemporaryDirectory(prefix="jprobe-test-", dir="/var/tmp") as made:
        os.chmod(made, 0o755)
        monkeypatch.setattr(run_directory, "RUN_DIRECTORY", made)
        yield Path(made)


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Yields the user's runtime directory."""
    with tempfile.TemporaryDirectory(prefix="jprobe-test-", dir="/var/tmp") as made:
        monkeypatch.setenv("XDG_RUNTIME_DIR", made)
        yield Path(made)


def bound(path: Path, name: str = "", user: int = 0) -> socket.socket:
    """Binds a socket under the path's name, or under another one first, as collectors do."""
    made = socket.socket(socket.AF_UNIX)
    first = path.with_name(name or path.name)
    made.bind(str(first))
    first.chmod(0o600)
    os.chown(first, user, user)
    if first != path:
        first.rename(path)
    return made


def served(path: Path) -> bool:
    return find._is_served(parse_address(f"unix://{path}"))


def served_for_another_user(path: Path) -> bool:
    asking = (
        "import sys; from jcollect.rpc.find import _is_served; "
        "from jcollect.rpc.address import parse_address; "
        "print(_is_served(parse_address('unix://' + sys.argv[1])))"
    )
    done = run(*as_user("64042", "64042", reads_checkout=True), sys.executable, "-c", asking, path, cwd="/")
    return {"True\n": True, "False\n": False}[done.stdout]


def test_a_socket_is_served_while_a_process_listens(directory: Path) -> None:
    path = directory / "x.sock"
    assert not served(path)
    with bound(path) as made:
        assert not served(path)
        made.listen()
        assert served(path)
    assert not served(path)
    path.unlink()
    path.touch()
    assert not served(path)


def test_a_socket_that_the_user_must_not_connect_to_is_served_while_it_is_bound(directory: Path) -> None:
    path = directory / "x.sock"
    with bound(path, bound_name("x.sock")) as made:
        made.listen()
        assert served_for_another_user(path)
    assert path.is_socket()
    assert not served_for_another_user(path)
    assert not served(path)


def test_where_bound_sockets_cannot_be_listed_it_may_be_served(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(*_: object) -> list[str]:
        raise PermissionError

    monkeypatch.setattr(find, "is_dead", denied)
    assert not served(directory / "x.sock")
    monkeypatch.setattr(find, "bound_paths", denied)
    assert served(directory / "x.sock")


def test_sockets_of_other_users_are_not_taken_for_collectors_of_a_process(directory: Path) -> None:
    theirs = bound(directory / f"{PID}-2.sock", user=SOMEBODY)
    theirs.listen()
    assert collector_of(PID) is None
    with theirs, bound(directory / f"{PID}.sock") as own:
        own.listen()
        found = collector_of(PID)
    assert found is not None
    assert found.address.path == f"{directory}/{PID}.sock"


def test_a_default_address_passes_over_files_of_other_users(directory: Path) -> None:
    lock = directory / f"{PID}.sock.lock"
    lock.touch(0o600)
    os.chown(lock, SOMEBODY, SOMEBODY)
    with bound(directory / f"{PID}-2.sock", user=SOMEBODY) as theirs:
        theirs.listen()
        with claim_default(default_address(PID)) as claimed:
            assert claimed.address.path == f"{directory}/{PID}-3.sock"
    assert sorted(os.listdir(directory)) == [f"{PID}-2.sock", f"{PID}.sock.lock"]


def test_roots_collector_precedes_the_users_own(directory: Path, runtime: Path) -> None:
    own = runtime / "jprobe"
    own.mkdir(0o700)
    with bound(own / f"{PID}.sock") as users:
        users.listen()
        found = collector_of(PID)
        assert found is not None
        assert found.address.path == f"{own}/{PID}.sock"
        with bound(directory / f"{PID}.sock") as roots:
            roots.listen()
            found = collector_of(PID)
    assert found is not None
    assert found.address.path == f"{directory}/{PID}.sock"


def test_nothing_is_found_where_others_can_write(directory: Path, runtime: Path) -> None:
    own = runtime / "jprobe"
    own.mkdir()
    own.chmod(0o777)
    with bound(own / f"{PID}.sock") as planted:
        planted.listen()
        assert collector_of(PID) is None
