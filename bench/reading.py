"""Measures the collector's CPU time per event, beside bcc's callback for each event of a ring buffer.

A bench of bench/run.py: `reading`, about five minutes. One thread fires without pause
(targets/stapsdt/fires.c); the ring buffer has 4 MiB.

    bench/reading.py subscribe ADDRESS              the subscriber, which runs in a separate process
    bench/reading.py bcc PID (counting|columns)     bcc as the reader, also in a separate process
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

import numpy as np  # noqa: E402

from conditions import wait_until  # noqa: E402
from java_target import JCOLLECT, Process, probes_of, run  # noqa: E402
from jcollect.hub.items import Events, Schema  # noqa: E402
from jcollect.probes.scan import scan_traceable  # noqa: E402
from jcollect.rpc.address import parse_address  # noqa: E402
from jcollect.rpc.subscriber import Subscriber  # noqa: E402
from jcollect.sources.bpf.attach_point import find_attach_point  # noqa: E402
from jcollect.sources.bpf.bpf_syscalls import BPF_TRACE_UPROBE_MULTI, link_uprobe_multi  # noqa: E402
from processes import opened  # noqa: E402

SOURCES = ROOT / "bench/targets/stapsdt"
BUILD = ROOT / "build/bench/reading"
PREFIX = "/usr/local"
FIRED = ("numbers", "texts", "mixed")
SECONDS = 30.0
RING_PAGES = 1024
# The collector's polling interval while events arrive.
POLL_SECONDS = 0.005
BATCH = 4096
TICKS = os.sysconf("SC_CLK_TCK")


def compile_target() -> Path:
    """Compiles fires.c against an installed libstapsdt, as its users do, and returns the program's path."""
    root = BUILD / "installation"
    library = f"{root}{PREFIX}/lib"
    for command in (
        ["make", "-C", ROOT, "install-stapsdt", f"DESTDIR={root}", f"PREFIX={PREFIX}"],
        ["gcc", "-O2", "-Wall", "-Wextra", "-Werror", f"-I{root}{PREFIX}/include", "-o", BUILD / "fires",
         SOURCES / "fires.c", f"-L{library}", "-lstapsdt", f"-Wl,-rpath,{library}"],
    ):  # fmt: skip
        done = run(*command, timeout=120)
        assert done.returncode == 0, done.stderr
    return BUILD / "fires"


def cpu_seconds(pid: int) -> float:
    """Returns the user and system time of all threads: fields 14 and 15 of proc_pid_stat(5)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def rss_bytes(pid: int) -> int:
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1]) << 10


@contextlib.contextmanager
def firing(what: str) -> Iterator[Process]:
    """Starts the target and waits for its probes."""
    with Process([BUILD / "fires", what]) as target:
        target.wait_for_line("ready")
        wait_until(lambda: len(probes_of(target.pid)) == 2, "its probes")
        yield target


def fire(target: Process, reader: int) -> dict[str, float]:
    """Lets the target fire at full speed, and measures the CPU time and memory of the reading process."""
    before = cpu_seconds(reader)
    target.send(str(SECONDS))
    fired, seconds = target.wait_for_line(r"\d+ \d", SECONDS + 30).split()
    # Includes the time to read what is still in the ring buffer.
    time.sleep(0.5)
    cpu = cpu_seconds(reader) - before
    return {
        "fired": int(fired),
        "hits per second": int(fired) / float(seconds),
        "CPU, s": cpu,
        "CPU, cores": cpu / float(seconds),
        "resident, MiB": rss_bytes(reader) / 2**20,
    }


def collect(what: str) -> dict[str, float]:
    """Reads with jcollect, and a subscriber over gRPC."""
    with firing(what) as target:
        address = f"unix://{BUILD}/{what}.sock"
        with Process(
            [JCOLLECT, "attach", str(target.pid), "--listen", address, "--ring-pages", str(RING_PAGES)]
        ) as collector:
            collector.wait_for_line("armed ")
            with Process([sys.executable, __file__, "subscribe", address]) as subscriber:
                subscriber.wait_for_line("subscribed")
                found = fire(target, collector.pid)
                collector.signal(2)
                assert collector.wait() == 0, collector.err
                received = int(subscriber.wait_for_line(r"\d+$"))
        counts = next(line for line in collector.err if "hits = " in line)
        hits, delivered, in_ring, in_collector, by_subscriber = (
            int(re.search(pattern, counts)[1].replace(",", ""))  # type: ignore[index]
            for pattern in (
                r"([\d,]+) hits = ", r"([\d,]+) delivered", r"kernel ring ([\d,]+)", r"collector ([\d,]+)",
                r"([\d,]+) events lost",
            )
        )  # fmt: skip
    return found | {
        "hits": hits,
        "delivered": delivered,
        "lost in ring buffer": in_ring,
        "lost in collector": in_collector,
        "lost by subscriber": by_subscriber,
        "received": received,
    }


def subscribe(address: str) -> None:
    """Counts what it receives until the stream ends."""
    received = 0
    with Subscriber(parse_address(address)) as client:
        for item in client.subscribe():
            if isinstance(item, Events):
                received += len(item.columns)
            elif isinstance(item, Schema):
                print("subscribed", flush=True)
    print(received)


def read_by_bcc(what: str, how: str) -> dict[str, float]:
    """Reads with bcc's open_ring_buffer, whose callback only counts, or also builds columns."""
    with firing(what) as target, Process([sys.executable, __file__, "bcc", str(target.pid), how]) as reader:
        reader.wait_for_line("attached")
        found = fire(target, reader.pid)
        reader.finish_input()
        received, lost = reader.wait_for_line(r"\d+ \d+$").split()
    return found | {"received": int(received), "lost in ring buffer": int(lost)}


