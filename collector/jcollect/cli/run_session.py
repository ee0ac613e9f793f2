"""Runs `jcollect run`: starts the program, waits for its agent, traces it, and returns its exit code."""

from __future__ import annotations

import contextlib
import os
import pwd
import time
from collections.abc import Sequence
from dataclasses import replace

from jcollect.cli.attach_options import AttachOptions
from jcollect.cli.attach_session import run_attach
from jcollect.cli.launcher import Launcher
from jcollect.cli.program import Program
from jcollect.console import status, warn
from jcollect.control.agent import find_agent
from jcollect.control.endpoint import find_endpoint
from jcollect.control.jar import find_jar
from jcollect.errors import InvalidCommandError, JcollectError
from jcollect.printable import printable
from jcollect.procfs.identity import Account
from jcollect.procfs.process import Process
from jcollect.sources.bpf.compilation import Compilation

_POLL_SECONDS = 0.02


def run_program(
    options: AttachOptions,
    command: Sequence[str],
    user: str | None,
    hold: int,
    launcher: Launcher,
    compilation: Compilation,
) -> int:
    """Returns the exit code. Raises JcollectError if the program cannot be started or traced; in the latter
    case it has ended, or has run untraced."""
    account = _account(user, command[0])
    jar = find_jar()
    is_java = launcher.start(command, account, str(jar), f"hold={hold}")
    program = Program(launcher.pid, is_java)
    problem: JcollectError | None = None
    with program.passing_signals_on():
        try:
            if is_java:
                _await_agent(program, hold)
                options = replace(options, targets=replace(options.targets, pids=(program.pid,), below=None))
            if not program.has_exited:
                run_attach(options, compilation, program)
        except JcollectError as error:
            problem = error
            if not program.has_begun and is_java and not program.has_exited:
                # It is still held, and was started to be traced.
                program.end()
                program.wait()
                raise
            if not program.has_exited:
                warn(f"{error.message}; the program runs on untraced")
        code = program.wait()
    if not program.has_begun and problem is None:
        warn(f"no Java program with the agent was traced: '{command[0]}' has started none, or has exited")
    if problem is not None and code == 0:
        raise problem
    if problem is not None:
        status(f"jcollect: {problem.message}")
    return code


def _await_agent(program: Program, seconds: float) -> None:
    """Waits until the agent can be commanded, or the program has exited. Raises JcollectError."""
    deadline = time.monotonic() + seconds
    with Process.open(program.pid) as process:
        while time.monotonic() < deadline and not program.has_exited:
            with contextlib.suppress(JcollectError):
                agent = find_agent(process)
                if agent is not None and find_endpoint(agent) is not None:
                    return
            time.sleep(_POLL_SECONDS)
    if not program.has_exited:
        raise JcollectError(
            f"cannot trace PID {program.pid}: its agent has not started within {seconds:g} s; see the "
            "program's stderr"
        )


def _account(user: str | None, command: str) -> Account | None:
    """Returns the user of the program; None for the one of this process. Raises JcollectError."""
    cannot_run = f"cannot run '{printable(command)}'"
    if user is None and os.geteuid() == 0:
        user = os.environ.get("SUDO_UID", "")
        if not user.isascii() or not user.isdigit() or not user.strip("0"):
            raise InvalidCommandError(
                f"{cannot_run}: jcollect has root's rights, and sudo names no other user to run it as; name "
                "one with --user NAME (--user root runs it with root's rights)"
            )
    if user is None:
        return None
    try:
        entry = pwd.getpwuid(int(user)) if user.isascii() and user.isdigit() else pwd.getpwnam(user)
    except (KeyError, OverflowError, ValueError):
        raise JcollectError(
            f"cannot run '{printable(command)}': there is no user '{printable(user)}'"
        ) from None
    if os.geteuid() != 0 and entry.pw_uid != os.getuid():
        raise JcollectError(f"{cannot_run} as {entry.pw_name}: only root can; run jcollect with sudo")
    if os.geteuid() != 0:
        return None
    groups = os.getgrouplist(entry.pw_name, entry.pw_gid)
    return Account(entry.pw_uid, entry.pw_gid, groups, entry.pw_name, entry.pw_dir, entry.pw_shell)
