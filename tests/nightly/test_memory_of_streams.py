"""A collector gives back the memory of clients that come and go.

JPROBE_STREAMS_SECONDS changes how long they do.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import grpc

from jcollect.rpc.address import parse_address
from jprobe.v1 import collector_pb2
from served import stub_at

SECONDS = float(os.environ.get("JPROBE_STREAMS_SECONDS", "70"))
RATE = 100_000
HISTORY_BYTES = 64 << 20
# Python, gRPC, numpy and pyarrow take 50 MiB. The rest is for what malloc cannot return, because something
# small still uses the same pages: 25 MiB on a machine with two CPUs.
ALLOWANCE_BYTES = 128 << 20
GROWTH_BYTES = 24 << 20

REQUESTS = (
    collector_pb2.SubscribeRequest(),
    collector_pb2.SubscribeRequest(last=1_000_000),
    collector_pb2.SubscribeRequest(encoding=collector_pb2.ENCODING_ARROW_IPC, last=200_000),
    collector_pb2.SubscribeRequest(where="id < 500", last=500_000),
)


def anonymous_bytes(pid: int) -> int:
    """Returns a process's memory besides that of files."""
    found = re.search(r"RssAnon:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1]) << 10


class Clients:
    """Clients that subscribe, and leave after a second, each in a thread."""

    def __init__(self, address: str) -> None:
        self.streams = self.messages = 0
        self._address = parse_address(address)
        self._lock = threading.Lock()
        self._until = 0.0
        self._errors: list[BaseException] = []

    def come_and_go(self, seconds: float) -> None:
        """Returns when all of them have left."""
        self._until = time.monotonic() + seconds
        threads = [threading.Thread(target=self._again_and_again, args=(each,)) for each in REQUESTS]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert self._errors == []

    def _again_and_again(self, request: collector_pb2.SubscribeRequest) -> None:
        try:
            while time.monotonic() < self._until:
                messages = self._read(request)
                with self._lock:
                    self.streams += 1
                    self.messages += messages
        except BaseException as error:
            self._errors.append(error)

    def _read(self, request: collector_pb2.SubscribeRequest) -> int:
        messages = 0
        with stub_at(self._address) as stub:
            try:
                for _ in stub.Subscribe(request, timeout=1):
                    messages += 1
            except grpc.RpcError as error:
                if error.code() != grpc.StatusCode.DEADLINE_EXCEEDED:
                    raise
        return messages


def test_streams_that_ended_take_no_memory(tmp_path: Path) -> None:
    command = [sys.executable, Path(__file__).parents[1] / "streaming_server.py", tmp_path]
    server = subprocess.Popen(
        [*map(str, command), str(RATE), str(HISTORY_BYTES)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
    )
    assert server.stdin is not None
    assert server.stdout is not None
    try:
        clients = Clients(server.stdout.readline().strip())
        # The history fills, and each kind of client has been there.
        clients.come_and_go(max(12.0, 1.2 * HISTORY_BYTES / (64 * RATE)))
        sizes = []
        for _ in range(2):
            clients.come_and_go(SECONDS / 2)
            # The server notices that they have left.
            time.sleep(2)
            sizes.append(anonymous_bytes(server.pid))
        server.stdin.close()
        rate = int(server.stdout.readline())
    finally:
        server.kill()
        server.wait()
    half, whole = (size >> 20 for size in sizes)
    print(f"{half} MiB, {whole} MiB; {clients.streams} streams, {clients.messages} messages, {rate:,}/s")
    assert clients.streams > SECONDS
    assert clients.messages > 10 * clients.streams
    assert rate > 0.8 * RATE
    assert sizes[1] < HISTORY_BYTES + ALLOWANCE_BYTES
    assert sizes[1] - sizes[0] < GROWTH_BYTES
