"""Runs Debian's Prometheus, with native histograms, and queries it."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from conditions import miss, wait_until

PROGRAM = Path(__file__).parents[1] / "build/prometheus/usr/bin/prometheus"
_CONFIGURATION = """
global: {scrape_interval: 500ms, scrape_timeout: 500ms}
scrape_configs:
  - job_name: jprobe
    static_configs: [{targets: ["127.0.0.1:%d"]}]
"""


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


class Prometheus:
    def __init__(self, port: int) -> None:
        self._port = port

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Returns the samples of an instant query."""
        text = urllib.parse.urlencode({"query": expression})
        url = f"http://127.0.0.1:{self._port}/api/v1/query?{text}"
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                found = json.load(answer)
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{expression}: {error.read().decode()}") from None
        result: list[dict[str, Any]] = found["data"]["result"]
        return result

    def value(self, expression: str) -> float:
        """Returns the value of the only sample."""
        (sample,) = self.query(expression)
        return float(sample["value"][1])

    @property
    def is_ready(self) -> bool:
        with contextlib.suppress(OSError):
            urllib.request.urlopen(f"http://127.0.0.1:{self._port}/-/ready", timeout=5).close()
            return True
        return False


@contextlib.contextmanager
def prometheus(folder: Path, scraped: int) -> Iterator[Prometheus]:
    """Runs one that scrapes a port of this machine, with its data in a folder."""
    if not PROGRAM.exists():
        miss("scraping takes Debian's Prometheus, which make test unpacks")
    port = free_port()
    (folder / "prometheus.yml").write_text(_CONFIGURATION % scraped)
    with (folder / "prometheus.log").open("w") as log:
        process = subprocess.Popen(
            [
                PROGRAM,
                f"--config.file={folder}/prometheus.yml",
                f"--storage.tsdb.path={folder}/data",
                f"--web.listen-address=127.0.0.1:{port}",
                "--enable-feature=native-histograms",
            ],
            stdout=log,
            stderr=log,
        )
    try:
        found = Prometheus(port)
        wait_until(lambda: found.is_ready or process.poll() is not None, "Prometheus")
        assert process.poll() is None, (folder / "prometheus.log").read_text()
        yield found
    finally:
        process.terminate()
        process.wait(20)
