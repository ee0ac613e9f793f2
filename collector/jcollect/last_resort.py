"""Ends the process with a message and an exit code if native code hangs or aborts; see last_resort.c.

gRPC hangs or aborts if it can start no thread or gets no memory. It then holds Python's lock, so no Python
code can end the process.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import platform
import threading
import time
from collections.abc import Iterator

from jcollect.built import find_built
from jcollect.errors import FAULT_EXIT_CODE, JcollectError

_lock = threading.Lock()
# Running blocks: deadline (time.monotonic()), and the message and exit code for a block that misses it.
_blocks: dict[int, tuple[float, ctypes.Array[ctypes.c_char], int]] = {}
_LEAST_SECONDS = 0.1

_ABORTED = (
    "cannot continue: a library has aborted, probably for lack of memory or threads; "
    "raise the limits (ulimit -v, ulimit -u, pids.max)"
)


@contextlib.contextmanager
def last_resort(seconds: float, message: str, exit_code: int = FAULT_EXIT_CODE) -> Iterator[None]:
    """Runs a block. Prints the message and ends the process if the block does not end within `seconds`.

    Raises JcollectError if last_resort.c is not built.
    """
    library = _library()
    text = _text(message)
    key = id(text)
    with _lock:
        _blocks[key] = (time.monotonic() + seconds, text, exit_code)
        _set_timer(library)
    try:
        yield
    finally:
        with _lock:
            del _blocks[key]
            _set_timer(library)


def _set_timer(library: ctypes.CDLL) -> None:
    """Sets the timer for the earliest deadline."""
    if not _blocks:
        library.jprobe_end_after(0, None, 0, 0)
        return
    deadline, text, exit_code = min(_blocks.values(), key=lambda block: block[0])
    left = max(_LEAST_SECONDS, deadline - time.monotonic())
    library.jprobe_end_after(int(1000 * left), text, len(text.value), exit_code)


def ignore_terminal(number: int) -> None:
    """Ignores a signal if the terminal sends it for a key. A signal from a process still calls its
    handler."""
    _library().jprobe_ignore_terminal(number)


def report_aborts() -> None:
    """Prints a message from now on when native code aborts. Raises JcollectError if last_resort.c is not
    built."""
    text = _aborted_text()
    _library().jprobe_when_aborted(text, len(text.value), 1)


@functools.cache  # C keeps the address.
def _aborted_text() -> ctypes.Array[ctypes.c_char]:
    return _text(_ABORTED)


def _text(message: str) -> ctypes.Array[ctypes.c_char]:
    return ctypes.create_string_buffer(f"jcollect: {message}\n".encode(errors="backslashreplace"))


@functools.cache
def _library() -> ctypes.CDLL:
    name = f"linux-{platform.machine()}/last_resort.so"
    file = find_built(f"_native/{name}", f"build/native/{name}", "jcollect cannot use gRPC")
    try:
        library = ctypes.CDLL(str(file))
    except OSError as error:
        raise JcollectError(f"cannot load {file}: {error}; run make build") from None
    library.jprobe_end_after.argtypes = (ctypes.c_long, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_int)
    library.jprobe_ignore_terminal.argtypes = (ctypes.c_int,)
    library.jprobe_when_aborted.argtypes = (ctypes.c_char_p, ctypes.c_size_t, ctypes.c_int)
    return library
