"""Only a Java runtime that other users cannot have changed loads the agent."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import jcollect
from conditions import as_root
from jcollect.built import find_built
from jcollect.control import jdk
from jcollect.control.jdk import find_libjvm
from jcollect.errors import JcollectError

SOMEBODY = 64021


@pytest.fixture
def own_path() -> Iterator[Path]:
    """Yields a directory that only its owner can change, unlike pytest's, which is below /tmp."""
    path = Path(tempfile.mkdtemp(dir="/run" if os.geteuid() == 0 else Path.home()))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def home(own_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Makes a fake Java runtime, and sets JAVA_HOME to it."""
    home = own_path / "jdk"
    make_runtime(home)
    monkeypatch.setenv("JAVA_HOME", str(home))
    return home


def make_runtime(home: Path, version: str = "25.0.1") -> None:
    (home / "lib/server").mkdir(parents=True)
    (home / "conf").mkdir()
    (home / "release").write_text(f'JAVA_VERSION="{version}"\n')
    for file in ("lib/server/libjvm.so", "lib/libattach.so", "lib/modules"):
        (home / file).touch(0o644)


def test_java_home_decides(home: Path) -> None:
    assert find_libjvm() == home / "lib/server/libjvm.so"


@pytest.mark.parametrize("lack", ["lib/libattach.so", "11.0.2", "1.8.0_392"])
def test_a_runtime_that_cannot_attach(home: Path, lack: str) -> None:
    if lack.startswith("lib"):
        (home / lack).unlink()
    else:
        (home / "release").write_text(f'JAVA_VERSION="{lack}"\n')
    with pytest.raises(JcollectError, match=f"jdk.attach on this machine, and JAVA_HOME={home} has none"):
        find_libjvm()


def test_without_java_home_the_runtime_of_this_machine_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JAVA_HOME", raising=False)
    assert find_libjvm().name == "libjvm.so"


CHANGEABLE: dict[str, Callable[[Path], object]] = {
    "lib/server/libjvm.so belongs to user 64021": lambda home: os.chown(
        home / "lib/server/libjvm.so", SOMEBODY, SOMEBODY
    ),
    "lib/modules belongs to user 64021": lambda home: os.chown(home / "lib/modules", SOMEBODY, SOMEBODY),
    "conf belongs to user 64021": lambda home: os.chown(home / "conf", SOMEBODY, SOMEBODY),
    " belongs to user 64021": lambda home: os.chown(home.parent, SOMEBODY, SOMEBODY),
    "lib/server is writable by all users": lambda home: (home / "lib/server").chmod(0o1777),
    "lib is writable by group 64021": lambda home: (
        os.chown(home / "lib", 0, SOMEBODY),
        (home / "lib").chmod(0o775),
    ),
}


@as_root
@pytest.mark.parametrize("who", CHANGEABLE)
def test_a_runtime_that_others_can_change_is_not_run(home: Path, who: str) -> None:
    CHANGEABLE[who](home)
    path = home / who.split(" ")[0] if not who.startswith(" ") else home.parent
    with pytest.raises(JcollectError, match=f"is not safe to run .*: {path} {who.partition(' ')[2]}"):
        find_libjvm()


@as_root
def test_a_symlink_in_the_path_is_checked_with_all_directories_that_it_leads_through(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The link is below /tmp, where any user may write.
    (tmp_path / "jdk").symlink_to(home)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "jdk"))
    with pytest.raises(JcollectError, match=r": /tmp is writable by all users; make it root's"):
        find_libjvm()
    # Root's own link may point there.
    other = home.parent / "link"
    other.symlink_to("jdk")
    monkeypatch.setenv("JAVA_HOME", str(other))
    assert find_libjvm() == other / "lib/server/libjvm.so"
    os.chown(other, SOMEBODY, SOMEBODY, follow_symlinks=False)
    with pytest.raises(JcollectError, match=f"{other} belongs to user {SOMEBODY}"):
        find_libjvm()


@as_root
def test_an_unsafe_runtime_is_passed_over_for_a_safe_one(
    own_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setattr(jdk, "_JVM_FOLDER", own_path)
    monkeypatch.setenv("PATH", "/nowhere")
    make_runtime(own_path / "newer", "26")
    make_runtime(own_path / "older", "17.0.1")
    assert find_libjvm() == own_path / "newer/lib/server/libjvm.so"
    os.chown(own_path / "newer/lib", SOMEBODY, SOMEBODY)
    assert find_libjvm() == own_path / "older/lib/server/libjvm.so"


@as_root
@pytest.mark.parametrize("how", ["of another user", "writable by all"])
def test_a_built_file_is_used_unless_others_can_change_it(
    own_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    package = own_path / "collector/jcollect"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    monkeypatch.setattr(jcollect, "__file__", str(package / "__init__.py"))
    library = own_path / "build/native/drain.so"
    library.parent.mkdir(parents=True)
    library.touch(0o644)
    assert find_built("_native/drain.so", "build/native/drain.so", "cannot") == library
    if how == "of another user":
        os.chown(library.parent, SOMEBODY, SOMEBODY)
    else:
        library.chmod(0o666)
    with pytest.raises(JcollectError, match=f"^cannot: {own_path}/build/native.* build it again"):
        find_built("_native/drain.so", "build/native/drain.so", "cannot")
    # In a checkout of their own, users gain nothing by that.
    os.chown(package / "__init__.py", SOMEBODY, SOMEBODY)
    if how == "of another user":
        assert find_built("_native/drain.so", "build/native/drain.so", "cannot") == library
