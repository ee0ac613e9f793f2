"""The agent's jar that ships with jcollect, and its delivery to where another process can read it.

Everything in the other process's directories is done apart (delivery.py), with the rights of its user.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from jcollect.built import find_built
from jcollect.control import delivery
from jcollect.errors import JcollectError
from jcollect.procfs.apart import apart
from jcollect.procfs.process import Process

_DIRECTORIES = ("/tmp", "/var/tmp", "/dev/shm")
_SWEEP_SECONDS = 0.25
# A file system that works answers within this time, even on a loaded machine.
_PATIENCE_SECONDS = 2.0


@dataclass(frozen=True)
class DeliveredJar:
    """Paths as the target sees them. The agent writes into the report whether it has started.

    Neither contains a comma or an equals sign, which the agent's options could not contain.
    """

    jar: str
    report: str
    _process: Process
    _directory: int

    def read_report(self) -> str:
        """Returns what the agent has written; empty if it has written nothing or cannot be read."""
        process = self._process
        try:
            answer = apart(
                process,
                delivery.read_report,
                user=process.user,
                descriptors=(self._directory,),
                must_live=False,
            )
        except OSError:
            return ""
        return answer.content.decode(errors="replace").strip()


def find_jar() -> Path:
    """Returns the path of the jar: in an installed package, or where a checkout builds it. Raises
    JcollectError."""
    name = delivery.JAR
    return find_built(f"_agent/{name}", f"java-agent/build/libs/{name}", "jcollect has no agent to load")


@contextlib.contextmanager
def delivered_jar(process: Process, deadline: float | None = None) -> Iterator[DeliveredJar]:
    """Yields the jar in a fresh directory that only the target's user can enter, until the end of the block.

    Raises JcollectError if the target has exited or no directory of it accepts the jar, and TimeoutError if a
    directory does not answer before the deadline (monotonic clock).
    """
    deadline = deadline or time.monotonic() + _PATIENCE_SECONDS
    _sweep(process)
    with _delivered_into(*_deliver(process, deadline), process) as delivered:
        if process.has_exited:
            # Another process may have its PID, and the jar, which is removed.
            raise process.exited()
        yield delivered


def _deliver(process: Process, deadline: float) -> tuple[str, str, int, int]:
    """Returns the parent directory, the new directory's name in it, and descriptors of both."""
    reasons = []
    with open(find_jar(), "rb") as jar:
        for parent in _DIRECTORIES:
            try:
                answer = apart(
                    process,
                    delivery.deliver,
                    process.pid,
                    process.inner_pid,
                    parent,
                    seconds=max(_PATIENCE_SECONDS, deadline - time.monotonic()),
                    user=process.user,
                    descriptors=(jar.fileno(),),
                    must_live=False,  # The caller removes what was delivered.
                )
            except TimeoutError:
                raise
            except OSError as error:
                reasons.append(f"{parent}: {error.strerror}")
                continue
            parent_descriptor, directory = answer.descriptors
            return parent, answer.content.decode(), parent_descriptor, directory
    if process.has_exited:
        raise process.exited()
    raise JcollectError(
        f"cannot copy the agent's jar for PID {process.pid}: none of its temporary directories accepts it "
        f"({'; '.join(reasons)}); start the program with -javaagent instead"
    )


@contextlib.contextmanager
def _delivered_into(
    parent: str, name: str, parent_descriptor: int, directory: int, process: Process
) -> Iterator[DeliveredJar]:
    path = f"{parent}/{name}"
    try:
        yield DeliveredJar(f"{path}/{delivery.JAR}", f"{path}/{delivery.REPORT}", process, directory)
    finally:
        with contextlib.suppress(OSError):
            apart(
                process,
                delivery.remove,
                name,
                seconds=_PATIENCE_SECONDS,
                user=process.user,
                descriptors=(parent_descriptor, directory),
                must_live=False,
            )
        os.close(directory)
        os.close(parent_descriptor)


def remove_stale_jars(process: Process) -> None:
    """Removes the directories that killed jcollects have left in this process's temporary directories, as far
    as they belong to its user.

    Gives up if the file system does not answer soon. Raises nothing.
    """
    if process.has_one_user:
        _sweep(process)


def _sweep(process: Process) -> None:
    with contextlib.suppress(OSError):
        apart(
            process,
            delivery.sweep,
            process.pid,
            _DIRECTORIES,
            _SWEEP_SECONDS,
            seconds=_SWEEP_SECONDS + _PATIENCE_SECONDS,
            user=process.user,
            # The process can still be read if its /tmp does not answer.
            charged=process.owner,
        )
