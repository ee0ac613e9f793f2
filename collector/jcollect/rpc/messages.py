"""Maps plain values to protocol messages. Clamps numbers that targets report to the range of their field."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from itertools import islice
from typing import TypeVar

from jcollect.exponential_histogram import ExponentialHistogram
from jcollect.hub.accounts import Totals
from jcollect.hub.cursor import Cursor
from jcollect.hub.items import (
    EncodedEvents,
    Events,
    History,
    Item,
    Loss,
    Position,
    Schema,
    Skipped,
    Stacks,
    ThrottledCalls,
    Throttling,
)
from jcollect.hub.subscription import SubscriberCounts
from jcollect.hub.wire import encode, encode_cursor
from jcollect.probes.description import Described, ProbeDescription
from jcollect.session.aggregation import CountedInterval
from jcollect.session.status import LinkedProbes, Overhead, ProbeStatus, ProcessStatus, Status
from jcollect.sources.recorder import Recorder, RecorderStatus
from jprobe.v1 import collector_pb2, probe_pb2

# Maximum size of one message. gRPC clients accept 4 MiB by default.
MESSAGE_BYTES = 1 << 20
# Maximum number of probe IDs in one notice: an ID and its count have at most 17 bytes.
_NOTICE_PROBES = 50_000
# Maximum number of bytes that a submessage has in addition to its content.
_FIELD_BYTES = 6
_MOST_U64 = (1 << 64) - 1
_Response = collector_pb2.SubscribeResponse

# Size of the times and the flag of one part of an interval.
_INTERVAL_BYTES = 32

_Probe = TypeVar(
    "_Probe",
    collector_pb2.Probe,
    collector_pb2.ProbeHitCounts,
    collector_pb2.Histogram,
    collector_pb2.ThrottledCalls,
)


def probe_message(probe: Described) -> collector_pb2.Probe:
    """Returns the description of a probe as a message."""
    if isinstance(probe, collector_pb2.Probe):
        return probe
    assert isinstance(probe, ProbeDescription)
    return collector_pb2.Probe(
        id=probe.id,
        pid=probe.pid,
        provider=probe.provider,
        name=probe.name,
        kind=probe_pb2.ProbeKind.Name(probe.kind),
        class_name=probe.class_name,
        class_loader_id=probe.class_loader_id,
        method=probe.method,
        method_descriptor=probe.method_descriptor,
        values=probe.values,
        file=probe.file,
        location=probe.location,
        semaphore=probe.semaphore,
        semaphore_count=probe.semaphore_count,
        state=probe_pb2.ProbeState.Name(probe.state),
        condition=probe.condition,
        filtered=probe.filtered,
        throttled=probe.throttled,
        throttled_nanos=probe.throttled_nanos,
        least_duration_nanos=probe.least_duration_nanos,
        every=probe.every,
        per_second=probe.per_second,
    )


def stream_messages(item: Item, cursor: Cursor | None = None) -> Iterator[bytes]:
    """Yields an item as encoded SubscribeResponses of at most MESSAGE_BYTES, unless one probe needs more.
    `cursor` is the position after the item."""
    if isinstance(item, EncodedEvents):
        yield item.message
    elif isinstance(item, Events):
        yield encode(item.columns, cursor)
    else:
        end = b"" if cursor is None else encode_cursor(cursor)
        for body in _bodies(item):
            yield body.SerializeToString() + end


def _bodies(item: Schema | Loss | Throttling | History | Skipped | Stacks | Position) -> Iterator[_Response]:
    if isinstance(item, Schema):
        for probes, has_more in pages(map(probe_message, item.probes)):
            yield _Response(schema=collector_pb2.Schema(probes=probes, has_more=has_more))
    elif isinstance(item, Loss):
        yield from (_Response(loss=loss) for loss in _losses(item))
    elif isinstance(item, Throttling):
        yield from (_Response(throttling=throttling) for throttling in _throttlings(item))
    elif isinstance(item, History):
        yield _Response(
            history=collector_pb2.History(
                begin_unix_nanos=item.begin_unix_nanos,
                missed=item.missed,
                missed_is_bound=item.missed_is_bound,
            )
        )
    elif isinstance(item, Skipped):
        yield _Response(skipped=_skipped(item))
    elif isinstance(item, Stacks):
        yield from (_Response(stacks=stacks) for stacks in _stack_messages(item))
    else:
        yield _Response()


def _skipped(item: Skipped) -> collector_pb2.Skipped:
    return collector_pb2.Skipped(filtered=item.filtered, sampled=item.sampled, over_rate=item.over_rate)


def pages(probes: Iterable[_Probe], most: int | None = None) -> Iterator[tuple[list[_Probe], bool]]:
    """Yields lists of probes that fit a message, of at most `most` probes, and whether more follow; one empty
    list if there are no probes."""
    page: list[_Probe] = []
    size = 0
    for probe in probes:
        added = probe.ByteSize() + _FIELD_BYTES
        if page and (size + added > MESSAGE_BYTES - _INTERVAL_BYTES or len(page) == most):
            yield page, True
            page, size = [], 0
        page.append(probe)
        size += added
    yield page, False


def aggregate_messages(interval: CountedInterval) -> Iterator[collector_pb2.AggregateResponse]:
    """Yields an interval as messages of at most MESSAGE_BYTES, unless one probe needs more: first the
    descriptions, then the histograms, then what was throttled."""
    parts: list[collector_pb2.AggregateResponse] = []
    if interval.probes:
        found = pages(map(probe_message, interval.probes))
        parts += [collector_pb2.AggregateResponse(probes=probes) for probes, _ in found]
    if interval.histograms or not parts:
        counted = pages(histogram_message(*each) for each in interval.histograms)
        parts += [collector_pb2.AggregateResponse(histograms=histograms) for histograms, _ in counted]
    if interval.throttled:
        throttled = pages(map(_throttled_message, interval.throttled))
        parts += [collector_pb2.AggregateResponse(throttled=calls) for calls, _ in throttled]
    for number, part in enumerate(parts, 1):
        part.start_unix_nanos = interval.start_unix_nanos
        part.end_unix_nanos = interval.end_unix_nanos
        part.has_more = number < len(parts)
        yield part


def histogram_message(probe: int, histogram: ExponentialHistogram) -> collector_pb2.Histogram:
    """Returns the calls of a probe as a message."""
    return collector_pb2.Histogram(
        probe=probe,
        scale=histogram.scale,
        count=_u64(histogram.count),
        sum_nanos=_u64(histogram.total),
        zero_count=_u64(histogram.zero),
        offset=histogram.offset,
        bucket_counts=histogram.counts.tolist(),
    )


def _throttled_message(calls: ThrottledCalls) -> collector_pb2.ThrottledCalls:
    return collector_pb2.ThrottledCalls(
        probe=calls.probe,
        throttled=_u64(calls.throttled),
        throttled_nanos=_u64(calls.throttled_ns),
    )


def _losses(item: Loss) -> Iterator[collector_pb2.Loss]:
    left = iter(item.by_probe.items())
    while True:
        part = list(islice(left, _NOTICE_PROBES))
        loss = collector_pb2.Loss(stage=item.stage, events=item.events)  # type: ignore[arg-type]
        for probe, events in part:
            loss.probes.add(probe=probe, events=events)
        yield loss
        if len(part) < _NOTICE_PROBES:
            return


def _stack_messages(item: Stacks) -> Iterator[collector_pb2.StackTraces]:
    page = collector_pb2.StackTraces()
    size = 0
    for stack in item.stacks:
        added = sum(map(len, stack.frames)) + _FIELD_BYTES * (1 + len(stack.frames))
        if page.stacks and size + added > MESSAGE_BYTES - _INTERVAL_BYTES:
            yield page
            page, size = collector_pb2.StackTraces(), 0
        page.stacks.add(pid=stack.pid, id=stack.id, frames=stack.frames, is_truncated=stack.is_truncated)
        size += added
    yield page


def _throttlings(item: Throttling) -> Iterator[collector_pb2.Throttling]:
    most = max(len(item.began), len(item.ended), 1)
    for at in range(0, most, _NOTICE_PROBES):
        part = slice(at, at + _NOTICE_PROBES)
        yield collector_pb2.Throttling(
            began=item.began[part], ended=item.ended[part], throttled=item.throttled
        )


def status_message(
    status: Status, probes: Sequence[collector_pb2.ProbeHitCounts]
) -> collector_pb2.GetStatusResponse:
    """Returns a collector's status with the hit counts of some of its probes."""
    recorder = status.recorder
    return collector_pb2.GetStatusResponse(
        version=status.version,
        pid=status.pid,
        started_unix_nanos=status.started_unix_nanos,
        cpu_nanos=status.cpu_nanos,
        link=status.link,
        ring_bytes=status.ring_bytes,
        ring_used_bytes=status.ring_used_bytes,
        out_of_order=status.out_of_order,
        overwritten=recorder[1].overwritten if recorder else 0,
        recorder=_recorder(*recorder) if recorder else None,
        explanations=collector_pb2.Explanations(**asdict(status.explanations))
        if status.explanations
        else None,
        clock_set_nanos=status.clock_set_nanos,
        counts=_hit_counts(status.counts),
        processes=[_process(each) for each in status.processes],
        probes=probes,
        subscribers=[_subscriber(each) for each in status.subscribers],
        lost_by_gone_subscribers=status.lost_by_gone_subscribers,
        linked=[_linked(each) for each in status.linked],
        matching_probes=status.matching,
    )


