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
from jcollect.control.target import Target, read_target
from jcollect.errors import JcollectError
from jcollect.procfs.apart import apart
from jcollect.procfs.owner import owner_of

_PLACES = ("/tmp", "/var/tmp", "/dev/shm")
_SWEEP_SECONDS = 0.25
# A file system that works answers within this time, even on a loaded machine.
_PATIENCE_SECONDS = 2.0


@dataclass(frozen=True)
class DeliveredJar:
    """Paths as the target sees them. The agent writes into the report whether it has started.

    Neither has a comma or an equals sign, because the agent's options could not hold them.
    """

    jar: str
    report: str
    _target: Target
    _directory: int

    def read_report(self) -> str:
        """Returns what the agent has written; empty if it has written nothing or cannot be read."""
        target = self._target
        try:
            answer = apart(target.pid, delivery.read_report, user=target.user, descriptors=(self._directory,))
        except OSError:
            return ""
        return answer.content.decode(errors="replace").strip()


def find_jar() -> Path:
    """Inside an installed package, or where a checkout builds it. Raises JcollectError."""
    name = delivery.JAR
    return find_built(f"_agent/{name}", f"java-agent/build/libs/{name}", "jcollect has no agent to load")


@contextlib.contextmanager
def delivered_jar(target: Target, deadline: float | None = None) -> Iterator[DeliveredJar]:
    """Yields the jar in a fresh directory that only the target's user can enter, until the end of the block.

    Raises JcollectError if no directory of the target accepts it, and TimeoutError if one does not answer
    before the deadline (monotonic clock).
    """
    deadline = deadline or time.monotonic() + _PATIENCE_SECONDS
    _sweep(target)
    with contextlib.ExitStack() as stack:
        yield stack.enter_context(_delivered_into(*_deliver(target, deadline), target))


def _deliver(target: Target, deadline: float) -> tuple[str, str, int, int]:
    """Returns the place, the directory's name in it, and descriptors of both."""
    reasons = []
    with open(find_jar(), "rb") as jar:
        for place in _PLACES:
            try:
                answer = apart(
                    target.pid,
                    delivery.deliver,
                    target.pid,
                    target.inner_pid,
                    place,
                    seconds=max(_PATIENCE_SECONDS, deadline - time.monotonic()),
                    user=target.user,
                    descriptors=(jar.fileno(),),
                )
            except TimeoutError:
                raise
            except OSError as error:
                reasons.append(f"{place}: {error.strerror}")
                continue
            parent, directory = answer.descriptors
            return place, answer.content.decode(), parent, directory
    raise JcollectError(
        f"cannot hand the agent's jar to PID {target.pid}: none of its temporary directories takes it "
        f"({'; '.join(reasons)}); start the program with -javaagent instead"
    )


@contextlib.contextmanager
def _delivered_into(
    place: str, name: str, parent: int, directory: int, target: Target
) -> Iterator[DeliveredJar]:
    path = f"{place}/{name}"
    try:
        yield DeliveredJar(f"{path}/{delivery.JAR}", f"{path}/{delivery.REPORT}", target, directory)
    finally:
        with contextlib.suppress(OSError):
            apart(
                target.pid,
                delivery.remove,
                name,
                seconds=_PATIENCE_SECONDS,
                user=target.user,
                descriptors=(parent, directory),
            )
        os.close(directory)
        os.close(parent)


def sweep_for(pid: int) -> None:
    """Removes what jcollects that were killed have left for the user of this process, where he has it.

    Not if that takes long, as in a file system that does not answer. Raises nothing.
    """
    with contextlib.suppress(JcollectError):
        _sweep(read_target(pid))


def _sweep(target: Target) -> None:
    with contextlib.suppress(OSError):
        apart(
            target.pid,
            delivery.sweep,
            target.pid,
            _PLACES,
            _SWEEP_SECONDS,
            seconds=_SWEEP_SECONDS + _PATIENCE_SECONDS,
            user=target.user,
            # The process can still be read if its /tmp does not answer.
            charged=owner_of(target.pid),
        )