class Event(ctypes.Structure):
    """struct event of read_by_bcc.c, except its text."""

    _fields_ = (
        ("time", ctypes.c_uint64),
        ("tid", ctypes.c_uint32),
        ("probe", ctypes.c_uint32),
        ("word", ctypes.c_uint64 * 4),
    )


class Counting:
    """The cheapest possible callback."""

    def __init__(self) -> None:
        self.events = 0

    def __call__(self, _: Any, data: int, size: int) -> None:
        self.events += 1


class MakingColumns:
    """A callback that collects the fields of a batch of events and then builds columns from them."""

    def __init__(self) -> None:
        self.events = 0
        self._rows: list[tuple[int, int, int, int, int, int]] = []
        self._texts: list[bytes] = []

    def __call__(self, _: Any, data: int, size: int) -> None:
        self.events += 1
        event = ctypes.cast(data, ctypes.POINTER(Event)).contents
        word = event.word
        self._rows.append((event.time, event.tid, event.probe, word[0], word[1], word[2]))
        if size > ctypes.sizeof(Event):
            self._texts.append(ctypes.string_at(data + ctypes.sizeof(Event)))
        if len(self._rows) == BATCH:
            np.array(self._rows, np.uint64).T.copy()
            b"".join(self._texts)
            self._rows.clear()
            self._texts.clear()


class BccProgram:
    """read_by_bcc.c, compiled and loaded by bcc."""

    def __init__(self) -> None:
        import bcc

        os.environ["BCC_KERNEL_SOURCE"] = str(ROOT / "bpf")
        machine = {"x86_64": "JPROBE_X86_64", "aarch64": "JPROBE_AARCH64"}[os.uname().machine]
        flags = [f"-DPAGES={RING_PAGES}", f"-D{machine}", "-Wno-macro-redefined"]
        text = (SOURCES / "read_by_bcc.c").read_bytes()
        self.module = bcc.BPF(text=text, cflags=flags)
        self._kind = bcc.BPF.KPROBE

    def load(self, name: bytes) -> int:
        return self.module.load_func(name, self._kind, None, BPF_TRACE_UPROBE_MULTI).fd

    def load_empty_for_uprobe_multi(self) -> int:
        """Implements the interface that find_attach_point requires."""
        return self.load(b"do_nothing")


def be_bcc(pid: int, how: str) -> None:
    """Reads the ring buffer until stdin ends."""
    program = BccProgram()
    point = find_attach_point(program)  # type: ignore[arg-type]
    for number, probe in enumerate(scan_traceable(opened(pid)).probes(())):
        link_uprobe_multi(
            program.load(f"{probe.name}_fired".encode()),
            probe.file,
            [probe.site.location + point],
            [probe.site.semaphore],
            [number],
            pid,
        )
    callback: Counting | MakingColumns = Counting() if how == "counting" else MakingColumns()
    program.module[b"events"].open_ring_buffer(callback)
    ended = threading.Event()

    def wait_for_end() -> None:
        sys.stdin.read()
        ended.set()

    threading.Thread(target=wait_for_end, daemon=True).start()
    print("attached", flush=True)
    while not ended.wait(POLL_SECONDS):
        program.module.ring_buffer_consume()
    program.module.ring_buffer_consume()
    print(callback.events, program.module[b"lost"][0].value, flush=True)


def reading() -> dict[str, Any]:
    """Measures each reader with each kind of event."""
    BUILD.mkdir(parents=True, exist_ok=True)
    compile_target()
    readers: dict[str, Callable[[str], dict[str, float]]] = {
        "jprobe": collect,
        "bcc, counting": lambda what: read_by_bcc(what, "counting"),
        "bcc, making columns": lambda what: read_by_bcc(what, "columns"),
    }
    found: dict[str, Any] = {}
    for what in FIRED:
        for reader, measure in readers.items():
            one = found[f"{what}, {reader}"] = measure(what)
            one["CPU, us per event received"] = one["CPU, s"] / one["received"] * 1e6
            lost = ", ".join(f"{name} {one[name]:,.0f}" for name in one if name.startswith("lost "))
            print(
                f"reading   {what}, {reader}: {one['hits per second'] / 1e6:.2f} M hits/s, "
                f"{one['CPU, us per event received']:.3f} us CPU per event received "
                f"({one['CPU, cores']:.0%} of a CPU), received {one['received']:,.0f}, {lost}, "
                f"{one['resident, MiB']:.0f} MiB",
                flush=True,
            )
    return found


def main() -> None:
    match sys.argv[1:]:
        case ["subscribe", address]:
            subscribe(address)
        case ["bcc", pid, how]:
            be_bcc(int(pid), how)
        case _:
            reading()


if __name__ == "__main__":
    main()
