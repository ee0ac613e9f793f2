"""Implements jprobe.v1.CollectorService on top of a session."""

from __future__ import annotations

import contextlib
import gc
import itertools
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from types import TracebackType
from typing import Any, Protocol

import grpc

from jcollect.console import warn
from jcollect.errors import JcollectError, explain
from jcollect.hub.condition import ConditionError
from jcollect.hub.cursor import EpochError, FutureError
from jcollect.hub.hub import Hub, NoEventsError, NoSuchProbeError
from jcollect.hub.stream_options import StreamOptions
from jcollect.hub.subscription import DiscardedError, OverflowedError, Subscription, TooSlowError
from jcollect.probes.description import ProbeDescription
from jcollect.probes.globs import TooCostlyError
from jcollect.rpc.commands import list_processes, set_probes
from jcollect.rpc.limits import (
    MOST_AGGREGATIONS,
    MOST_STREAMS,
    MOST_TOP,
    Slots,
    Turns,
    reject_if_too_large,
    reject_long_key,
    reject_short_interval,
)
from jcollect.rpc.messages import aggregate_messages, probe_counts_message, probe_message, status_message
from jcollect.rpc.names import SERVICE
from jcollect.rpc.paging import page_of
from jcollect.rpc.stream_request import InvalidRequestError, stream_options
from jcollect.rpc.stream_sink import MissingEncodingError, sink_of
from jcollect.session.aggregation import CountedInterval
from jcollect.session.commander import Commander
from jcollect.session.status import Status
from jcollect.sinks.base import Sink, consume
from jcollect.workers import Failures
from jprobe.v1 import collector_pb2

# Number of faults in streams that are reported: a client can cause any number.
_MOST_FAULTS = 10
_TOO_COSTLY = "matching the globs takes too long; use fewer or simpler globs"


class ServedAggregation(Protocol):
    """The methods of an aggregation that the service uses."""

    def interval(self, is_whole: bool = False) -> CountedInterval: ...
    def wait(self, seconds: float) -> bool: ...
    def end(self) -> None: ...
    def close(self) -> None: ...


class ServedSession(Protocol):
    """The methods of a session that the service uses."""

    @property
    def hub(self) -> Hub: ...
    @property
    def failures(self) -> Failures: ...
    @property
    def commander(self) -> Commander: ...
    def describe(
        self, globs: Sequence[str], pids: Collection[int], after: int
    ) -> Iterator[ProbeDescription]: ...
    def subscribe(
        self, globs: Sequence[str], pids: Collection[int], peer: str, options: StreamOptions
    ) -> Subscription: ...
    def aggregate(self, globs: Sequence[str], pids: Collection[int]) -> ServedAggregation: ...
    def status(
        self,
        globs: Sequence[str],
        pids: Collection[int],
        summary_only: bool,
        after: int,
        most_probes: int,
        top: int,
    ) -> Status: ...


class Streams:
    """Counts the open streams."""

    def __init__(self) -> None:
        self._open = 0
        self._last_end = float("-inf")
        self._condition = threading.Condition()

    def __enter__(self) -> None:
        with self._condition:
            self._open += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._condition:
            self._open -= 1
            self._last_end = time.monotonic()
            self._condition.notify_all()

    def wait_for_end(self, seconds: float) -> float:
        """Waits at most `seconds` for all streams to close. Returns the time.monotonic() at which the last
        one closed."""
        with self._condition:
            self._condition.wait_for(lambda: self._open == 0, seconds)
            return self._last_end


class KeyedStreams:
    """The open aggregations whose clients have chosen keys, at most one for each key."""

    def __init__(self) -> None:
        self._aggregations: dict[bytes, ServedAggregation] = {}
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def one(
        self, key: bytes, aggregation: ServedAggregation, context: grpc.ServicerContext
    ) -> Iterator[None]:
        """Lets `end` find an aggregation during the block; without a key, does nothing. Ends the call with
        ALREADY_EXISTS if another one has the key."""
        if not key:
            yield
            return
        with self._lock:
            is_free = self._aggregations.setdefault(key, aggregation) is aggregation
        if not is_free:
            context.abort(grpc.StatusCode.ALREADY_EXISTS, "another stream has the same key")
        try:
            yield
        finally:
            with self._lock:
                del self._aggregations[key]

    def end(self, key: bytes) -> None:
        """Has the aggregation with a key end after one more interval, if there is one."""
        with self._lock:
            aggregation = self._aggregations.get(key)
        if aggregation is not None:
            aggregation.end()


