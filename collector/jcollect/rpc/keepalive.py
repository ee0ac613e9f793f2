"""Options that detect dead peers: the same for collectors and clients.

A peer that is stopped or unreachable does not acknowledge HTTP/2 pings, not even over a Unix socket. gRPC
acknowledges them in its own threads, without Python. So a peer that is busy or does not read its stream still
acknowledges them within milliseconds. A process is treated as dead if it gets no CPU for 20 s.
"""

from __future__ import annotations

PING_SECONDS = 10
ANSWER_SECONDS = 20

OPTIONS = [
    ("grpc.keepalive_time_ms", 1000 * PING_SECONDS),
    ("grpc.keepalive_timeout_ms", 1000 * ANSWER_SECONDS),
    # gRPC 1.85 uses this option; its default is a minute.
    ("grpc.http2.ping_timeout_ms", 1000 * ANSWER_SECONDS),
    ("grpc.keepalive_permit_without_calls", 1),
    # Unlimited: by default gRPC stops after two pings without data.
    ("grpc.http2.max_pings_without_data", 0),
]
# Clients may ping at any rate. By default a gRPC server disconnects clients that ping more often than every
# five minutes.
SERVER_OPTIONS = [
    *OPTIONS,
    ("grpc.http2.max_ping_strikes", 0),
    ("grpc.http2.min_ping_interval_without_data_ms", 1000),
]
