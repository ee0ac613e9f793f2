"""One process of the direct lane: the numbers of its probes, and its pool while probes are armed."""

from __future__ import annotations

import errno
import threading
import time
from collections.abc import Iterator, Sequence

from jcollect.errors import JcollectError, NoFilesError, lacks_files
from jcollect.probes.direct_site import slot_of
from jcollect.probes.overhead import find_guarded, read_overhead
from jcollect.probes.site import Site
from jcollect.probes.stub_library import StubLibrary
from jcollect.procfs.process import Process
from jcollect.sources.base import TakenError, UnusableError
from jcollect.sources.direct.numbers import Numbers
from jcollect.sources.direct.pool import InUseError, Pool, identity_of
from jcollect.sources.direct.pools import PoolSet

# Maximum time for an agent to create its rings. It polls the semaphores every few ms, unless it is weaving.
_CREATE_SECONDS = 2.0
_POLL_SECONDS = 0.002
# Time after arming in which the agent may still replace rings that it was about to close.
_REPLACE_SECONDS = 3.0


class Traced:
    """A process, for one thread at a time except for `end`. The source's lock protects the pools, and
    what the drain reads."""

    def __init__(self, process: Process, pools: PoolSet, lock: threading.Lock) -> None:
        self.process = process
        self.numbers = Numbers()
        self._pools = pools
        self._lock = lock
        self._library: StubLibrary | None = None
        self._pool: Pool | None = None
        self._armed = 0
        self._armed_last = 0.0

    @property
    def is_over(self) -> bool:
        """True if the process has exited, and nothing of it is armed."""
        return not self._armed and self.process.has_exited

    def follow(self, libraries: Sequence[StubLibrary]) -> None:
        """Takes note of the libraries, and of rings that were replaced."""
        self._library = find_guarded(libraries)
        if self._armed and time.monotonic() - self._armed_last < _REPLACE_SECONDS:
            try:
                self._take_published(is_new=True)
            except (OSError, JcollectError):
                return  # The next call tries again.

    def assign(
        self, ids: Sequence[int], sites: Sequence[Site], library: StubLibrary
    ) -> Iterator[tuple[int, int]]:
        """Lets the numbers of these probes stand for their IDs, and yields both. The caller holds the lock.
        Raises UnusableError."""
        first = library.image.manifest.first_probe
        try:
            for assigned, site in zip(ids, sites, strict=True):
                number = first + slot_of(site, library)
                self.numbers.set(number, assigned)
                yield number, assigned
        except ValueError as error:
            raise self._unusable(str(error)) from None
        finally:
            # Also those that were replaced, and are not read to the end yet.
            self._pools.update(self.numbers)

    def prepare(self) -> None:
        """Opens the rings that there are before probes are armed, so that only later events count. Raises
        UnusableError."""
        with self._lock:
            self._armed += 1
            self._armed_last = time.monotonic()
            if self._pool is not None and not self._pools.keep(self._pool):
                self._pool = None
        try:
            self._take_published(is_new=False)
        except InUseError:
            self.end()
            raise self._in_use() from None
        except OSError as error:
            if lacks_files(error):
                self.end()
                raise NoFilesError(self._what) from None
            # The agent may be about to close them.
        except BaseException:
            self.end()
            raise

    def await_pool(self) -> None:
        """Waits until the agent has created its rings, and opens them. Raises UnusableError, NoFilesError."""
        deadline = time.monotonic() + _CREATE_SECONDS
        problem = f"its agent has created no rings within {_CREATE_SECONDS:g} s"
        while time.monotonic() < deadline:
            try:
                if self._take_published(is_new=True):
                    return
            except InUseError:
                raise self._in_use() from None
            except OSError as error:
                if lacks_files(error):
                    raise NoFilesError(self._what) from None
                # Unless the agent has closed them just now, and creates others.
                problem = error.strerror or str(error)
                if error.errno == errno.EBADMSG or self.process.has_exited:
                    break
            time.sleep(_POLL_SECONDS)
        raise self._unusable(problem)

    def _take_published(self, is_new: bool) -> bool:
        """Opens the rings that the agent has published, unless they are open; returns false if there are
        none. Raises OSError."""
        library = self._library
        if library is None:
            raise self._unusable("it has no agent")
        number = read_overhead(library).rings
        if number is None:
            return False
        pool = self._pool
        if pool is not None and identity_of(self.process, number) == pool.identity:
            return True
        # Rings that were created after these probes were armed hold nothing else.
        opened = Pool.open(self.process, number, self.numbers, is_new)
        with self._lock:
            if pool is not None:
                self._pools.end(pool)
            self._pool = opened
            opened.update()
            self._pools.add(opened)
        return True

    def end(self) -> None:
        """Takes note that some of the probes are disarmed, and write nothing any more. For any thread."""
        with self._lock:
            self._armed -= 1
            if not self._armed and self._pool is not None:
                self._pools.end(self._pool)

    def _in_use(self) -> UnusableError:
        return TakenError(f"another jcollect reads the direct lane of PID {self.process.pid}")

    @property
    def _what(self) -> str:
        return f"open the rings of PID {self.process.pid}"

    def _unusable(self, problem: str) -> UnusableError:
        return UnusableError(f"cannot read the direct lane of PID {self.process.pid}: {problem}")
