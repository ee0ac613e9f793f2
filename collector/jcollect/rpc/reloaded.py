"""A value of files that is read again after they have changed, without a restart."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from jcollect.console import warn
from jcollect.errors import JcollectError
from jcollect.printable import printable
from jcollect.rpc.own_file import signature_of

_CHECK_SECONDS = 1.0
_MOST_SHOWN = 300

_Value = TypeVar("_Value")


class Reloaded(Generic[_Value]):
    """Keeps the last good value if a new version of the files is broken, and warns once. For any thread."""

    def __init__(
        self, paths: Sequence[str], load: Callable[[], _Value], what: str, seconds: float = _CHECK_SECONDS
    ) -> None:
        """`what` names the value in a warning, as in "the certificate". Looks at the files at most once per
        `seconds`. Raises JcollectError if they are broken from the start."""
        self._paths = paths
        self._load = load
        self._what = what
        self._seconds = seconds
        self._lock = threading.Lock()
        self._checked = time.monotonic()
        # Before they are read: a change in between counts as a later one.
        self._signature = self._signatures()
        self._problem = ""
        self._value = load()

    def current(self) -> _Value:
        """Returns the value of the newest good version."""
        now = time.monotonic()
        with self._lock:
            if now - self._checked >= self._seconds:
                self._checked = now
                self._check()
            return self._value

    def _check(self) -> None:
        signature = self._signatures()
        if signature == self._signature:
            # A second look: files that belong together are replaced one after the other.
            if self._problem:
                warn(f"{self._problem}; {self._what} as read before still holds")
                self._problem = ""
            return
        self._signature = signature
        self._problem = ""
        try:
            self._value = self._load()
        except JcollectError as error:
            self._problem = error.message
        except Exception as error:
            # A broken file must not end the collector, whatever reads it.
            self._problem = f"cannot read {self._what} again: {printable(repr(error)[:_MOST_SHOWN])}"

    def _signatures(self) -> list[object]:
        return [signature_of(path) for path in self._paths]
