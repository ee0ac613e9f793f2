"""Histograms as tables, bars and JSON."""

from __future__ import annotations

import json
import random
import re

import pytest

from jcollect.errors import JcollectError
from jcollect.exponential_histogram import ERROR_PERCENT
from jcollect.hub.items import ThrottledCalls
from jcollect.probes.description import ProbeDescription
from jcollect.view import counted_methods
from jcollect.view.counted_methods import CountedMethods
from jcollect.view.histogram_lines import bars, error_line, histogram_table, json_line
from jprobe.v1 import probe_pb2
from reference_histogram import histogram_of
from served import described

RETURN, THROW = probe_pb2.PROBE_KIND_RETURN, probe_pb2.PROBE_KIND_THROW


def ends_of(number: int, pid: int = 4711, **changes: object) -> list[ProbeDescription]:
    """Returns the probes at which the calls of a method end; IDs 2 * number and 2 * number + 1."""
    (probe,) = described(1, number)
    return [
        probe._replace(id=2 * number + i, pid=pid, kind=kind, **changes)  # type: ignore[arg-type]
        for i, kind in enumerate((RETURN, THROW))
    ]


def test_a_method_has_the_calls_that_returned_and_those_that_threw() -> None:
    methods = CountedMethods()
    methods.describe([*ends_of(0), *ends_of(1), *ends_of(2)])
    methods.add([(0, histogram_of([100, 200])), (1, histogram_of([5000])), (4, histogram_of([7] * 9))])
    most, other = methods.called()
    assert (most.probe.class_name, most.calls.count, most.errors) == ("com.acme.orders.Order2Service", 9, 0)
    assert (other.calls, other.errors) == (histogram_of([100, 200, 5000]), 1)
    methods.add([(1, histogram_of([1]))])
    assert (methods.calls, methods.called()[1].errors) == (13, 2)
    methods.clear()
    assert (methods.calls, methods.called(), methods.count) == (0, [], 3)


def test_throttled_methods_have_lines_of_json_and_are_named_below_tables() -> None:
    methods = CountedMethods()
    methods.describe([*ends_of(0), *ends_of(1)])
    assert error_line(methods.throttled).endswith("; CALLS, ERRORS and MEAN are exact")
    methods.add([(0, histogram_of([100]))], [ThrottledCalls(0, 0, 1_500_000_000)])
    assert methods.throttled == "those of 1 method during 1.5 s"
    for probe, calls, nanos in ((0, 0, 500_000_000), (1, 0, 2_000_000_000), (2, 1_233, 0), (3, 1, 0)):
        methods.add((), [ThrottledCalls(probe, calls, nanos)])
    first, second = (json_line(each, 5, 9, False) for each in methods.called())
    assert (first["calls"], first["throttled"], first["throttled_ns"]) == (1, 0, 2_000_000_000)
    assert (second["calls"], second["throttled"], second["throttled_ns"]) == (0, 1_234, 0)
    assert [line.calls for line in methods.methods()] == [1]
    left_out = "those of 2 methods during up to 2.0 s, and 1,234 more"
    assert error_line(methods.throttled).endswith(
        f"; CALLS, ERRORS and MEAN leave out throttled calls: {left_out}"
    )
    methods.clear()
    assert not methods.throttled
    methods.add((), [ThrottledCalls(2, 7, 0)])
    assert methods.throttled == "7 of 1 method"


def test_the_line_of_a_method_in_top_is_within_the_error_of_its_percentiles() -> None:
    numbers = random.Random(3)
    durations = sorted(int(2 ** numbers.uniform(0, 35)) for _ in range(1000))
    methods = CountedMethods()
    methods.describe(ends_of(0))
    methods.add([(0, histogram_of(durations))])
    (line,) = methods.methods()
    assert (line.calls, line.total, line.mean) == (1000, sum(durations), sum(durations) / 1000)
    for shown, exact in ((line.p50, durations[499]), (line.p99, durations[989]), (line.max, durations[-1])):
        assert shown == pytest.approx(exact, rel=ERROR_PERCENT / 100)


def test_overloads_and_processes_are_distinguished() -> None:
    methods = CountedMethods()
    methods.describe(
        [*ends_of(0), *ends_of(1, class_name="com.acme.orders.Order0Service", method_descriptor="()V"),
         *ends_of(2, pid=4712, class_name="com.acme.orders.Order0Service")]
    )  # fmt: skip
    methods.add([(number, histogram_of([5])) for number in (0, 2, 4)])
    assert methods.has_several_processes
    lines = histogram_table(methods.called(), None, methods.has_several_processes)
    assert lines[0].endswith("ERRORS     PID  METHOD")
    assert [line.split()[-2:] for line in lines[1:]] == [
        ["4712", "com.acme.orders.Order0Service#place"],
        ["4711", "com.acme.orders.Order0Service#place()V"],
        ["4711", "com.acme.orders.Order0Service#place(J)V"],
    ]


def test_too_many_methods_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counted_methods, "MOST_METHODS", 2)
    with pytest.raises(JcollectError, match="more than 2 methods"):
        CountedMethods().describe([*ends_of(0), *ends_of(1), *ends_of(2)])


@pytest.mark.parametrize("width", [100, 140, None])
def test_a_table_fits_the_terminal(width: int | None) -> None:
    methods = CountedMethods()
    methods.describe(ends_of(0, class_name="com.acme.some.rather.long.package.Of" + "Order" * 30))
    methods.add([(0, histogram_of([1_500] * 104_729))])
    head, line = histogram_table(methods.called(), width)
    assert head.split() == ["CALLS", "MEAN", "P50", "P90", "P99", "P99.9", "MAX", "ERRORS", "METHOD"]
    assert width is None or len(line) <= width
    assert line.startswith("104,729  1.50us ")


def test_bars_hold_every_call_in_ranges_that_do_not_overlap() -> None:
    numbers = random.Random(5)
    for spread in (0.01, 1, 10, 45):
        durations = [int(2 ** numbers.uniform(3, 3 + spread)) for _ in range(500)] + [0]
        lines = bars(histogram_of(durations))
        assert len(lines) <= 25
        found = [re.fullmatch(r" *(\S+)(?: to (\S+))?  +([\d,]+)(?:  (@+))?", line) for line in lines]
        assert all(found)
        assert sum(int(match[3].replace(",", "")) for match in found if match) == 501
        assert max(len(match[4] or "") for match in found if match) == 40
    assert bars(histogram_of([])) == []
    assert bars(histogram_of([0, 0])) == ["0ns  2  " + "@" * 40]


def test_json_has_all_buckets_and_numbers_of_64_bits_as_strings_if_asked_for() -> None:
    methods = CountedMethods()
    methods.describe(ends_of(0))
    methods.add([(0, histogram_of([100, 0])), (1, histogram_of([5000]))])
    (method,) = methods.called()
    line = json.loads(json.dumps(json_line(method, 1, 2, quotes_64_bits=False)))
    assert (line["calls"], line["errors"], line["sum_ns"], line["zero_count"]) == (3, 1, 5100, 1)
    assert sum(line["bucket_counts"]) + line["zero_count"] == line["calls"]
    assert list(line)[:6] == ["start_unix_ns", "end_unix_ns", "pid", "class", "method", "descriptor"]
    quoted = json_line(method, 1, 2, quotes_64_bits=True)
    assert (quoted["calls"], quoted["max_ns"], quoted["pid"]) == ("3", str(line["max_ns"]), 4711)
    assert set(map(type, quoted["bucket_counts"])) == {str}
