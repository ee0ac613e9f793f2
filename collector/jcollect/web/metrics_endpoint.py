"""Answers scrapes of /metrics from readings of a session.

A scrape reads the memory of all programs, and holds Python's lock while it does so, as GetStatus does. Both
take turns.
"""

from __future__ import annotations

from http import HTTPStatus

from jcollect.errors import explain
from jcollect.metrics.families import families_of
from jcollect.metrics.readings import Readings
from jcollect.rpc.limits import BusyError, Turns
from jcollect.web.accept import format_for
from jcollect.web.http_request import Request, Response
from jcollect.web.http_server import error_response

PATH = "/metrics"
_METHODS = ("GET", "HEAD")


class MetricsEndpoint:
    """For any thread."""

    def __init__(self, readings: Readings, turns: Turns) -> None:
        self._readings = readings
        self._turns = turns

    def answer(self, request: Request) -> Response:
        if request.path != PATH:
            return error_response(HTTPStatus.NOT_FOUND, text=f"metrics are at {PATH}")
        if request.method not in _METHODS:
            return error_response(HTTPStatus.METHOD_NOT_ALLOWED, ("Allow", ", ".join(_METHODS)))
        chosen = format_for(request.accept)
        try:
            with self._turns.without_client():
                content = chosen.render(families_of(self._readings.read()))
        except BusyError as error:
            return error_response(HTTPStatus.SERVICE_UNAVAILABLE, ("Retry-After", "5"), text=str(error))
        except Exception as error:
            message = explain(error, "read the metrics").message
            return error_response(HTTPStatus.INTERNAL_SERVER_ERROR, text=message)
        return Response(HTTPStatus.OK, content, chosen.content_type)
