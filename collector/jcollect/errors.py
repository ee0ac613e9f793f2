"""Errors that the user can fix, and how the command line prints them."""

from __future__ import annotations

import copy
import errno
import os
import traceback
from pathlib import Path
from typing import TypeVar

_Error = TypeVar("_Error", bound=Exception)

_PACKAGE = Path(__file__).parent


class JcollectError(Exception):
    """An error that the user can fix. The message is one sentence: what failed, on what, why, what to do
    next.

    `main` prints it as `jcollect: <message>` to stderr and exits with `exit_code`.
    """

    def __init__(self, message: str, exit_code: int = 1) -> None:
        super().__init__(message)
        self.message = message
        self.exit_code = exit_code


class InvalidCommandError(JcollectError):
    """The command line is invalid, whatever runs on the machine."""

    def __init__(self, message: str) -> None:
        super().__init__(message, USAGE_EXIT_CODE)


class NoFilesError(JcollectError):
    """Too many files are open for now. The cause is not the file that could not be opened."""

    def __init__(self, what: str) -> None:
        super().__init__(f"cannot {what}: {NO_FILES}")


class MalformedStreamError(JcollectError):
    """A server violates the protocol. `problem` is a clause that states how."""

    def __init__(self, problem: str) -> None:
        super().__init__(
            f"the collector sent a malformed stream: {problem}; it may have another version, or be another "
            "program"
        )
        self.problem = problem


class Interrupted(BaseException):
    """A signal that ends the command immediately; `number` is that of the signal.

    Not a KeyboardInterrupt, because click handles that itself.
    """

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


# Exit code of an invalid command line, as click has it.
USAGE_EXIT_CODE = 2
# Exit code of a command with --fail-on-loss that has lost events.
LOSS_EXIT_CODE = 3
# Exit code after a bug in jcollect.
FAULT_EXIT_CODE = 4

NO_THREADS = (
    "no more threads can be started: raise the limit of its control group (pids.max), "
    "or those of ulimit -u and ulimit -v"
)
NO_MEMORY = "out of memory: raise ulimit -v, or the limit of its control group (memory.max)"
NO_FILES = "too many files are open: raise ulimit -n"
_NO_FILES = (errno.EMFILE, errno.ENFILE)
_NO_MEMORY_FOR_CODE = "failed to map segment"


def copy_of(error: _Error) -> _Error:
    """Returns an error to raise instead of one that a variable holds.

    The traceback of a raised error refers to all variables of the function. If one of them holds the error,
    they all stay in memory until the garbage collector runs.
    """
    return copy.copy(error)


def lacks_files(error: BaseException) -> bool:
    """Returns true if the only cause is that too many files are open, here or on the whole machine."""
    return isinstance(error, NoFilesError) or (isinstance(error, OSError) and error.errno in _NO_FILES)


def explain(error: BaseException, what: str) -> JcollectError:
    """Returns any error as one sentence. `what` is what failed, as in "read events"."""
    if isinstance(error, JcollectError):
        return error
    reason = _exhausted_resource(error)
    if reason:
        return JcollectError(f"cannot {what}: {reason}")
    if isinstance(error, OSError) and error.errno:
        file = error.filename if isinstance(error.filename, str) and error.filename not in what else ""
        reason = error.strerror or os.strerror(error.errno)
        return JcollectError(f"cannot {what}: {file + ': ' if file else ''}{reason}")
    details = " ".join(str(error).split())
    return JcollectError(
        f"cannot {what}: {type(error).__name__}{f': {details}' if details else ''} ({_location(error)}); "
        "this is a bug in jcollect; please report it",
        FAULT_EXIT_CODE,
    )


def _exhausted_resource(error: BaseException) -> str:
    """Returns a sentence about the resource whose exhaustion caused the error; empty if none did."""
    if isinstance(error, MemoryError) or _NO_MEMORY_FOR_CODE in str(error):
        return NO_MEMORY
    if isinstance(error, RuntimeError) and "can't start new thread" in str(error):
        return NO_THREADS
    if isinstance(error, OSError):
        if error.errno == errno.ENOMEM:
            return NO_MEMORY
        if error.errno == errno.EAGAIN and isinstance(error, BlockingIOError):
            return NO_THREADS  # fork fails with EAGAIN.
        if error.errno in _NO_FILES:
            return NO_FILES
    return ""


def _location(error: BaseException) -> str:
    """Returns the file and line in jcollect at which the error occurred, or else in the code that it
    called."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if Path(frame.filename).is_relative_to(_PACKAGE)]
    if not frames:
        return "unknown location"
    frame = (ours or frames)[-1]
    path = Path(frame.filename)
    name = path.relative_to(_PACKAGE) if path.is_relative_to(_PACKAGE) else path.name
    return f"{name}:{frame.lineno}"
