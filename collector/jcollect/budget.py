"""Limits the CPU time spent on one process, on the new processes of a user, and on all expensive ones."""

from __future__ import annotations

import threading
import time

# Rate in seconds of CPU time per second, and the most that can be saved up.
PROCESS_RATE, PROCESS_CREDIT = 0.02, 2.0
# A process that uses more than this is hungry. All hungry processes share one allowance.
MODEST_RATE, MODEST_CREDIT = 0.003, 1.0
HUNGRY_RATE, HUNGRY_CREDIT = 0.12, 4.0
# Allowance for the new processes of one user.
NEW_RATE, NEW_CREDIT = 0.08, 8.0
_NEW_SECONDS = 10.0
# Beyond this many users, those whose credit is full are forgotten.
_MOST_USERS = 1024


class Bucket:
    """Fills at a rate, up to a credit. Taking may push it below zero; it then needs time to recover."""

    def __init__(self, rate: float, credit: float) -> None:
        self._rate = rate
        self._credit = credit
        self._left = credit
        self._at = float("-inf")

    def left(self, now: float) -> float:
        """Returns what may be taken."""
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
        self._hungry = Bucket(HUNGRY_RATE, HUNGRY_CREDIT)

    def of_process(self, uid: int) -> Budget:
        return Budget(self, uid)

    def may_meet(self, uid: int) -> bool:
        """Returns true if a new process of that user may be served."""
        with self._lock:
            now = time.monotonic()
            return self._of_new(uid, now).left(now) > 0

    def meet(self, uid: int, seconds: float) -> None:
        """Charges CPU time that a new process of that user used."""
        with self._lock:
            now = time.monotonic()
            self._of_new(uid, now).take(seconds, now)

    def may_feed(self) -> bool:
        """Returns true if a hungry process may be served."""
        with self._lock:
            return self._hungry.left(time.monotonic()) > 0

    def feed(self, seconds: float) -> None:
        """Charges CPU time that a hungry process used."""
        with self._lock:
            self._hungry.take(seconds, time.monotonic())

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
        self._met = time.monotonic()
        self._all = Bucket(PROCESS_RATE, PROCESS_CREDIT)
        self._modest = Bucket(MODEST_RATE, MODEST_CREDIT)

    def may(self) -> bool:
        """Returns true if the process may be served now."""
        now = time.monotonic()
        if self._all.left(now) <= 0 or (self._is_new(now) and not self._budgets.may_meet(self._uid)):
            return False
        return self._modest.left(now) > 0 or self._budgets.may_feed()

    def charge(self, seconds: float) -> None:
        """Charges CPU time to it."""
        now = time.monotonic()
        if self._is_new(now):
            self._budgets.meet(self._uid, seconds)
        self._all.take(seconds, now)
        if self._modest.left(now) > 0:
            self._modest.take(seconds, now)
        else:
            self._budgets.feed(seconds)

    def _is_new(self, now: float) -> bool:
        return now - self._met < _NEW_SECONDS
