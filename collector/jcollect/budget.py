"""Limits the CPU time that jcollect spends on one process, on new processes, and on all expensive ones."""

from __future__ import annotations

import threading
import time

# Rate in seconds of CPU time per second, and the maximum balance, in seconds of CPU time.
PROCESS_RATE, PROCESS_CREDIT = 0.02, 2.0
# A process that uses more than this is expensive. All expensive processes share one budget.
CHEAP_RATE, CHEAP_CREDIT = 0.003, 1.0
EXPENSIVE_RATE, EXPENSIVE_CREDIT = 0.12, 4.0
# Budget for the new processes of one user.
NEW_RATE, NEW_CREDIT = 0.08, 8.0
_NEW_SECONDS = 10.0
# Beyond this number of users, drop the buckets that are full.
_MOST_USERS = 1024


class Bucket:
    """A token bucket: fills at a constant rate, up to `credit`. The balance can become negative."""

    def __init__(self, rate: float, credit: float) -> None:
        self._rate = rate
        self._credit = credit
        self._left = credit
        self._at = float("-inf")

    def left(self, now: float) -> float:
        """Returns the balance."""
        if now > self._at:
            self._left = min(self._credit, self._left + (now - self._at) * self._rate)
            self._at = now
        return self._left

    def take(self, amount: float, now: float) -> None:
        self._left = self.left(now) - amount

    def is_full(self, now: float) -> bool:
        return self.left(now) >= self._credit


class Budgets:
    """The budgets of all processes. Cheap processes never wait for expensive ones. For any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._new: dict[int, Bucket] = {}
        self._expensive = Bucket(EXPENSIVE_RATE, EXPENSIVE_CREDIT)

    def of_process(self, uid: int) -> Budget:
        return Budget(self, uid)

    def allows_new(self, uid: int) -> bool:
        """Returns true if there is CPU time for another new process of a user."""
        with self._lock:
            now = time.monotonic()
            return self._of_new(uid, now).left(now) > 0

    def charge_new(self, uid: int, seconds: float) -> None:
        """Charges CPU time that a new process of a user used."""
        with self._lock:
            now = time.monotonic()
            self._of_new(uid, now).take(seconds, now)

    def allows_expensive(self) -> bool:
        """Returns true if there is CPU time for expensive processes."""
        with self._lock:
            return self._expensive.left(time.monotonic()) > 0

    def charge_expensive(self, seconds: float) -> None:
        """Charges CPU time that an expensive process used."""
        with self._lock:
            self._expensive.take(seconds, time.monotonic())

    def _of_new(self, uid: int, now: float) -> Bucket:
        if uid not in self._new:
            if len(self._new) >= _MOST_USERS:
                self._new = {each: of for each, of in self._new.items() if not of.is_full(now)}
            self._new[uid] = Bucket(NEW_RATE, NEW_CREDIT)
        return self._new[uid]


class Budget:
    """The budget of one process. For one thread at a time."""

    def __init__(self, budgets: Budgets, uid: int) -> None:
        self._budgets = budgets
        self._uid = uid
        self._created = time.monotonic()
        self._all = Bucket(PROCESS_RATE, PROCESS_CREDIT)
        self._cheap = Bucket(CHEAP_RATE, CHEAP_CREDIT)

    def allows(self) -> bool:
        """Returns true if there is CPU time for the process now."""
        now = time.monotonic()
        if self._all.left(now) <= 0 or (self._is_new(now) and not self._budgets.allows_new(self._uid)):
            return False
        return self._cheap.left(now) > 0 or self._budgets.allows_expensive()

    def charge(self, seconds: float) -> None:
        """Charges CPU time that the process used."""
        now = time.monotonic()
        if self._is_new(now):
            self._budgets.charge_new(self._uid, seconds)
        self._all.take(seconds, now)
        if self._cheap.left(now) > 0:
            self._cheap.take(seconds, now)
        else:
            self._budgets.charge_expensive(seconds)

    def _is_new(self, now: float) -> bool:
        return now - self._created < _NEW_SECONDS
