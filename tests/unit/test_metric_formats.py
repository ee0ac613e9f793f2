"""The formats of Prometheus: buckets with exact bounds, escaped labels, and the choice between formats."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jcollect.exponential_histogram import NOTHING
from jcollect.metrics.families import COUNTER, GAUGE, HISTOGRAM, Family, Sample
from jcollect.web.accept import PROTOBUF, TEXT, Format, format_for
from jcollect.web.protobuf_format import protobuf_of
from jcollect.web.text_format import BOUNDS, cumulative, text_of
from metrics_text import PROTOBUF as ACCEPT_PROTOBUF
from metrics_text import buckets_of, families_in, samples_of
from reference_histogram import histogram_of

DURATIONS = st.lists(
    st.one_of(
        st.integers(0, 300), st.integers(0, 1 << 40), st.sampled_from([0, 1, 64, 65, 1 << 36, (1 << 36) + 1])
    )
)


@settings(max_examples=200, deadline=None)
@given(DURATIONS)
def test_native_buckets_have_the_durations_between_their_bounds(durations: list[int]) -> None:
    family = Family("d", HISTOGRAM, "Durations.", "ns", [Sample((("a", "b"),), histogram_of(durations))])
    (metric,) = families_in(protobuf_of([family]))["d"].metric
    histogram = metric.histogram
    assert [(label.name, label.value) for label in metric.label] == [("a", "b")]
    assert (histogram.schema, histogram.sample_count, histogram.sample_sum) == (
        4,
        len(durations),
        sum(durations),
    )
    assert histogram.zero_count == durations.count(0)
    # Prometheus' bucket i: 2^((i-1)/16) < duration <= 2^(i/16), in integers.
    expected: dict[int, int] = {}
    for duration in filter(None, durations):
        index = (duration**16 - 1).bit_length()
        expected[index] = expected.get(index, 0) + 1
    assert buckets_of(histogram) == expected
    # Without any span, Prometheus takes it for a classic one.
    assert histogram.positive_span


@settings(max_examples=200, deadline=None)
@given(DURATIONS)
def test_classic_buckets_are_exact(durations: list[int]) -> None:
    assert cumulative(histogram_of(durations)) == [sum(d <= bound for d in durations) for bound in BOUNDS]


def test_a_histogram_in_text_is_cumulative() -> None:
    sample = Sample((("method", "place"),), histogram_of([0, 64, 65, 1 << 37]))
    found = samples_of(text_of([Family("d", HISTOGRAM, "Durations.", "ns", [sample])]))
    labels = (("method", "place"),)
    assert found[("d_bucket", (*labels, ("le", "64")))] == 2
    assert found[("d_bucket", (*labels, ("le", "256")))] == 3
    assert found[("d_bucket", (*labels, ("le", "68719476736")))] == 3
    assert found[("d_bucket", (*labels, ("le", "+Inf")))] == 4
    assert found[("d_count", labels)] == 4
    assert found[("d_sum", labels)] == 64 + 65 + (1 << 37)


def test_distant_buckets_are_spans_of_their_own() -> None:
    family = Family("d", HISTOGRAM, "x", "ns", [Sample((), histogram_of([2, 2, 1 << 20, 1 << 30]))])
    histogram = families_in(protobuf_of([family]))["d"].metric[0].histogram
    assert [(span.offset, span.length) for span in histogram.positive_span] == [(16, 1), (303, 1), (159, 1)]
    assert list(histogram.positive_delta) == [2, -1, 0]


def test_labels_and_help_are_escaped() -> None:
    family = Family("m", GAUGE, "a\nb\\c", "", [Sample((("x", 'a"b\\c\nd'),), 1.5)])
    assert text_of([family]).decode() == ('# HELP m a\\nb\\\\c\n# TYPE m gauge\nm{x="a\\"b\\\\c\\nd"} 1.5\n')
    (metric,) = families_in(protobuf_of([family]))["m"].metric
    assert (metric.label[0].value, metric.gauge.value) == ('a"b\\c\nd', 1.5)


def test_zeros_are_values_and_families_without_samples_are_left_out() -> None:
    families = [
        Family("c_total", COUNTER, "c", "", [Sample((), 0)]),
        Family("none", GAUGE, "n"),
        Family("h", HISTOGRAM, "h", "ns", [Sample((), NOTHING)]),
    ]
    found = families_in(protobuf_of(families))
    assert set(found) == {"c_total", "h"}
    assert found["c_total"].metric[0].HasField("counter")
    assert found["c_total"].type == 0
    assert samples_of(text_of(families))[("c_total", ())] == 0


def test_large_integers_are_exact() -> None:
    assert b"\nc 18446744073709551617\n" in text_of(
        [Family("c", COUNTER, "c", "", [Sample((), (1 << 64) + 1)])]
    )


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", TEXT),
        ("*/*", TEXT),
        (ACCEPT_PROTOBUF, PROTOBUF),
        (
            "application/vnd.google.protobuf;encoding=delimited;proto=io.prometheus.client.MetricFamily;q=0.3",
            PROTOBUF,
        ),
        ("application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=text", TEXT),
        ("application/vnd.google.protobuf;proto=other;encoding=delimited", TEXT),
        ("text/plain;version=0.0.4;q=0.9," + ACCEPT_PROTOBUF.replace("delimited", "delimited;q=0.8"), TEXT),
        (ACCEPT_PROTOBUF.replace("delimited,", "delimited;q=0,"), TEXT),
        ("application/openmetrics-text;version=1.0.0", TEXT),
        ("a;b;;=;q=x,,;,/", TEXT),
        ("q=nan;q=nan,*/*;q=inf", TEXT),
    ],
)
def test_the_format_is_the_acceptable_one_with_the_greatest_weight(accept: str, expected: Format) -> None:
    assert format_for(accept) == expected
