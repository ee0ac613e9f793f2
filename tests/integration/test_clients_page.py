"""The clients of docs/clients.md, as they are on the page, count a prime number of calls of a real program,
although their connections are cut."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import jcollect
from conditions import require_bpf, wait_until
from cut_connections import Relay
from java_target import ORDERS, ORDERS_PROBES, Process, attach, finish, java, newest_jdk, wait_for_probes
from orders_client import PLACE, PLACE_WITH_ITEM
from page_blocks import Section, section_of
from prime_calls import run_calls

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/clients.md"
VENV = Path(sys.executable).parent
# It has grpcio-tools, which the collector does not need.
PROTOC = ROOT / "build/protoc/bin"
GO = Path("/usr/local/go/bin")
GLOB = "PrimeCalls$Orders#place"
BUILD_SECONDS = 400
CUTS = 3
HISTORY = "64M"
# Colors of Maven.
ESCAPES = re.compile(r"\x1b\[[0-9;]*m")
EXCEPTIONS = ("java.lang.IllegalArgumentException", "java.lang.IllegalStateException")
# What the environment of the tests has already.
INSTALLED = ('python3 -m pip install "$JPROBE"', "go mod init count")


@pytest.fixture(autouse=True)
def bpf() -> None:
    require_bpf()


@pytest.fixture(scope="module")
def program(targets: Path) -> Iterator[Process]:
    jdk = newest_jdk
    with java(jdk, "-cp", targets, "PrimeCalls", probes=ORDERS) as target:
        target.wait_for_line("ready")
        wait_for_probes(target.pid, ORDERS_PROBES)
        yield target


def expected(did: dict[str, int]) -> list[str]:
    """Returns what a client prints, without the last line."""
    counts = {
        f"{PLACE} PROBE_KIND_ENTRY": did["place.entry"],
        f"{PLACE} PROBE_KIND_RETURN": did["place.return"],
        f"{PLACE} PROBE_KIND_THROW": did["place.throw"],
        f"{PLACE_WITH_ITEM} PROBE_KIND_ENTRY": did["place2.entry"],
        f"{PLACE_WITH_ITEM} PROBE_KIND_RETURN": did["place2.return"],
        f"{PLACE_WITH_ITEM} PROBE_KIND_THROW": did["place2.throw"],
    }
    throws = (did["place.throw"], did["place2.throw"])
    strings = did["place2.entry"] - did["place2.throw"] + sum(throws)
    size = did["place2.text.bytes"] + sum(
        number * len(name) for number, name in zip(throws, EXCEPTIONS, strict=True)
    )
    return [
        *(f"{count} PrimeCalls$Orders.place{name}" for name, count in counts.items()),
        f"{strings} strings with {size} bytes",
    ]


def run_cut(target: Process, relay: Relay, client: jcollect.Client) -> dict[str, int]:
    """Makes the program run its calls, and cuts the client's connection meanwhile."""
    results: list[dict[str, int]] = []
    runner = threading.Thread(target=lambda: results.append(run_calls(target)))
    runner.start()
    for _ in range(CUTS):
        connections = relay.connections
        relay.cut()
        wait_until(lambda: relay.connections > connections, "another connection")  # noqa: B023
        wait_until(lambda: client.status().subscribers, "the subscriber")
    runner.join(120)
    (did,) = results
    return did


def check(section: Section, program: Process, folder: Path, path: list[Path]) -> None:
    """Builds the client of a section, and runs it against a collector."""
    section.write_files(folder)
    # Unix sockets have short paths.
    socket = Path(f"/run/jprobe/{program.pid}.relay")
    environment = {
        **os.environ,
        "PATH": ":".join([*map(str, path), os.environ["PATH"], str(GO)]),
        "JPROBE": str(ROOT),
        "SOCKET": str(socket),
        "GLOB": GLOB,
    }
    *builds, command = section.commands
    for build in builds:
        text = "\n".join(line for line in build.splitlines() if line not in INSTALLED[:1])
        done = subprocess.run(
            ["bash", "-ec", text],
            cwd=folder, env=environment, capture_output=True, text=True, timeout=BUILD_SECONDS,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
    # A client that starts slowly falls behind.
    collector = attach(program.pid, "--history", HISTORY)
    address = Path(f"/run/jprobe/{program.pid}.sock")
    with Relay(socket, address) as relay, jcollect.Client(program.pid) as client:
        try:
            with Process(["bash", "-ec", command], cwd=folder, env=environment) as reader:
                wait_until(lambda: client.status().subscribers, "the subscriber", 60)
                did = run_cut(program, relay, client)
                finish(collector)
                assert reader.wait(60) == 0, reader.err
                printed = [text for line in reader.out if (text := ESCAPES.sub("", line))]
        finally:
            socket.unlink()
    assert did["place.entry"] == 104_729
    lost, missed, reconnects = printed[-1].split(", ")
    assert (lost, missed) == ("0 lost", "0 missed")
    assert printed[:-1] == expected(did), reader.err
    assert "\n".join(printed[:-1]) in PAGE.read_text()
    assert int(reconnects.split()[0]) >= CUTS


@pytest.mark.parametrize(
    ("heading", "path"), [("Python, with jcollect", VENV), ("Python, with grpcio", PROTOC)]
)
def test_python(program: Process, tmp_path: Path, heading: str, path: Path) -> None:
    check(section_of(PAGE, heading), program, tmp_path, [path])


@pytest.mark.takes_long
def test_java(program: Process, tmp_path: Path) -> None:
    check(section_of(PAGE, "Java"), program, tmp_path, [])


@pytest.mark.takes_long
def test_javascript(program: Process, tmp_path: Path) -> None:
    check(section_of(PAGE, "JavaScript"), program, tmp_path, [])


@pytest.mark.takes_long
@pytest.mark.skipif(not (shutil.which("go") or GO.exists()), reason="needs the toolchain of Go")
def test_go(program: Process, tmp_path: Path) -> None:
    check(section_of(PAGE, "Go"), program, tmp_path, [VENV])
