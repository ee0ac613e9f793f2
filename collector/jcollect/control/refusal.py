"""The reasons why the agent is not loaded, in the words of the command's last line."""

from __future__ import annotations

from jcollect.control.target import Target
from jcollect.errors import JcollectError


class NoThreadsError(JcollectError):
    """The JVM was not asked, because attaching would have ended it: it can start no thread."""


def cannot_load(target: Target, reason: str) -> JcollectError:
    return JcollectError(f"cannot load the agent into PID {target.pid}: {reason}")


def cannot_start_thread(target: Target, shortage: str) -> NoThreadsError:
    return NoThreadsError(cannot_load(target, shortage).message)
