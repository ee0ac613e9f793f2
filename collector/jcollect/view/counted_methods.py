"""Sums up the histograms of probes by method, for `jcollect top` and `jcollect hist`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from jcollect.console import plural
from jcollect.errors import JcollectError
from jcollect.exponential_histogram import NOTHING, Bounds, ExponentialHistogram
from jcollect.hub.items import ThrottledCalls
from jcollect.probes.description import Described
from jcollect.probes.probe import THROW, TIMED_KINDS
from jcollect.view.summary import MOST_METHODS, MethodId, MethodSummary, key_of, names_of

_NO_BOUNDS = Bounds(0, 0.0, 0)


def throttled_text(methods: Sequence[tuple[int, int]]) -> str:
    """Returns which calls of throttled methods are not counted, given as calls and ns; empty for none."""
    if not methods:
        return ""
    whose = plural(len(methods), "method")
    calls = sum(calls for calls, _ in methods)
    longest = max(nanos for _, nanos in methods)
    if not longest:
        return f"{calls:,} of {whose}"
    up_to = "up to " if len(methods) > 1 else ""
    more = f", and {calls:,} more" if calls else ""
    return f"those of {whose} during {up_to}{longest / 1e9:.1f} s{more}"


@dataclass(frozen=True)
class CountedMethod:
    """The calls of one method of one process, those that threw included. `probe` is one of its probes."""

    name: str
    probe: Described
    calls: ExponentialHistogram
    errors: int
    # Calls that are not counted because of the overhead limit, and the time in ns during which the method was
    # unwoven for that reason: calls within it are unknown.
    throttled: int = 0
    throttled_ns: int = 0

    def percentiles(self, fractions: Iterable[float]) -> list[Bounds]:
        """Returns each percentile. Without calls, all are 0."""
        return [found or _NO_BOUNDS for found in self.calls.percentiles(fractions)]

    def summary(self) -> MethodSummary:
        """Returns the line of the method in a table."""
        p50, p99, longest = self.percentiles((0.5, 0.99, 1.0))
        return MethodSummary(
            self.name,
            self.calls.count,
            self.errors,
            p50.value,
            p99.value,
            self.calls.total,
            round(longest.value),
            self.probe.pid,
        )


class CountedMethods:
    """The calls of methods, by the IDs of their probes."""

    def __init__(self) -> None:
        self._methods: dict[MethodId, int] = {}
        self._probes: list[Described] = []
        self._names: list[str] = []
        # The method of each probe ID, and whether the probe is that of exceptions.
        self._of_probe: dict[int, tuple[int, bool]] = {}
        self._calls: dict[int, ExponentialHistogram] = {}
        self._errors: dict[int, int] = {}
        # Calls and ns by method, and whether the probe is that of exceptions.
        self._throttled: dict[tuple[int, bool], tuple[int, int]] = {}

    @property
    def has_several_processes(self) -> bool:
        return len({pid for pid, *_ in self._methods}) > 1

    @property
    def count(self) -> int:
        """Number of methods, called or not."""
        return len(self._methods)

    def describe(self, probes: Iterable[Described]) -> None:
        """Adds probes. Raises JcollectError for too many methods."""
        for probe in probes:
            if probe.kind not in TIMED_KINDS:
                continue
            method = self._methods.setdefault(key_of(probe), len(self._methods))
            if method == len(self._probes):
                self._probes.append(probe)
            self._of_probe[probe.id] = (method, probe.kind == THROW)
        if len(self._methods) > MOST_METHODS:
            raise JcollectError(
                f"cannot sum up the calls of more than {MOST_METHODS:,} methods; select fewer with --probe"
            )
        self._names = names_of(list(self._methods))

    def add(
        self,
        histograms: Iterable[tuple[int, ExponentialHistogram]],
        throttled: Iterable[ThrottledCalls] = (),
    ) -> None:
        """Adds the calls of probes; skips probes of kinds that only a later version knows."""
        for number, histogram in histograms:
            if number in self._of_probe:
                method, is_throw = self._of_probe[number]
                self._calls[method] = self._calls.get(method, NOTHING) + histogram
                if is_throw:
                    self._errors[method] = self._errors.get(method, 0) + histogram.count
        for each in throttled:
            if each.probe in self._of_probe:
                key = self._of_probe[each.probe]
                calls, nanos = self._throttled.get(key, (0, 0))
                self._throttled[key] = calls + each.throttled, nanos + each.throttled_ns

    def clear(self) -> None:
        """Resets all calls, and keeps the methods."""
        self._calls = {}
        self._errors = {}
        self._throttled = {}

    def called(self) -> list[CountedMethod]:
        """Returns the methods that were called or throttled, in descending order of calls."""
        numbers = [method for method, calls in self._calls.items() if calls.count]
        throttled = {method for method, _ in self._throttled}
        found = [
            CountedMethod(
                self._names[method],
                self._probes[method],
                self._calls.get(method, NOTHING),
                self._errors.get(method, 0),
                *self._throttled_of(method),
            )
            for method in [*numbers, *sorted(throttled.difference(numbers))]
        ]
        return sorted(found, key=lambda each: (-each.calls.count, each.name, each.probe.pid))

    def methods(self) -> Sequence[MethodSummary]:
        """Returns the lines of the methods that were called."""
        return [each.summary() for each in self.called() if each.calls.count]

    @property
    def throttled(self) -> str:
        """The calls that are not counted because of the overhead limit, as `throttled_text` states them."""
        return throttled_text(
            [self._throttled_of(method) for method in {method for method, _ in self._throttled}]
        )

    def _throttled_of(self, method: int) -> tuple[int, int]:
        """Returns the throttled calls, and the time in ns, which both probes of a method have."""
        found = [self._throttled.get((method, is_throw), (0, 0)) for is_throw in (False, True)]
        return sum(calls for calls, _ in found), max(nanos for _, nanos in found)

    @property
    def calls(self) -> int:
        """Number of calls of all methods."""
        return sum(each.count for each in self._calls.values())
