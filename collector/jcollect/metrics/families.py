"""The metrics of a collector as plain values: names, labels and numbers, as Prometheus has them.

Durations of calls are in nanoseconds, because their buckets are: 10^9 is no power of 2^(1/16), so that
buckets of seconds would have other bounds. All other times are in seconds.
"""

from __future__ import annotations

import platform
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

from jcollect.exponential_histogram import ExponentialHistogram
from jcollect.hub.accounts import Totals
from jcollect.metrics.call_totals import Calls, MethodKey
from jcollect.metrics.readings import Reading
from jcollect.session.status import Overhead, ProcessStatus

COUNTER, GAUGE, HISTOGRAM = "counter", "gauge", "histogram"
DURATION = "jprobe_call_duration_nanoseconds"
# Processes that have metrics of their own; those that were attached to first.
MOST_PROCESSES = 500
# The method that stands for all without a series.
OTHER = MethodKey(0, "", "", "other", "")
_SECOND = 1e9
_PERCENT = 100.0
# Nanoseconds over which Overhead.recent_nanos is summed up.
_RECENT_NANOS = 5e9

Labels = tuple[tuple[str, str], ...]
Number = int | float


@dataclass(frozen=True)
class Sample:
    """One value. `start_unix_nanos` is when a counter or a histogram began."""

    labels: Labels
    value: Number | ExponentialHistogram
    start_unix_nanos: int = 0


@dataclass(frozen=True)
class Family:
    """A metric. `unit` is that of UCUM, as in "ns" and "By"."""

    name: str
    kind: str
    help: str
    unit: str = ""
    samples: list[Sample] = field(default_factory=list)


def families_of(reading: Reading) -> list[Family]:
    """Returns all metrics."""
    return [
        *_call_families(reading),
        *_hit_families(reading),
        *_process_families(reading.status.processes),
        *_collector_families(reading),
        *_export_families(reading),
    ]


def _call_families(reading: Reading) -> Iterator[Family]:
    calls = reading.calls
    durations = Family(
        DURATION,
        HISTOGRAM,
        "Durations of the calls of a method in ns, by outcome: return or throw. The method other stands "
        "for all that "
        "have no series of their own.",
        "ns",
    )
    for each in calls.series:
        durations.samples.extend(_duration_samples(each.key, each.calls))
    durations.samples.extend(_duration_samples(OTHER, calls.other))
    yield durations
    yield _gauge("jprobe_methods", "Methods that were called and counted.", calls.methods)
    yield _gauge("jprobe_method_series", "Methods that have series of their own.", len(calls.series))
    yield _gauge(
        "jprobe_method_series_limit", "Maximum number of these (--metrics-methods).", reading.most_methods
    )
    yield _gauge(
        "jprobe_hidden_calls",
        "Calls in series that have ended: of exited processes, and of methods with few calls.",
        calls.hidden,
    )
    yield _gauge(
        "jprobe_call_durations_available",
        "1 if programs count durations of calls; 0 if they cannot, as jcollect has printed.",
        int(not reading.problem),
    )


def _duration_samples(key: MethodKey, calls: Calls) -> Iterator[Sample]:
    labels = (
        ("pid", str(key.pid) if key.pid else ""),
        ("process", key.process),
        ("class", key.class_name),
        ("method", key.method),
        ("descriptor", key.descriptor),
    )
    for outcome, histogram in (("return", calls.returned), ("throw", calls.threw)):
        # A method that has never thrown needs no series for it.
        if histogram.count or outcome == "return":
            yield Sample((*labels, ("outcome", outcome)), histogram, calls.start_unix_nanos)


def _hit_families(reading: Reading) -> Iterator[Family]:
    status, start = reading.status, reading.status.started_unix_nanos
    yield Family(
        "jprobe_hits_total",
        COUNTER,
        "Calls that have reached armed probes, by account. Exact, exited processes included.",
        "{hit}",
        list(_accounts((), status.counts, start)),
    )
    yield _counter(
        "jprobe_throttled_seconds_total",
        "Time for which probes were unwoven to keep the overhead limit, summed over all probes.",
        status.counts.throttled_ns / _SECOND,
        start,
        "s",
    )
    yield _counter(
        "jprobe_out_of_order_events_total",
        "Events delivered after later ones of other threads.",
        status.out_of_order,
        start,
        "{event}",
    )
    yield _counter(
        "jprobe_subscriber_lost_events_total",
        "Delivered events that slow subscribers have lost, disconnected ones included.",
        reading.lost_by_subscribers,
        start,
        "{event}",
    )
    if status.recorder is not None:
        done = status.recorder[1]
        yield _counter(
            "jprobe_recorder_deliveries_total",
            "Triggers of the flight recorder.",
            done.deliveries,
            start,
            "{trigger}",
        )
        yield _counter(
            "jprobe_recorder_overwritten_events_total",
            "Events that the flight recorder did not keep.",
            done.overwritten,
            start,
            "{event}",
        )


def _accounts(labels: Labels, counts: Totals, start: int) -> Iterator[Sample]:
    for account, stage, value in (
        ("delivered", "", counts.delivered),
        ("filtered", "", counts.filtered),
        ("throttled", "", counts.throttled),
        ("counted", "", counts.counted),
        ("lost", "kernel_ring", counts.lost_in_ring),
        ("lost", "direct_ring", counts.lost_in_direct_rings),
        ("lost", "collector", counts.lost_in_collector),
    ):
        yield Sample((*labels, ("account", account), ("stage", stage)), value, start)


