"""Starts the program of `jcollect run`, with the rights of its user and none of jcollect's.

The child that becomes the program is forked before jcollect limits itself: a program must neither inherit
capabilities, nor lose what jcollect gives up (system calls, the right to run setuid programs).
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from jcollect.errors import JcollectError
from jcollect.procfs.identity import Account, become_for_good

_MAX_BYTES = 1 << 24
_ELF = b"\x7fELF"
# Exit codes of env(1) and of shells.
_NOT_RUNNABLE, _NOT_FOUND = 126, 127
# Variables of sudo that describe its caller, who is the program's user.
_OF_SUDO = ("SUDO_COMMAND", "SUDO_GID", "SUDO_HOME", "SUDO_UID", "SUDO_USER")
_OPTIONS = "JDK_JAVA_OPTIONS"


class Launcher:
    """A child process that waits for the command that it will become. For a process with one thread."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        self.pid = os.fork()
        if self.pid == 0:
            ours.close()
            _become_the_program(theirs)
        theirs.close()
        self._socket = ours

    def start(self, command: Sequence[str], account: Account | None, jar: str, options: str) -> bool:
        """Makes the child run a command as a user; None stands for the user of this process.

        Returns true if the command is a Java launcher, whose first argument loads the agent then. Other
        commands get an environment in which each `java` loads it. Raises JcollectError if the command cannot
        be run.
        """
        request = {"command": command, "account": account, "jar": jar, "options": options}
        self._socket.sendall(json.dumps(request).encode())
        self._socket.shutdown(socket.SHUT_WR)
        # The kernel closes the child's end when it executes the command.
        answer = _read_all(self._socket)
        self._socket.close()
        outcome: dict[str, Any] = json.loads(answer or b'{"error": "its process has ended", "code": 126}')
        if "error" in outcome:
            os.waitpid(self.pid, 0)
            raise JcollectError(f"cannot run '{command[0]}': {outcome['error']}", outcome["code"])
        return bool(outcome["is_java"])


def _read_all(connection: socket.socket) -> bytes:
    pieces = []
    while piece := connection.recv(1 << 16):
        pieces.append(piece)
        if sum(map(len, pieces)) > _MAX_BYTES:
            break
    return b"".join(pieces)


def _become_the_program(connection: socket.socket) -> NoReturn:
    code = _NOT_RUNNABLE
    try:
        # Undoes Python's changes: the program gets the dispositions that jcollect was started with.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE, signal.SIGXFSZ):
            if number in (signal.SIGPIPE, signal.SIGXFSZ) or signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, signal.SIG_DFL)
        content = _read_all(connection)
        if content:
            code = _run(json.loads(content), connection)
    except BaseException as error:
        code = _refuse(connection, str(error) or type(error).__name__, _NOT_RUNNABLE)
    finally:
        os._exit(code)


def _run(request: Mapping[str, Any], connection: socket.socket) -> int:
    """Executes the command. Returns only if it cannot."""
    command = list(request["command"])
    account = Account(*request["account"]) if request["account"] else None
    # First: afterwards the kernel protects the file, because this process had other rights before.
    environment = _environment(account)
    if account is not None:
        _keep_descriptors_of_root()
    become_for_good(account)
    jar = request["jar"]
    if not os.access(jar, os.R_OK):
        return _refuse(connection, f"its user cannot read the agent, {jar}", _NOT_RUNNABLE)
    path = shutil.which(command[0], path=environment.get("PATH", os.defpath))
    if path is None:
        exists = os.path.exists(command[0])
        why = "it is not executable" if exists else "there is no such program"
        return _refuse(connection, why, _NOT_RUNNABLE if exists else _NOT_FOUND)
    agent = f"-javaagent:{jar}={request['options']}"
    is_java = _is_java(path)
    if is_java:
        command.insert(1, agent)
    else:
        before = environment.get(_OPTIONS, "")
        environment[_OPTIONS] = f'{before} "{agent}"'.strip()
    connection.sendall(json.dumps({"is_java": is_java}).encode())
    try:
        os.execve(path, command, environment)
    except OSError as error:
        # The answer was sent already; the exit code and the line say the rest.
        os.write(2, f"jcollect: cannot run '{command[0]}': {error.strerror}\n".encode())
    return _NOT_RUNNABLE


def _refuse(connection: socket.socket, why: str, code: int) -> int:
    connection.sendall(json.dumps({"error": why, "code": code}).encode())
    return code


def _keep_descriptors_of_root() -> None:
    """Lets the program of another user inherit its standard streams alone, as sudo does."""
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2:
            with contextlib.suppress(OSError):  # Of the list itself, which is closed by now.
                os.set_inheritable(int(name), False)


def _is_java(path: str) -> bool:
    """Returns true for the JDK's launcher itself, false for scripts, also if they are named java."""
    if os.path.basename(os.path.realpath(path)) != "java":
        return False
    with open(path, "rb") as file:
        return file.read(len(_ELF)) == _ELF


def _environment(account: Account | None) -> dict[str, str]:
    """Returns the environment that jcollect was started with, of the program's user."""
    with open("/proc/self/environ", "rb") as file:
        pairs = [os.fsdecode(each).partition("=") for each in file.read().split(b"\0") if b"=" in each]
    environment = {name: value for name, _, value in pairs}
    if account is not None:
        for name in _OF_SUDO:
            environment.pop(name, None)
        environment.update(HOME=account.home, USER=account.name, LOGNAME=account.name, SHELL=account.shell)
        environment.pop("MAIL", None)
    return environment
