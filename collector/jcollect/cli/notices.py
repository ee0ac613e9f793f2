"""Prints notices about a stream, and limits their rate: an untrusted server could send notices without
end."""

from __future__ import annotations

import time
from collections.abc import Callable

from jcollect.console import plural, status, warn

# Notices at once, and per second after that. A collector sends fewer.
_NOTICES = 20
_NOTICES_PER_SECOND = 5


class Notices:
    """Prints lines; leaves out lines beyond the rate limit, and counts them."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._since = clock()
        self._allowed = float(_NOTICES)
        self._left_out = 0

    def show(self, line: str) -> None:
        now = self._clock()
        self._allowed = min(_NOTICES, self._allowed + (now - self._since) * _NOTICES_PER_SECOND)
        self._since = now
        if self._allowed < 1:
            self._left_out += 1
            return
        self._allowed -= 1
        if self._left_out:
            warn(f"{plural(self._left_out, 'notice')} of the collector left out: too many at a time")
            self._left_out = 0
        status(line)