def _process_families(processes: Sequence[ProcessStatus]) -> Iterator[Family]:
    # A process may have the PID of one that is just leaving.
    by_pid = {each.pid: each for each in processes}
    shown = list(islice(by_pid.values(), MOST_PROCESSES))
    named = [((("pid", str(each.pid)), ("process", each.name)), each) for each in shown]
    yield Family(
        "jprobe_process_hits_total",
        COUNTER,
        "As jprobe_hits_total, of one process.",
        "{hit}",
        [sample for labels, each in named for sample in _accounts(labels, each.counts, 0)],
    )
    for name, text, probes in (
        ("jprobe_probes", "Probes that have IDs.", [each.probes for each in shown]),
        ("jprobe_armed_probes", "Probes that fire.", [each.armed for each in shown]),
        (
            "jprobe_throttled_probes",
            "Probes that the overhead limit has unwoven.",
            [each.throttled for each in shown],
        ),
        ("jprobe_direct_probes", "Probes whose events need no trap.", [each.direct_probes for each in shown]),
    ):
        samples = [Sample(labels, number) for (labels, _), number in zip(named, probes, strict=True)]
        yield Family(name, GAUGE, text, "{probe}", samples)
    costs = [(labels, each.overhead) for labels, each in named if each.overhead is not None]
    yield from _overhead_families(costs)
    yield _gauge("jprobe_processes", "Attached processes.", len(by_pid))
    yield _gauge(
        "jprobe_processes_left_out",
        f"Processes beyond the first {MOST_PROCESSES}: they have no metrics of their own, and are in the "
        "totals.",
        len(by_pid) - len(shown),
    )


def _overhead_families(costs: Iterable[tuple[Labels, Overhead]]) -> Iterator[Family]:
    known = list(costs)

    def family(name: str, kind: str, text: str, unit: str, values: Iterable[Number]) -> Family:
        samples = [Sample(labels, value) for (labels, _), value in zip(known, values, strict=True)]
        return Family(name, kind, text, unit, samples)

    yield family(
        "jprobe_overhead_seconds_total",
        COUNTER,
        "CPU time that all probes have cost the process since this collector attached.",
        "s",
        (each.cost_nanos / _SECOND for _, each in known),
    )
    yield family(
        "jprobe_overhead_ratio",
        GAUGE,
        "Cost of all probes over the last five seconds; 1 is one core.",
        "1",
        (each.recent_nanos / _RECENT_NANOS for _, each in known),
    )
    yield family(
        "jprobe_overhead_limit_ratio",
        GAUGE,
        "Current limit of that cost; 1 is one core, 0 is no limit.",
        "1",
        (each.max_percent_now / _PERCENT for _, each in known),
    )
    yield family(
        "jprobe_overhead_requested_limit_ratio",
        GAUGE,
        "Requested limit of that cost.",
        "1",
        (each.asked_percent / _PERCENT for _, each in known),
    )
    yield family(
        "jprobe_firing_seconds",
        GAUGE,
        "Average cost of the last firings of a probe; 0 if none was measured.",
        "s",
        (each.hit_nanos / _SECOND for _, each in known),
    )


def _collector_families(reading: Reading) -> Iterator[Family]:
    status, own, start = reading.status, reading.own, reading.status.started_unix_nanos
    build = (
        ("version", status.version),
        ("link", status.link),
        ("python", platform.python_version()),
    )
    yield Family("jprobe_build_info", GAUGE, "1; the labels describe the collector.", "", [Sample(build, 1)])
    yield _gauge("jprobe_ring_bytes", "Size of the BPF ring buffer.", status.ring_bytes, "By")
    yield _gauge("jprobe_ring_used_bytes", "Bytes in it that are not read yet.", status.ring_used_bytes, "By")
    yield _gauge("jprobe_probe_id_limit", "Maximum number of probe IDs (--max-probes).", reading.capacity)
    yield _gauge("jprobe_subscribers", "Connected subscribers.", len(status.subscribers))
    yield _counter(
        "jprobe_subscribers_served_total", "Subscribers since the start.", reading.served, start, "1"
    )
    for name, text, numbers, unit in (
        (
            "jprobe_subscriber_queued_events",
            "Events in queues.",
            [s.queued for s in status.subscribers],
            "{event}",
        ),
        ("jprobe_subscriber_queued_bytes", "Their size.", [s.queued_bytes for s in status.subscribers], "By"),
    ):
        yield _gauge(name, text, sum(numbers), unit)
    yield _counter(
        "process_cpu_seconds_total", "CPU time of the collector.", own.cpu_nanos / _SECOND, start, "s"
    )
    yield _gauge("process_resident_memory_bytes", "Memory of the collector.", own.memory_bytes, "By")
    yield _gauge("process_open_fds", "Open files of the collector.", own.descriptors)
    yield _gauge("process_start_time_seconds", "Start of the collector, in Unix time.", start / _SECOND, "s")


def _export_families(reading: Reading) -> Iterator[Family]:
    """Returns what became of the exports over OTLP."""
    start = reading.status.started_unix_nanos
    items = Family(
        "jprobe_otlp_items_total",
        COUNTER,
        "Spans and sets of metrics by what became of them: exported or dropped.",
        "{item}",
    )
    failures = Family(
        "jprobe_otlp_failures_total",
        COUNTER,
        "Requests that failed; they are repeated, or their items dropped.",
        "{request}",
    )
    for each in reading.exports:
        item = (("item", each.name.replace(" ", "_")),)
        for result, number in (("exported", each.exported), ("dropped", each.dropped)):
            items.samples.append(Sample((*item, ("result", result)), number, start))
        failures.samples.append(Sample(item, each.failures, start))
    yield from (items, failures)


def _gauge(name: str, text: str, value: Number, unit: str = "1") -> Family:
    return Family(name, GAUGE, text, unit, [Sample((), value)])


def _counter(name: str, text: str, value: Number, start: int, unit: str) -> Family:
    return Family(name, COUNTER, text, unit, [Sample((), value, start)])