def _recorder(settings: Recorder, done: RecorderStatus) -> collector_pb2.FlightRecorder:
    return collector_pb2.FlightRecorder(
        last_nanos=settings.last_ns,
        on_exception=settings.on_exception,
        on_duration_nanos=settings.duration_ns,
        on_exit=settings.on_exit,
        deliveries=done.deliveries,
        held_nanos=done.held_ns,
        short_nanos=done.short_ns,
    )


def probe_counts_message(probe: ProbeStatus) -> collector_pb2.ProbeHitCounts:
    """Returns one probe with its hit counts."""
    return collector_pb2.ProbeHitCounts(
        probe=probe_message(probe.description),
        counts=_hit_counts(probe.counts),
        is_linked=probe.is_linked,
        attach_point=probe.attach_point,
        calls=None if probe.calls is None else histogram_message(probe.description.id, probe.calls),
    )


def whole_status(status: Status) -> collector_pb2.GetStatusResponse:
    """Returns a collector's status with the hit counts of all its probes, in one message of any size."""
    return status_message(status, [probe_counts_message(each) for each in status.probes])


def _linked(linked: LinkedProbes) -> collector_pb2.LinkedProbes:
    return collector_pb2.LinkedProbes(
        state=probe_pb2.ProbeState.Name(linked.state),
        attach_point=linked.attach_point,
        probes=linked.probes,
        examples=linked.examples,
    )


