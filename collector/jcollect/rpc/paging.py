"""Splits answers about many probes into pages that fit a message. A page's token is its last probe ID."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

import grpc

from jcollect.rpc.messages import MESSAGE_BYTES, pages
from jprobe.v1 import collector_pb2

# A description has at least 64 bytes, so more would not fit a message.
MOST_ON_A_PAGE = MESSAGE_BYTES // 64

_Probe = TypeVar("_Probe", collector_pb2.Probe, collector_pb2.ProbeHitCounts)


@dataclass(frozen=True)
class Page:
    """The part of an answer that has the probes with IDs above `after`, at most `most_probes` of them."""

    after: int
    most_probes: int

    def fill(self, probes: Iterable[_Probe], id_of: Callable[[_Probe], int]) -> tuple[list[_Probe], str]:
        """Returns as many probes as fit, and the token of the next page, which is empty if no more follow."""
        found, has_more = next(pages(probes, self.most_probes))
        return found, str(id_of(found[-1])) if has_more else ""


def page_of(
    request: collector_pb2.ListProbesRequest | collector_pb2.GetStatusRequest, context: grpc.ServicerContext
) -> Page:
    """Returns the requested page. Ends the call with INVALID_ARGUMENT if the token is not one of a page."""
    token = request.page_token
    if not token:
        after = -1
    elif token.isascii() and token.isdigit() and len(token) <= 10:
        after = int(token)
    else:
        context.abort(
            grpc.StatusCode.INVALID_ARGUMENT, "page_token must be the next_page_token of the previous answer"
        )
    most = min(request.page_size, MOST_ON_A_PAGE) if request.page_size > 0 else MOST_ON_A_PAGE
    return Page(after, most)
