"""The threads that answer calls. Where no more can be started, a call is refused; none waits for a thread."""

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


class Pool(Executor):
    """Starts a thread when none is idle, and keeps it. For gRPC's serving thread alone."""

    def __init__(self, failures: Failures) -> None:
        """Raises JcollectError where not even one thread can be started."""
        self._failures = failures
        self._tasks: _Tasks = SimpleQueue()
        self._refusals: _Tasks = SimpleQueue()
        self._lock = _thread.allocate_lock()
        self._idle = 0
        Worker("refuse calls", self._refuse, failures).start()

    def has_room(self) -> bool:
        """Whether a thread is idle, or can be started: then the next call has it."""
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
        """Without an idle thread, what is called has to be short: it refuses a call."""
        task = _Task(Future(), lambda: call(*args, **kwargs))
        with self._lock:
            is_idle = self._idle > 0
            if is_idle:
                self._idle -= 1
        (self._tasks if is_idle else self._refusals).put(task)
        return task.future

    def _answer(self) -> None:
        while True:
            self._tasks.get().run()
            with self._lock:
                self._idle += 1

    def _refuse(self) -> None:
        while True:
            self._refusals.get().run()


class Refusing(grpc.ServerInterceptor):  # type: ignore[misc]
    """Refuses calls for which there is no thread."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def intercept_service(self, continuation: Callable[[Any], Any], details: Any) -> Any:
        handler = continuation(details)
        return handler if handler is None or self._pool.has_room() else _refusal_of(handler)


def _refusal_of(handler: Any) -> Any:
    """A handler of the same shape."""
    shape = ("stream" if handler.request_streaming else "unary") + "_"
    shape += "stream" if handler.response_streaming else "unary"
    return getattr(grpc, f"{shape}_rpc_method_handler")(_refuse)


def _refuse(request: Any, context: grpc.ServicerContext) -> None:
    context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "the collector can start no more threads")
