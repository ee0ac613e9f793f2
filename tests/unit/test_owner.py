"""The user who is charged for a process: its own, or the creator of its user namespace."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable

from conditions import as_root, miss
from jcollect.procfs.owner import NOBODYS, owner_of
from jcollect.procfs.status import read_status
from processes import opened

MAKER, FIRST, INNER = 64051, 100_000, 5
CLONE_NEWUSER = 0x10000000


def test_a_process_is_owned_by_its_user() -> None:
    assert opened(os.getpid()).owner == os.getuid()


@as_root
def test_a_process_without_a_user_namespace_is_owned_by_its_starter() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, user=MAKER) as process:
        assert opened(process.pid).owner == MAKER


def test_an_exited_process_has_no_owner() -> None:
    assert owner_of(4_000_000, 0) == NOBODYS


class Child:
    """A process that proceeds step by step."""

    def __init__(self, *steps: Callable[[], None]) -> None:
        self._done, self._go = os.pipe(), os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                for step in steps:
                    step()
                    os.write(self._done[1], b"x")
                    os.read(self._go[0], 1)
                signal.pause()
            except BaseException as error:
                os.write(self._done[1], repr(error).encode())
            finally:
                os._exit(1)
        os.close(self._done[1])

    def wait_for_step(self) -> None:
        said = os.read(self._done[0], 1000).decode()
        if said != "x":
            miss(f"an ordinary user may make no user namespace here ({said})")

    def go_on(self) -> None:
        os.write(self._go[1], b"x")
        self.wait_for_step()

    def map_users(self, first: int) -> None:
        for kind in ("uid", "gid"):
            with open(f"/proc/{self.pid}/{kind}_map", "w") as file:
                file.write(f"0 {first} 1000")

    def end(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        for descriptor in (self._done[0], *self._go):
            os.close(descriptor)


def become(user: int) -> None:
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)


def make_users() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWUSER) != 0:
        raise OSError(ctypes.get_errno(), "unshare")


@as_root
def test_the_creator_of_a_user_namespace_owns_its_processes() -> None:
    def change_user() -> None:
        become(MAKER)
        make_users()

    child = Child(change_user, lambda: become(INNER), make_users)
    try:
        child.wait_for_step()
        child.map_users(FIRST)
        child.go_on()
        assert read_status(child.pid).uids[0] == FIRST + INNER
        assert opened(child.pid).owner == MAKER
        # A namespace within that one, made by a user of it.
        child.go_on()
        assert opened(child.pid).owner == MAKER
    finally:
        child.end()


@as_root
def test_processes_in_a_namespace_mapped_by_root_belong_to_the_mapped_users() -> None:
    child = Child(make_users, lambda: become(INNER))
    try:
        child.wait_for_step()
        child.map_users(FIRST)
        child.go_on()
        assert opened(child.pid).owner == FIRST + INNER
    finally:
        child.end()
