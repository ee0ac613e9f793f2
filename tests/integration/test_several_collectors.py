"""Several collectors of one process, and commands that bring their own."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from collector_fixtures import Bench, Target, events_of

from conditions import require_bpf
from java_target import NOBODY, newest_jdk
from prime_calls import prime_calls, run_calls
from stub_image import LONG, Method, StubImage

NUMBER = Method("com.acme.Orders", "number", (), LONG, "()J", (2,))


def collectors_in_ps(bench: Bench, target: Target) -> list[str]:
    rows = json.loads(bench.run("ps", "--json").stdout)
    (row,) = [row for row in rows if row["pid"] == target.pid]
    found: list[str] = row["collectors"]
    return found


def test_a_second_collector_has_an_address_of_its_own_and_is_named_as_a_choice(bench: Bench) -> None:
    require_bpf()
    target = bench.target(StubImage([NUMBER]), "dnt")
    addresses = [f"unix:///run/jprobe/{target.pid}.sock", f"unix:///run/jprobe/{target.pid}-2.sock"]
    first = bench.attach(target)
    assert first.status().endswith(f"; serving {addresses[0]}")
    second = bench.attach(target)
    assert second.status().endswith(f"; serving {addresses[1]}")
    assert collectors_in_ps(bench, target) == addresses
    for verb in ("top", "observe"):
        done = bench.run(verb, target.pid)
        assert done.returncode == 1
        assert done.stderr == (
            f"jcollect: 2 collectors are attached to PID {target.pid}: {', '.join(addresses)}; "
            "give the address of one instead of the PID\n"
        )
    observer = bench.observe(addresses[1], "--max-events", 5)
    target.fire(1, 5)
    assert observer.wait() == "observed 5 events; 0 lost"
    shown = json.loads(bench.run("status", target.pid, "--json").stdout)
    assert [each["address"] for each in shown["collectors"]] == addresses
    first.end()
    assert bench.observe(target.pid).status().endswith(addresses[1])
    second.end()
    done = bench.run("observe", target.pid)
    assert done.stderr.startswith(f"jcollect: no collector is attached to PID {target.pid}; start one with ")


def test_observe_and_top_attach_by_themselves(bench: Bench, shared_targets: Path) -> None:
    require_bpf()
    with prime_calls(newest_jdk, shared_targets, before=NOBODY) as jvm:
        select = ("--select", "PrimeCalls$Orders#touch", "--max-overhead", 0)
        top = bench.start("top", jvm.pid, *select, "--events", "--probe", "*return", "--interval", "0.2")
        observer = bench.start("observe", jvm.pid, *select, "-o", "json", "--max-events", 7)
        for command in (top, observer):
            command.line_with("armed ")
        calls = run_calls(jvm)["touch.entry"]
        observer.wait()
        assert [event["method"] for event in events_of(observer)] == ["touch"] * 7
        assert top.end().startswith("detached after ")
    text = "\n".join(top.output)
    assert re.search(rf"\ntotals of [\d.]+ s\n +CALLS +TOTAL .*\n +{calls:,} ", text), text
    assert f"1 method, {calls:,} calls, 0 errors; {calls:,} events received, 0 lost" in top.output[-1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("unix:///x.sock", "--select", "A#b"),
            "--select needs a PID to attach to, and 'unix:///x.sock' is the",
        ),
        (("1", "--max-overhead", "5"), "--max-overhead needs --select; without it, no collector is started"),
    ],
)
@pytest.mark.parametrize("verb", ["top", "observe", "hist"])
def test_options_of_a_collector_need_one(
    bench: Bench, verb: str, arguments: tuple[str, ...], message: str
) -> None:
    done = bench.run(verb, *arguments)
    assert done.returncode == 2
    assert done.stderr.startswith(f"jcollect: {message}")
