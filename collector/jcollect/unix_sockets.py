"""What is left of Unix sockets whose owner was killed: a file that nobody listens at."""

from __future__ import annotations

import contextlib
import socket

_SECONDS = 1.0


def is_dead(path: str) -> bool:
    """Whether nobody listens at a socket any more. Raises OSError where that cannot be told."""
    with socket.socket(socket.AF_UNIX) as probe:
        # Who is too busy to take a connection is not dead.
        probe.settimeout(_SECONDS)
        with contextlib.suppress(TimeoutError, BlockingIOError):
            try:
                probe.connect(path)
            except ConnectionRefusedError:
                return True
    return False
