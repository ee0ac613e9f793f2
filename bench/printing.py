"""Measures the CPU time to print an event, beside formatting one row after the other.

A bench of bench/run.py: `printing`, about three minutes. First it formats the same batches in turns with
jcollect and with the simple implementation of the tests (tests/rows.py), and in JSON also with orjson and
msgspec if they are installed. Then `jcollect observe` prints what a program fires at full speed.
"""

from __future__ import annotations

import itertools
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

import numpy as np  # noqa: E402

import reading  # noqa: E402
from java_target import JCOLLECT, Process  # noqa: E402
from jcollect.sources.columns import Columns  # noqa: E402
from jcollect.view.line_formats import NAMES, line_format  # noqa: E402
from jcollect.view.lines import LineFormatter  # noqa: E402
from jprobe.v1 import collector_pb2, probe_pb2  # noqa: E402
from ring_image import string  # noqa: E402
from row_formats import compact_line, json_line  # noqa: E402
from rows import RowDecoder  # noqa: E402

METHODS = 500
EVENTS = 4096
TURNS = 15
ENTRY, RETURN, LONG, STRING = (
    probe_pb2.PROBE_KIND_ENTRY,
    probe_pb2.PROBE_KIND_RETURN,
    probe_pb2.VALUE_TYPE_LONG,
    probe_pb2.VALUE_TYPE_STRING,
)
TEXT = b"select city, sum(amount) from orders where customer < ? group by city"


def probes(types: tuple[probe_pb2.ValueType, ...], path: str) -> list[collector_pb2.Probe]:
    """Returns entry and return probes in turns, whose values have these types."""
    return [
        collector_pb2.Probe(
            id=number,
            pid=4711,
            provider="com_acme_orders_OrderService",
            name=f"place{number // 2}__{'return' if number % 2 else 'entry'}",
            kind=RETURN if number % 2 else ENTRY,
            class_name="com.acme.orders.OrderService",
            method=f"place{number // 2}",
            method_descriptor="(JLjava/lang/String;)J",
            values=[
                probe_pb2.Value(name=f"v{i}", java_type="long", type=value_type, path=path)
                for i, value_type in enumerate(types)
            ],
        )
        for number in range(2 * METHODS)
    ]


def batch(types: tuple[probe_pb2.ValueType, ...]) -> Columns:
    dice = np.random.default_rng(1)
    words = [string(len(TEXT)) if value_type == STRING else 1_234_567 for value_type in types]
    return Columns(
        seq=np.arange(EVENTS, dtype=np.uint64),
        time_unix_nanos=np.uint64(1_795_341_600_123_456_789) + np.arange(EVENTS, dtype=np.uint64) * 2500,
        probe=dice.integers(0, 2 * METHODS, EVENTS, np.uint32),
        tid=dice.integers(4711, 4731, EVENTS, np.uint32),
        thread=dice.integers(20, 40, EVENTS, np.uint64),
        duration_nanos=dice.integers(300, 90_000, EVENTS, np.uint64),
        values=np.array(words * EVENTS, np.uint64),
        text=TEXT * types.count(STRING) * EVENTS,
    )


KINDS: dict[str, tuple[tuple[probe_pb2.ValueType, ...], str]] = {
    "one long": ((LONG,), ""),
    "a long and a string, captured": ((LONG, STRING), "arg0.x"),
}


def columnwise(name: str, described: list[collector_pb2.Probe], columns: Columns) -> Callable[[], bytes]:
    formatter = LineFormatter(line_format(name))
    formatter.add(described)
    return lambda: b"".join("\n".join([*lines, ""]).encode() for lines in formatter.lines(columns))


def rowwise(name: str, described: list[collector_pb2.Probe], columns: Columns) -> Callable[[], bytes]:
    line, decoder = {"json": json_line, "compact": compact_line}[name], RowDecoder(described)
    return lambda: "\n".join([*map(line, decoder.rows(columns)), ""]).encode()


def encoders() -> dict[str, Callable[[list[dict[str, Any]]], bytes]]:
    """Returns encoders of other packages, which need an object per event."""
    found: dict[str, Callable[[list[dict[str, Any]]], bytes]] = {}
    try:
        import orjson

        found["orjson"] = lambda objects: b"\n".join(map(orjson.dumps, objects)) + b"\n"
    except ImportError:
        pass
    try:
        import msgspec

        found["msgspec"] = msgspec.json.Encoder().encode_lines
    except ImportError:
        pass
    return found


