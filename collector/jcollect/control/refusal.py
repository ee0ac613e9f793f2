"""Words the errors of an agent that is not loaded."""

from __future__ import annotations

from jcollect.errors import JcollectError
from jcollect.procfs.process import Process


class NoThreadsError(JcollectError):
    """The JVM was not asked, because it can start no thread and attaching would have ended it."""


def cannot_load(process: Process, reason: str) -> JcollectError:
    return JcollectError(f"cannot load the agent into PID {process.pid}: {reason}")


def exited_instead(process: Process, error: JcollectError) -> JcollectError:
    """Returns the error of something that was done with a process, or that it has exited if it has, or
    exits."""
    return process.exited() if process.is_exiting() else error


def cannot_start_thread(process: Process, shortage: str) -> NoThreadsError:
    return NoThreadsError(cannot_load(process, shortage).message)
