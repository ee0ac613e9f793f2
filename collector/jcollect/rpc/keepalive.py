"""When one end of a connection takes the other for dead: the same for collectors and clients.

A peer that is stopped, or whose network is gone, acknowledges no ping of HTTP/2, over Unix sockets either.
gRPC acknowledges them in threads of its own, without Python: a peer that is merely busy, or does not read
its stream, does so within milliseconds. A machine has to leave a process without a CPU for 20 s before it
is taken for dead.
"""

from __future__ import annotations

PING_SECONDS = 10
ANSWER_SECONDS = 20

OPTIONS = [
    ("grpc.keepalive_time_ms", 1000 * PING_SECONDS),
    ("grpc.keepalive_timeout_ms", 1000 * ANSWER_SECONDS),
    # By this one gRPC 1.85 goes: else it waits a minute.
    ("grpc.http2.ping_timeout_ms", 1000 * ANSWER_SECONDS),
    ("grpc.keepalive_permit_without_calls", 1),
    # However long nothing else is sent; else there are two pings, and no more.
    ("grpc.http2.max_pings_without_data", 0),
]
# Clients may ping as often as they like: a server of gRPC's hangs up on those that do so more often than
# every five minutes.
SERVER_OPTIONS = [
    *OPTIONS,
    ("grpc.http2.max_ping_strikes", 0),
    ("grpc.http2.min_ping_interval_without_data_ms", 1000),
]
