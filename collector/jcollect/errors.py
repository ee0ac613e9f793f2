"""The one exception for what a user can cause, and what the program makes of all others."""

from __future__ import annotations

import errno
import os
import traceback
from pathlib import Path

_PACKAGE = Path(__file__).parent


class JcollectError(Exception):
    """Says in one sentence what was tried, on what, why it failed and what to do next.

    `main` prints it as `jcollect: <message>` on stderr and exits with `exit_code`.
    """

    def __init__(self, message: str, exit_code: int = 1) -> None:
        super().__init__(message)
        self.message = message
        self.exit_code = exit_code


class NoFilesError(JcollectError):
    """No file can be opened for now. Says nothing about the file that was to be opened."""

    def __init__(self, what: str) -> None:
        super().__init__(f"cannot {what}: {NO_FILES}")


class MalformedStreamError(JcollectError):
    """A server sends what the protocol rules out."""

    def __init__(self, problem: str) -> None:
        super().__init__(
            f"the collector sent a malformed stream: {problem}; it may have another version, or be another "
            "program"
        )


class Interrupted(BaseException):
    """A signal that ends the command at once; `number` is the signal's.

    Not a KeyboardInterrupt, of which click makes something of its own.
    """

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


# Of commands that were told to --fail-on-loss.
LOSS_EXIT_CODE = 3
# Of commands that a fault of jcollect's own has ended.
FAULT_EXIT_CODE = 4

NO_THREADS = (
    "no more threads can be started: raise the limit of its control group (pids.max), "
    "or those of ulimit -u and ulimit -v"
)
NO_MEMORY = "there is no memory left: raise ulimit -v, or the limit of its control group (memory.max)"
NO_FILES = "too many files are open: raise ulimit -n"
_NO_FILES = (errno.EMFILE, errno.ENFILE)
_NO_MEMORY_FOR_CODE = "failed to map segment"


def lacks_files(error: BaseException) -> bool:
    """Returns true if the only cause is that too many files are open, here or on the whole machine."""
    return isinstance(error, NoFilesError) or (isinstance(error, OSError) and error.errno in _NO_FILES)


def explain(error: BaseException, what: str) -> JcollectError:
    """Whatever went wrong, as one sentence. `what` was tried, as in "read events"."""
    if isinstance(error, JcollectError):
        return error
    reason = _lacking(error)
    if reason:
        return JcollectError(f"cannot {what}: {reason}")
    if isinstance(error, OSError) and error.errno:
        file = error.filename if isinstance(error.filename, str) and error.filename not in what else ""
        return JcollectError(f"cannot {what}: {file + ': ' if file else ''}{os.strerror(error.errno)}")
    said = " ".join(str(error).split())
    return JcollectError(
        f"cannot {what}: {type(error).__name__}{f': {said}' if said else ''} ({_place(error)}); "
        "this is a fault of jcollect's own, please report it",
        FAULT_EXIT_CODE,
    )


def _lacking(error: BaseException) -> str:
    """What of the machine has run out; empty if nothing has."""
    if isinstance(error, MemoryError) or _NO_MEMORY_FOR_CODE in str(error):
        return NO_MEMORY
    if isinstance(error, RuntimeError) and "can't start new thread" in str(error):
        return NO_THREADS
    if isinstance(error, OSError):
        if error.errno == errno.ENOMEM:
            return NO_MEMORY
        if error.errno == errno.EAGAIN and isinstance(error, BlockingIOError):
            return NO_THREADS  # What fork says.
        if error.errno in _NO_FILES:
            return NO_FILES
    return ""


def _place(error: BaseException) -> str:
    """Where in jcollect, or in what it has called."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if Path(frame.filename).is_relative_to(_PACKAGE)]
    if not frames:
        return "nowhere"
    frame = (ours or frames)[-1]
    path = Path(frame.filename)
    name = path.relative_to(_PACKAGE) if path.is_relative_to(_PACKAGE) else path.name
    return f"{name}:{frame.lineno}"
