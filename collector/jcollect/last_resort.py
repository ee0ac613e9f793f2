"""Ends the process, with a sentence and an exit code, where native code hangs or aborts: see last_resort.c.

gRPC does both where it can start no threads or has no memory, with Python's lock held: no Python runs any
more.
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
# Of the blocks that there are: when each has to be over (time.monotonic()), what is said else, and the code.
_blocks: dict[int, tuple[float, ctypes.Array[ctypes.c_char], int]] = {}
_LEAST_SECONDS = 0.1

_ABORTED = (
    "cannot go on: a library has aborted, as they do where memory or threads have run out; "
    "raise the limits (ulimit -v, ulimit -u, pids.max)"
)


@contextlib.contextmanager
def last_resort(seconds: float, message: str, exit_code: int = FAULT_EXIT_CODE) -> Iterator[None]:
    """A block that ends within so many seconds, or the process does, and says that.

    Raises JcollectError where last_resort.c is not built.
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
    """For the block that has to be over first."""
    if not _blocks:
        library.jprobe_end_after(0, None, 0, 0)
        return
    deadline, text, exit_code = min(_blocks.values(), key=lambda block: block[0])
    left = max(_LEAST_SECONDS, deadline - time.monotonic())
    library.jprobe_end_after(int(1000 * left), text, len(text.value), exit_code)


def ignore_terminal(number: int) -> None:
    """Has a signal's handler called for what other processes send, and not for a key that was pressed."""
    _library().jprobe_ignore_terminal(number)


def say_when_aborted() -> None:
    """From now on. Raises JcollectError where last_resort.c is not built."""
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
