"""Measures what a scrape of the metrics costs, and whether events are lost while each second has one.

A bench of bench/run.py: `scraping`, about a minute on each JDK. The programs are the generated one with 2,000
methods, of which 500 have series of their own, and targets/Lanes.java.
"""

from __future__ import annotations

import contextlib
import signal
import socket
import threading
import time
from typing import Any

from conditions import wait_until
from direct_reading import Cpu, losses, lost, made
from java_target import Jdk, attach, java, probes_of
from jcollect.rpc.address import Address, parse_address
from metrics_text import PROTOBUF, ask
from programs import BUILD, CLASSES, METHODS_PER_CLASS

SCRAPES = 20
IDLE_SECONDS = 10.0
RATE, SECONDS, WARM = 1_000_000, 10.0, "1000000 2"
FORMATS = {"protobuf": PROTOBUF, "text": ""}


def scrape_cost(jdk: Jdk) -> dict[str, Any]:
    """Measures scrapes one after the other, of programs that call all of their methods."""
    address = parse_address(f"unix://{BUILD}/scraping.sock")
    found: dict[str, Any] = {}
    with contextlib.ExitStack() as stack:
        target = stack.enter_context(
            java(jdk, "-cp", BUILD / "classes", "Scraped", probes="many.C*#m*", options="max-methods=2000")
        )
        target.wait_for_line("ready")
        wait_until(lambda: probes_of(target.pid), "its probes")
        collector = stack.enter_context(
            attach(target.pid, "--no-events", "--metrics", address.text, seconds=60)
        )
        methods = CLASSES * METHODS_PER_CLASS
        wait_until(lambda: f"\njprobe_methods {methods}\n".encode() in ask(address).content, "all methods")
        # The start costs more than what follows.
        time.sleep(IDLE_SECONDS)
        cpu = Cpu({"collector": collector.pid})
        time.sleep(IDLE_SECONDS)
        idle = cpu.cores()["collector, cores"]
        for name, accept in FORMATS.items():
            cpu = Cpu({"collector": collector.pid})
            took, sizes = [], []
            begun = time.monotonic()
            for _ in range(SCRAPES):
                started = time.monotonic()
                sizes.append(len(ask(address, accept=accept).content))
                took.append(1e3 * (time.monotonic() - started))
                # Without it the next scrape waits for its turn.
                time.sleep(2 * took[-1] / 1e3)
            seconds = time.monotonic() - begun
            # The collector looks for new probes all the time.
            cores = cpu.cores()["collector, cores"] - idle
            print(f"scraping {jdk}: idle: {idle:.3f} cores", flush=True)
            found[name] = {"ms": took, "bytes": sizes, "CPU, ms": 1e3 * cores * seconds / SCRAPES}
            print(
                f"scraping {jdk}: {name}: {sorted(took)[SCRAPES // 2]:.0f} ms, {sizes[-1]:,} bytes, "
                f"{found[name]['CPU, ms']:.0f} ms of CPU",
                flush=True,
            )
        collector.signal(signal.SIGINT)
        assert collector.wait() == 0, collector.err
    return found


def scrape_every_second(address: Address, over: threading.Event, took: list[float]) -> None:
    while not over.wait(1.0):
        started = time.monotonic()
        assert ask(address, accept=PROTOBUF).status == 200
        took.append(1e3 * (time.monotonic() - started))


def under_load(jdk: Jdk, is_scraped: bool) -> dict[str, Any]:
    """Counts losses at a million events per second, with an exporter that is scraped each second or without
    one."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        address = parse_address(f"127.0.0.1:{found.getsockname()[1]}")
    options = ("--metrics", address.text, "--insecure") if is_scraped else ()
    took: list[float] = []
    over = threading.Event()
    with contextlib.ExitStack() as stack:
        target = stack.enter_context(
            java(
                jdk, "-cp", BUILD / "classes", "Lanes", "rate", 0, probes="Lanes#add", options="ring-size=16m"
            )
        )
        target.wait_for_line("ready")
        wait_until(lambda: probes_of(target.pid), "its probes")
        collector = stack.enter_context(
            attach(target.pid, "--lane", "direct", "--probe", "*__return", *options)
        )
        made(target, WARM, 2)
        scraper = threading.Thread(target=scrape_every_second, args=(address, over, took))
        if is_scraped:
            scraper.start()
        cpu = Cpu({"collector": collector.pid})
        calls, seconds = made(target, f"{RATE} {SECONDS}", SECONDS)
        cores = cpu.cores()
        over.set()
        if is_scraped:
            scraper.join()
        collector.signal(signal.SIGINT)
        assert collector.wait() == 0, collector.err
    one = {
        "calls per second": calls / seconds,
        **losses(next(line for line in collector.err if " hits = " in line)),
        "collector, cores": cores["collector, cores"],
    }
    if is_scraped:
        one["scrapes"] = len(took)
        one["scrape, ms"] = took  # type: ignore[assignment]
    print(
        f"scraping {jdk}: {'scraped each second' if is_scraped else 'not scraped'}: {calls / seconds:,.0f} "
        "events/s, "
        f"{lost(one):,.0f} lost, {cores['collector, cores']:.2f} cores, {len(took)} scrapes",
        flush=True,
    )
    return one


def scraping(jdk: Jdk) -> dict[str, Any]:
    return {
        "2,000 methods, 500 series": scrape_cost(jdk),
        "1 M events/s, not scraped": under_load(jdk, False),
        "1 M events/s, scraped each second": under_load(jdk, True),
    }