def _hit_counts(totals: Totals) -> collector_pb2.HitCounts:
    return collector_pb2.HitCounts(
        hits=_u64(totals.hits),
        delivered=_u64(totals.delivered),
        filtered=_u64(totals.filtered),
        lost_in_kernel_ring=_u64(totals.lost_in_ring),
        lost_in_collector=_u64(totals.lost_in_collector),
        throttled=_u64(totals.throttled),
        throttled_nanos=_u64(totals.throttled_ns),
        counted=_u64(totals.counted),
        lost_in_direct_rings=_u64(totals.lost_in_direct_rings),
    )


def _process(process: ProcessStatus) -> collector_pb2.AttachedProcess:
    return collector_pb2.AttachedProcess(
        pid=process.pid,
        name=process.name,
        libraries=process.libraries,
        probes=process.probes,
        armed=process.armed,
        throttled=process.throttled,
        overhead=None if process.overhead is None else _overhead(process.overhead),
        counts=_hit_counts(process.counts),
        direct_probes=process.direct_probes,
        why_not_direct=process.why_not_direct,
        stacks=process.stacks,
        lost_stacks=process.lost_stacks,
    )


def _overhead(overhead: Overhead) -> collector_pb2.Overhead:
    return collector_pb2.Overhead(
        hit_nanos=overhead.hit_nanos,
        recent_nanos=overhead.recent_nanos,
        cost_nanos=_u64(overhead.cost_nanos),
        elapsed_nanos=_u64(overhead.elapsed_nanos),
        max_percent=overhead.max_percent,
        asked_percent=overhead.asked_percent,
        available_nanos=overhead.available_nanos,
        max_percent_now=overhead.max_percent_now,
    )


def _subscriber(subscriber: SubscriberCounts) -> collector_pb2.Subscriber:
    return collector_pb2.Subscriber(
        peer=subscriber.peer,
        events=subscriber.events,
        delivered=subscriber.delivered,
        lost=subscriber.lost,
        queued=subscriber.queued,
        queued_bytes=subscriber.queued_bytes,
        skipped=_skipped(subscriber.skipped),
    )


def _u64(number: int) -> int:
    """Returns the closest number that fits the message's 64 bits."""
    return min(max(number, 0), _MOST_U64)
