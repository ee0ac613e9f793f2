"""The threads that answer calls. If no thread can be started, the call is rejected instead of queued."""

from __future__ import annotations

import _thread
from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any

import grpc

from jcollect.errors import JcollectError
from jcollect.workers import Failures, Worker

_Tasks = SimpleQueue["_Task"]


@dataclass(frozen=True)
class _Task:
    future: Future[Any]
    call: Callable[[], Any]

    def run(self) -> None:
        try:
            result = self.call()
        except BaseException as error:
            self.future.set_exception(error)
        else:
            self.future.set_result(result)


class CallPool(Executor):
    """Starts a thread when none is idle, and keeps it. Only for gRPC's serving thread."""

    def __init__(self, failures: Failures) -> None:
        """Raises JcollectError if not even one thread can be started."""
        self._failures = failures
        self._tasks: _Tasks = SimpleQueue()
        self._rejections: _Tasks = SimpleQueue()
        self._lock = _thread.allocate_lock()
        self._idle = 0
        Worker("reject calls", self._reject, failures).start()

    def has_thread(self) -> bool:
        """Returns true if a thread is idle, or was started, for the next call."""
        with self._lock:
            if self._idle:
                return True
        try:
            Worker("answer calls", self._answer, self._failures).start()
        except JcollectError:
            return False
        with self._lock:
            self._idle += 1
        return True

    def submit(self, call: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Runs a call in an idle thread. Without one, the call must be short: it is a rejection."""
        task = _Task(Future(), lambda: call(*args, **kwargs))
        with self._lock:
            is_idle = self._idle > 0
            if is_idle:
                self._idle -= 1
        (self._tasks if is_idle else self._rejections).put(task)
        return task.future

    def _answer(self) -> None:
        while True:
            self._tasks.get().run()
            with self._lock:
                self._idle += 1

    def _reject(self) -> None:
        while True:
            self._rejections.get().run()


class RejectingInterceptor(grpc.ServerInterceptor):  # type: ignore[misc]
    """Rejects calls if there is no thread to answer them."""

    def __init__(self, pool: CallPool) -> None:
        self._pool = pool

    def intercept_service(self, continuation: Callable[[Any], Any], details: Any) -> Any:
        handler = continuation(details)
        return handler if handler is None or self._pool.has_thread() else _rejecting(handler)


def _rejecting(handler: Any) -> Any:
    """Returns a handler of the same kind that rejects the call."""
    kind = ("stream" if handler.request_streaming else "unary") + "_"
    kind += "stream" if handler.response_streaming else "unary"
    return getattr(grpc, f"{kind}_rpc_method_handler")(_reject)


def _reject(request: Any, context: grpc.ServicerContext) -> None:
    context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "the collector cannot start more threads")