@contextlib.contextmanager
def _reporting_errors(context: grpc.ServicerContext, what: str) -> Iterator[None]:
    """Reports errors in a block to the client of the call. `what` is what the block does."""
    try:
        yield
        return
    except NoSuchProbeError as error:
        code, details = grpc.StatusCode.NOT_FOUND, f"no probe of this collector matches {error}"
    except TooCostlyError:
        code, details = grpc.StatusCode.RESOURCE_EXHAUSTED, _TOO_COSTLY
    except ConditionError as error:
        code, details = grpc.StatusCode.INVALID_ARGUMENT, f"where, {error}"
    except MissingEncodingError as error:
        code, details = grpc.StatusCode.UNIMPLEMENTED, str(error)
    except InvalidRequestError as error:
        code, details = grpc.StatusCode.INVALID_ARGUMENT, f"the request {error}"
    except (EpochError, NoEventsError) as error:
        code, details = grpc.StatusCode.FAILED_PRECONDITION, str(error)
    except FutureError as error:
        code, details = grpc.StatusCode.OUT_OF_RANGE, str(error)
    except Exception as error:
        code, details = grpc.StatusCode.INTERNAL, explain(error, what).message
    context.abort(code, details)


@contextlib.contextmanager
def _without_gc() -> Iterator[None]:
    """Turns off the garbage collector in a block. Reading all probes creates many objects and no garbage, and
    repeated collections would delay the reader of events by several 0.1 s. For one block at a time."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def handler_for(source: ServedSession, streams: Streams, turns: Turns | None = None) -> Any:
    """Returns the service's generic handler. Subscribe sends bytes that were encoded once for all streams.
    `turns` are those that calls share with others."""
    turns = turns or Turns()
    slots = Slots(MOST_STREAMS, "streams")
    aggregations = Slots(MOST_AGGREGATIONS, "streams of histograms")
    keyed = KeyedStreams()
    faults = itertools.count()

    def list_probes(
        request: collector_pb2.ListProbesRequest, context: grpc.ServicerContext
    ) -> collector_pb2.ListProbesResponse:
        reject_if_too_large(request, context)
        page = page_of(request, context)
        with turns.one(context), _without_gc(), _reporting_errors(context, "list the probes"):
            described = source.describe(request.globs, request.pids, page.after)
            probes, token = page.fill(map(probe_message, described), lambda probe: probe.id)
            return collector_pb2.ListProbesResponse(probes=probes, next_page_token=token)

    def get_status(
        request: collector_pb2.GetStatusRequest, context: grpc.ServicerContext
    ) -> collector_pb2.GetStatusResponse:
        reject_if_too_large(request, context)
        page = page_of(request, context)
        with turns.one(context), _without_gc(), _reporting_errors(context, "report the status"):
            top = min(request.top, MOST_TOP)
            status = source.status(
                request.globs, request.pids, request.summary_only, page.after, page.most_probes + 1, top
            )
            counts = map(probe_counts_message, status.probes)
            probes, token = page.fill(counts, lambda each: each.probe.id)
            # Leaves out what does not fit a message: the others have fewer hits.
            token = "" if top else token
            response = status_message(status, probes)
            response.next_page_token = token
            return response

    def subscribe(request: collector_pb2.SubscribeRequest, context: grpc.ServicerContext) -> Iterator[bytes]:
        reject_if_too_large(request, context)
        with slots.one(context):
            with turns.one(context), _without_gc(), _reporting_errors(context, "subscribe"):
                options, sink_for = stream_options(request), sink_of(request.encoding)
                subscription = source.subscribe(request.globs, request.pids, context.peer(), options)
            yield from serve(subscription, sink_for, context)

    def serve(
        subscription: Subscription,
        sink_for: Callable[[Subscription], Sink[Iterator[bytes]]],
        context: grpc.ServicerContext,
    ) -> Iterator[bytes]:
        try:
            # add_callback returns false if the client has already disconnected.
            if context.add_callback(subscription.close):
                with streams:
                    for messages in consume(subscription, sink_for(subscription)):
                        yield from messages
        except TooSlowError:
            context.abort(
                grpc.StatusCode.RESOURCE_EXHAUSTED, "the descriptions of new probes were not read in time"
            )
        except TooCostlyError:
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, _TOO_COSTLY)
        except OverflowedError:
            context.abort(
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                "the events were not read in time; go on after the last cursor",
            )
        except DiscardedError:
            context.abort(
                grpc.StatusCode.ABORTED, "the collector has exited, and its last events were not read in time"
            )
        except JcollectError as error:
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, error.message)
        except MemoryError as error:
            # The collector still has to complete its hit counts.
            source.failures.add(error, "serve a stream")
            context.abort(grpc.StatusCode.INTERNAL, explain(error, "serve a stream").message)
        except Exception as error:
            # A fault that a client may have caused: it ends this stream and no other.
            message = explain(error, "serve a stream").message
            if next(faults) < _MOST_FAULTS:
                warn(message)
            context.abort(grpc.StatusCode.INTERNAL, message)
        finally:
            source.hub.leave(subscription)

    def aggregate(
        request: collector_pb2.AggregateRequest, context: grpc.ServicerContext
    ) -> Iterator[collector_pb2.AggregateResponse]:
        reject_if_too_large(request, context)
        reject_short_interval(request.interval_millis, context)
        reject_long_key(request.key, context)
        with aggregations.one(context):
            with turns.one(context), _without_gc(), _reporting_errors(context, "count calls"):
                aggregation = source.aggregate(request.globs, request.pids)
            try:
                # add_callback returns false if the client has already disconnected.
                if context.add_callback(aggregation.end):
                    with streams, keyed.one(request.key, aggregation, context):
                        yield from intervals(aggregation, request.interval_millis / 1000, context)
            finally:
                aggregation.close()

    def end_aggregate(
        request: collector_pb2.EndAggregateRequest, context: grpc.ServicerContext
    ) -> collector_pb2.EndAggregateResponse:
        reject_long_key(request.key, context)
        keyed.end(request.key)
        return collector_pb2.EndAggregateResponse()

    def intervals(
        aggregation: ServedAggregation, seconds: float, context: grpc.ServicerContext
    ) -> Iterator[collector_pb2.AggregateResponse]:
        due = time.monotonic()
        while True:
            # The last interval ends when the collector has detached, or the client asks for the rest.
            is_last = not seconds or aggregation.wait(max(0.0, due - time.monotonic()))
            if not context.is_active():
                return
            with turns.one(context), _without_gc(), _reporting_errors(context, "count calls"):
                interval = aggregation.interval(is_whole=not seconds)
            yield from aggregate_messages(interval)
            if is_last:
                return
            # A client that reads too slowly gets longer intervals.
            due = max(due + seconds, time.monotonic())

    return grpc.method_handlers_generic_handler(
        SERVICE,
        {
            "ListProbes": grpc.unary_unary_rpc_method_handler(
                list_probes,
                request_deserializer=collector_pb2.ListProbesRequest.FromString,
                response_serializer=collector_pb2.ListProbesResponse.SerializeToString,
            ),
            "GetStatus": grpc.unary_unary_rpc_method_handler(
                get_status,
                request_deserializer=collector_pb2.GetStatusRequest.FromString,
                response_serializer=collector_pb2.GetStatusResponse.SerializeToString,
            ),
            "Subscribe": grpc.unary_stream_rpc_method_handler(
                subscribe,
                request_deserializer=collector_pb2.SubscribeRequest.FromString,
                response_serializer=None,
            ),
            "Aggregate": grpc.unary_stream_rpc_method_handler(
                aggregate,
                request_deserializer=collector_pb2.AggregateRequest.FromString,
                response_serializer=collector_pb2.AggregateResponse.SerializeToString,
            ),
            "EndAggregate": grpc.unary_unary_rpc_method_handler(
                end_aggregate,
                request_deserializer=collector_pb2.EndAggregateRequest.FromString,
                response_serializer=collector_pb2.EndAggregateResponse.SerializeToString,
            ),
            "SetProbes": grpc.unary_unary_rpc_method_handler(
                lambda request, context: set_probes(source.commander, request, context),
                request_deserializer=collector_pb2.SetProbesRequest.FromString,
                response_serializer=collector_pb2.SetProbesResponse.SerializeToString,
            ),
            "ListProcesses": grpc.unary_unary_rpc_method_handler(
                lambda request, context: list_processes(source.commander, request, context),
                request_deserializer=collector_pb2.ListProcessesRequest.FromString,
                response_serializer=collector_pb2.ListProcessesResponse.SerializeToString,
            ),
        },
    )
