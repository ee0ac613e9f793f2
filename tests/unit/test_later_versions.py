"""A client reads a collector of a later version: it skips what it does not know, and says so once."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest

from java_target import JCOLLECT, run
from jcollect.cli.output import Json
from jcollect.rpc.address import Address, parse_address
from jcollect.rpc.names import GET_STATUS, LIST_PROBES, SUBSCRIBE
from jprobe.v1 import collector_pb2, probe_pb2

LATER = 77
# Fields that no message of today has: a number, 64 bits, and a text.
UNKNOWN_FIELDS = b"\xf8\x3e\x07" + b"\xf9\x3e" + bytes(8) + b"\xfa\x3e\x03abc"


def later_probe(number: int, kind: int = probe_pb2.PROBE_KIND_ENTRY, value_type: int = 5) -> Any:
    message = collector_pb2.Probe(
        id=number,
        pid=4711,
        provider="a_B",
        name=f"m{number}__entry",
        kind=kind,  # type: ignore[arg-type]
        class_name="a.B",
        method=f"m{number}",
        method_descriptor="(J)V",
        state=LATER,  # type: ignore[arg-type]
        values=[probe_pb2.Value(name="arg0", java_type="long", type=value_type)],  # type: ignore[arg-type]
    )
    message.MergeFromString(UNKNOWN_FIELDS)
    return message


PROBES = [later_probe(0), later_probe(1, kind=LATER), later_probe(2, value_type=LATER)]


def message(**body: Any) -> bytes:
    return collector_pb2.SubscribeResponse(**body).SerializeToString()


def stream(pause: float = 0.0) -> Iterator[bytes]:
    time.sleep(pause)
    yield message(schema=collector_pb2.Schema(probes=PROBES))
    batch = collector_pb2.EventBatch(
        seq=range(5),
        time_unix_nanos=[10**18] * 5,
        probe=[0, 1, 2, 1, 0],
        tid=[1] * 5,
        thread=[2] * 5,
        duration_nanos=[3] * 5,
        values=[41, 42, 43, 44, 45],
    )
    batch.MergeFromString(UNKNOWN_FIELDS)
    yield message(batch=batch)
    yield UNKNOWN_FIELDS
    for stage, events in ((LATER, 6), (LATER + 1, 7), (LATER, 8)):
        yield message(loss=collector_pb2.Loss(stage=stage, events=events))  # type: ignore[arg-type]
    time.sleep(0.3)


def status() -> bytes:
    counts = collector_pb2.HitCounts(hits=10, delivered=10)
    probes = [
        collector_pb2.ProbeHitCounts(probe=probe, counts=counts, is_linked=True, attach_point=LATER)
        for probe in PROBES
    ]
    process = collector_pb2.AttachedProcess(pid=4711, name="x", probes=3)
    answer = collector_pb2.GetStatusResponse(version="9.0", processes=[process], probes=probes)
    return answer.SerializeToString() + UNKNOWN_FIELDS


class _Later(grpc.GenericRpcHandler):  # type: ignore[misc]
    def __init__(self, pause: float) -> None:
        self._pause = pause

    def service(self, details: Any) -> Any:
        if details.method == SUBSCRIBE:
            return grpc.unary_stream_rpc_method_handler(lambda request, context: stream(self._pause))
        answers = {
            GET_STATUS: status(),
            LIST_PROBES: collector_pb2.ListProbesResponse(probes=PROBES).SerializeToString(),
        }
        return grpc.unary_unary_rpc_method_handler(
            lambda request, context: answers.get(details.method, b"\x08\x01")
        )


@contextlib.contextmanager
def later_collector(folder: Path, pause: float = 0.0) -> Iterator[Address]:
    """Runs a server that begins its streams after `pause` seconds."""
    address = parse_address(f"unix://{folder}/later.sock")
    with ThreadPoolExecutor(4) as pool:
        served = grpc.server(pool, handlers=[_Later(pause)])
        served.add_insecure_port(address.target)
        served.start()
        try:
            yield address
        finally:
            served.stop(0).wait(10)


def warnings(stderr: str) -> list[str]:
    return [line for line in stderr.splitlines() if "warning" in line]


def warning(what: str, consequence: str) -> str:
    uses = f"the collector uses {what} {LATER}, which only a later jcollect knows"
    return f"jcollect: warning: {uses}; {consequence}"


KIND = warning("probe kind", "its events are skipped")
STATE = warning("probe state", "it is printed as unknown")
TYPE = warning("value type", "its values are printed as unknown")
STAGE = warning("loss stage", "its losses are counted")


def test_observe_skips_what_only_a_later_version_knows(tmp_path: Path) -> None:
    with later_collector(tmp_path) as address:
        done = run(JCOLLECT, "observe", address.text, "-o", "json")
    assert done.returncode == 0, done.stderr
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(event["method"], event["args"]) for event in events] == [
        ("m0", [41]), ("m2", [{"unknown": True}]), ("m0", [45]),
    ]  # fmt: skip
    assert warnings(done.stderr) == [KIND, STATE, TYPE, STAGE]
    assert "observed 3 events; 15 lost (stage 77 8, stage 78 7)" in done.stderr


def test_top_skips_what_only_a_later_version_knows(tmp_path: Path) -> None:
    with later_collector(tmp_path) as address:
        done = run(JCOLLECT, "top", address.text)
    assert done.returncode == 0, done.stderr
    assert "2 methods, 3 calls, 0 errors; " in done.stdout
    assert warnings(done.stderr) == [KIND, STATE, TYPE, STAGE]


def test_status_reads_a_later_version(tmp_path: Path) -> None:
    with later_collector(tmp_path) as address:
        done = run(JCOLLECT, "status", address.text)
        whole = json.loads(run(JCOLLECT, "status", address.text, "--json").stdout)
    assert done.returncode == 0, done.stderr
    assert "not live: 3 probes unknown (unknown reason): a_B:m0__entry" in done.stdout
    assert warnings(done.stderr) == [KIND, STATE, TYPE]
    (collector,) = whole["collectors"]
    first, second, third = (each["probe"] for each in collector["probes"])
    assert (first["kind"], second["kind"], first["state"]) == ("entry", "unknown", "unknown")
    assert (first["values"][0]["type"], third["values"][0]["type"]) == ("long", "unknown")
    # The server does not know the cost: that is not a limit of 0.
    assert "overhead" not in collector["processes"][0]


@pytest.mark.parametrize("verb", ["observe", "top"])
def test_the_duration_begins_when_the_collector_has_described_its_probes(verb: str, tmp_path: Path) -> None:
    """A busy collector needed longer than the duration, and no event was printed."""
    with later_collector(tmp_path, pause=1.0) as address:
        done = run(JCOLLECT, verb, address.text, "--duration", "0.5")
    assert done.returncode == 0, done.stderr
    assert "observed 3 events" in done.stderr or "5 events received" in done.stdout


def test_json_has_the_fields_that_are_set_and_names_of_enums() -> None:
    gate = collector_pb2.Probe(id=0, kind="PROBE_KIND_THROW", every=100)
    linked = collector_pb2.ProbeHitCounts(probe=gate, is_linked=True)
    found = Json().message(linked)
    assert found["probe"] == {
        "id": 0, "pid": 0, "kind": "throw", "class_loader_id": 0, "values": [], "location": 0, "semaphore": 0,
        "semaphore_count": 0, "filtered": 0, "every": 100, "throttled": 0, "throttled_nanos": 0,
    }  # fmt: skip
    assert (found["is_linked"], found["attach_point"], "counts" in found) == (True, 0, False)
    assert Json().message(collector_pb2.ProbeHitCounts()) == {"is_linked": False}
    counts = collector_pb2.HitCounts(hits=2**53 + 1)
    assert Json(quotes_64_bits=True).message(counts)["hits"] == "9007199254740993"
    loss = collector_pb2.Loss(stage="LOSS_STAGE_KERNEL_RING", events=1)
    assert Json().message(loss) == {"stage": "kernel_ring", "events": 1, "probes": []}
    overhead = collector_pb2.Overhead(max_percent=50)
    assert "available_nanos" not in Json().message(overhead)
