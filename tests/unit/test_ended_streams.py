"""Subscriptions that have ended are freed at once, without the garbage collector, which runs rarely."""

from __future__ import annotations

import gc
import time
import weakref
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from conditions import wait_until
from jcollect.hub.subscription import Subscription
from jprobe.v1 import collector_pb2
from published import PROBES, Publisher
from served import StillSource, described, serving, stub_at


@pytest.fixture
def no_gc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    gc.collect()
    gc.disable()
    enable = gc.enable
    # The service turns it on again after each request.
    monkeypatch.setattr(gc, "enable", lambda: None)
    yield
    enable()


REQUESTS = {
    "live": collector_pb2.SubscribeRequest(),
    "some probes": collector_pb2.SubscribeRequest(globs=["*#place"]),
    "last": collector_pb2.SubscribeRequest(last=1000),
    "where": collector_pb2.SubscribeRequest(where="id < 500", last=1000),
    "arrow": collector_pb2.SubscribeRequest(encoding=collector_pb2.ENCODING_ARROW_IPC, last=1000),
    "only history": collector_pb2.SubscribeRequest(last=10, only_history=True),
}


@pytest.mark.usefixtures("no_gc")
@pytest.mark.parametrize("request_", REQUESTS.values(), ids=REQUESTS)
def test_a_client_that_leaves_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request_: collector_pb2.SubscribeRequest
) -> None:
    source = StillSource(described(PROBES))
    publisher = Publisher(source)
    publisher.publish(3000)
    subscriptions: list[weakref.ref[Subscription]] = []
    subscribe = source.subscribe

    def observed(*args: object) -> Subscription:
        subscription = subscribe(*args)  # type: ignore[arg-type]
        subscriptions.append(weakref.ref(subscription))
        return subscription

    monkeypatch.setattr(source, "subscribe", observed)
    with serving(source, tmp_path) as address:
        for _ in range(3):
            with stub_at(address) as stub:
                stream = stub.Subscribe(request_, timeout=30)
                assert next(stream).WhichOneof("body") == "schema"
                publisher.publish(1000)
                if request_.only_history:
                    assert list(stream)
                else:
                    assert next(stream) is not None
                    stream.cancel()
                    with pytest.raises(grpc.RpcError):
                        list(stream)
        publisher.publish(1000)
        wait_until(lambda: not source.hub.subscribers(), "the end of all streams")
        time.sleep(0.2)
        assert len(subscriptions) == 3
        left = [each() for each in subscriptions if each() is not None]
        assert left == [], [gc.get_referrers(each) for each in left]