def by_objects(
    encode: Callable[[list[dict[str, Any]]], bytes], described: list[collector_pb2.Probe], columns: Columns
) -> Callable[[], bytes]:
    """Formats events that have one long: builds a dict of each, and encodes it."""
    names = [
        (p.pid, f"{p.provider}:{p.name}", p.class_name, p.method, p.descriptor, p.kind) for p in described
    ]

    def objects() -> list[dict[str, Any]]:
        found = []
        for seq, at, probe, tid, thread, took, value in zip(
            *(getattr(columns, name).tolist() for name in (
                "seq", "time_unix_nanos", "probe", "tid", "thread", "duration_nanos", "values",
            )), strict=True,
        ):  # fmt: skip
            pid, full, class_name, method, descriptor, kind = names[probe]
            one = {
                "time": f"2026-11-22T10:00:00.{at % 10**9:09d}Z", "pid": pid, "tid": tid, "thread": thread,
                "probe": full, "class": class_name, "method": method, "descriptor": descriptor,
                "kind": "entry" if kind == ENTRY else "return",
            }  # fmt: skip
            values = {"args": [value]} if kind == ENTRY else {"duration_ns": took, "value": value}
            found.append(one | values | {"seq": seq})
        return found

    return lambda: encode(objects())


def formatting() -> dict[str, Any]:
    """Measures ns of CPU per event of each way, in turns."""
    found: dict[str, Any] = {}
    for (kind, (types, path)), name in itertools.product(KINDS.items(), NAMES):
        described, columns = probes(types, path), batch(types)
        ways = {make.__name__: make(name, described, columns) for make in (columnwise, rowwise)}
        if name == "json" and kind == "one long":
            ways |= {
                package: by_objects(encode, described, columns) for package, encode in encoders().items()
            }
        (content,) = {way() for way in ways.values()}
        taken: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(TURNS):
            for way, run in ways.items():
                begun = time.process_time_ns()
                run()
                taken[way].append((time.process_time_ns() - begun) / EVENTS)
        medians = {way: statistics.median(times) for way, times in taken.items()}
        texts = ", ".join(f"{way} {1e6 / ns:,.0f}" for way, ns in medians.items())
        print(
            f"printing  {name}, {kind} ({len(content) / EVENTS:.0f} bytes): thousand events/s per core: "
            f"{texts}; {medians['rowwise'] / medians['columnwise']:.1f} times as fast as row by row",
            flush=True,
        )
        found[f"{name}, {kind}"] = {f"{way}, ns per event": times for way, times in taken.items()}
    return found


def observing() -> dict[str, Any]:
    """Measures the CPU time per event of `jcollect observe`, from gRPC to /dev/null."""
    reading.BUILD.mkdir(parents=True, exist_ok=True)
    reading.compile_target()
    found: dict[str, Any] = {}
    for what, name in itertools.product(("numbers", "texts"), NAMES):
        with reading.firing(what) as target:
            address = f"unix://{reading.BUILD}/{what}.sock"
            with Process([JCOLLECT, "attach", str(target.pid), "--listen", address]) as collector:
                collector.wait_for_line("armed ")
                observer = subprocess.Popen(
                    [str(JCOLLECT), "observe", address, "-o", name],
                    stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                )  # fmt: skip
                assert observer.stderr is not None
                while "observing" not in observer.stderr.readline():
                    pass
                before = reading.cpu_seconds(observer.pid)
                target.send(str(reading.SECONDS / 3))
                target.wait_for_line(r"\d+ \d", reading.SECONDS + 30)
                time.sleep(2)
                cpu = reading.cpu_seconds(observer.pid) - before
                collector.signal(2)
                assert collector.wait() == 0, collector.err
                last = observer.communicate(timeout=60)[1].splitlines()[-1]
        events = int(last.removeprefix("observed ").split()[0].replace(",", ""))
        found[f"observe -o {name}, {what}"] = one = {
            "events": events,
            "CPU, us per event": cpu / events * 1e6,
        }
        print(
            f"printing  observe -o {name}, {what}: {one['CPU, us per event']:.2f} us CPU per event, "
            f"{events / cpu / 1e3:,.0f} thousand events/s per core; {last}",
            flush=True,
        )
    return found


def printing() -> dict[str, Any]:
    return {"formatting": formatting(), "observing": observing()}


if __name__ == "__main__":
    printing()
