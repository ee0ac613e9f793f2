"""Measures attaching to and detaching from many probes, and the time from a command to its first event.

Two benches of bench/run.py: `attaching` (about five minutes) and `starting` (about one). Run as a program,
this file measures bcc's USDT class, in a separate process because of the memory that bcc's LLVM retains.

    python bench/attaching.py PID COUNT
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests/integration")]

from collector_fixtures import JCOLLECT, TARGET_SOURCE, Bench, Target  # noqa: E402

from conditions import wait_until  # noqa: E402
from jcollect.probes.probe import Probe  # noqa: E402
from jcollect.probes.scan import scan_traceable  # noqa: E402
from jcollect.sources.bpf.bpf_programs import BpfPrograms  # noqa: E402
from jcollect.sources.bpf.cache import default_directory  # noqa: E402
from jcollect.sources.bpf.compilation import bpf_directory, flags  # noqa: E402
from jcollect.sources.bpf.links import Linker  # noqa: E402
from layout_headers import INCLUDE_LAYOUTS  # noqa: E402
from processes import opened  # noqa: E402
from stub_image import LONG, RETURN, Method, StubImage  # noqa: E402

PROBES = 10_000
TURNS = 7
# bcc opens one perf event per probe and needs 0.1 s to close each.
BCC_PROBES = 200
BCC_TURNS = 3
# Definitions that bcc's generated code takes from kernel headers, which need not be installed.
BCC_FLAGS = [
    "-D__always_inline=inline __attribute__((always_inline))",
    "-Dint64_t=__s64",
    "-Duint64_t=__u64",
]
RING_PAGES = 2048
STARTING_TURNS = 5
STARTING_PROBES = 3
FIRING_EVERY_SECONDS = 0.002
SETTLING_SECONDS = 3.0
IDLE_SECONDS = 20.0


@contextlib.contextmanager
def target_with(probes: int) -> Iterator[Target]:
    """Starts the target program of the collector's tests with a stub library of `probes` probes."""
    with tempfile.TemporaryDirectory() as folder:
        binary = Path(folder) / "target"
        subprocess.run(["gcc", "-O1", "-pthread", INCLUDE_LAYOUTS, "-o", binary, TARGET_SOURCE], check=True)
        bench = Bench(Path(folder), binary)
        methods = [
            Method(f"com.acme.C{i // 20}", f"m{i}", (), LONG, "()J", kinds=(RETURN,)) for i in range(probes)
        ]
        try:
            yield bench.target(StubImage(methods), f"*{probes}:d1t")
        finally:
            bench.end()


def attaching() -> dict[str, Any]:
    """Attaches to 10,000 probes with one link, and to as many with bcc as it can detach from in minutes."""
    taken: dict[str, list[dict[str, float]]] = {"never fired": [], "all fired": []}
    with target_with(PROBES) as target:
        probes = scan_traceable(opened(target.pid)).probes(())
        assert len(probes) == PROBES
        handlers = BpfPrograms(PROBES, RING_PAGES)
        handlers.used = PROBES
        try:
            linker = Linker(handlers)
            for _ in range(TURNS):
                for what, times in taken.items():
                    times.append(link_and_close(linker, probes, target if what == "all fired" else None))
            assert handlers.hits().tolist() == [TURNS] * PROBES
        finally:
            handlers.close()
    with target_with(BCC_PROBES) as target:
        by_bcc = [bcc_in_a_process(target) for _ in range(BCC_TURNS)]
    for what, times in (*taken.items(), (f"bcc's USDT, {BCC_PROBES} probes", by_bcc)):
        print(f"attaching {what}: {summary(times)}", flush=True)
    ratios = {}
    for key in ("attach_ms", "detach_ms"):
        ours = statistics.median(each[key] for each in taken["all fired"]) / PROBES
        theirs = statistics.median(each[key] for each in by_bcc) / BCC_PROBES
        ratios[key] = theirs / ours
    print(
        f"attaching: bcc takes {ratios['attach_ms']:.0f} times as long as jprobe to attach to a probe, "
        f"{ratios['detach_ms']:,.0f} times as long to detach from one",
        flush=True,
    )
    return {
        "probes": PROBES,
        **taken,
        "bcc": {"probes": BCC_PROBES, "all": by_bcc, "ratio to jprobe, per probe": ratios},
    }


def link_and_close(linker: Linker, probes: list[Probe], target: Target | None) -> dict[str, float]:
    begun = time.perf_counter()
    links = linker.link(range(len(probes)), [probe.site for probe in probes])
    attached = time.perf_counter()
    if target is not None:
        target.fire(1, 1)
    closing = time.perf_counter()
    links.disarm()
    return {"attach_ms": 1e3 * (attached - begun), "detach_ms": 1e3 * (time.perf_counter() - closing)}


def summary(times: list[dict[str, float]]) -> str:
    return ", ".join(
        f"{word} in {statistics.median(each[key] for each in times):.1f} ms "
        f"({min(each[key] for each in times):.1f} to {max(each[key] for each in times):.1f})"
        for word, key in (("attached", "attach_ms"), ("detached", "detach_ms"))
    )


def bcc_in_a_process(target: Target) -> dict[str, float]:
    # bcc reads tracefs when it detaches, and fails if tracefs is not mounted.
    tracing = "/sys/kernel/tracing"
    mount = f'[ -e {tracing}/uprobe_events ] || mount -t tracefs none {tracing} && exec "$@"'
    command = [
        "unshare",
        "--mount",
        "sh",
        "-c",
        mount,
        "sh",
        sys.executable,
        __file__,
        target.pid,
        BCC_PROBES,
    ]
    done = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, text=True, check=True)
    times: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return times


def bcc_alone(pid: int, count: int) -> dict[str, float]:
    """Returns the times in ms that bcc's USDT class needs to attach, without compiling, and to detach.

    bcc passes garbage as the semaphore's offset (bcc issue 5236) and writes the semaphore itself.
    """
    # The project's headers, because the kernel's may not be installed.
    os.environ["BCC_KERNEL_SOURCE"] = str(bpf_directory())
    import bcc

    usdt = bcc.USDT(pid=pid)
    for number, probe in enumerate(scan_traceable(opened(pid)).probes(())[:count]):
        usdt.enable_probe(f"{probe.provider}:{probe.name}", f"hit_{number}")
    times: dict[str, float] = {}
    attach_uprobes = usdt.attach_uprobes

    def timed(*arguments: object) -> None:
        begun = time.perf_counter()
        attach_uprobes(*arguments)
        times["attach_ms"] = 1e3 * (time.perf_counter() - begun)

    usdt.attach_uprobes = timed
    # One function per probe, because bcc generates code by the function's name.
    functions = [f"int hit_{i}(void *ctx) {{ hits.increment({i}); return 0; }}" for i in range(count)]
    program = "\n".join([f"BPF_ARRAY(hits, u64, {count});", *functions])
    module = bcc.BPF(text=program.encode(), cflags=[*flags(), *BCC_FLAGS], usdt_contexts=[usdt])
    begun = time.perf_counter()
    module.cleanup()
    times["detach_ms"] = 1e3 * (time.perf_counter() - begun)
    return times


def starting() -> dict[str, Any]:
    """Measures the time from exec to the first event's line, with an empty and with a filled program cache.

    Also measures an idle `jcollect attach`: resident memory in MiB, CPU time in ms per second.
    """
    taken: dict[str, list[float]] = {"cold": [], "warm": []}
    with target_with(STARTING_PROBES) as target:
        with firing(target):
            for _ in range(STARTING_TURNS):
                for what, times in taken.items():
                    if what == "cold":
                        forget_handlers()
                    times.append(first_event_ms(target.pid))
        idle = idle_costs(target)
    for what, times in taken.items():
        print(
            f"starting  {what}: first event after {statistics.median(times):.0f} ms "
            f"({min(times):.0f} to {max(times):.0f})",
            flush=True,
        )
    print(
        f"starting  idle: {idle['resident, MiB']:.1f} MiB resident, "
        f"{idle['CPU, ms per second']:.2f} ms of CPU per second",
        flush=True,
    )
    return {"first event, ms": taken, "idle": idle}


def forget_handlers() -> None:
    directory = default_directory()
    assert directory is not None
    shutil.rmtree(directory, ignore_errors=True)


@contextlib.contextmanager
def firing(target: Target) -> Iterator[None]:
    """Fires the attached probes every 2 ms."""
    done = threading.Event()

    def fire() -> None:
        while not done.wait(FIRING_EVERY_SECONDS):
            target.fire(1, 1)

    thread = threading.Thread(target=fire)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def first_event_ms(pid: int) -> float:
    begun = time.perf_counter()
    with collector(pid, "-o", "json") as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        took = 1e3 * (time.perf_counter() - begun)
        assert json.loads(line)["kind"] == "return"
        # Reads the rest, so that the collector does not block on a full pipe.
        process.send_signal(signal.SIGTERM)
        process.communicate()
    return took


@contextlib.contextmanager
def collector(pid: int, *options: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [JCOLLECT, "attach", str(pid), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def idle_costs(target: Target) -> dict[str, float]:
    with collector(target.pid) as process:
        wait_until(lambda: target.semaphores() == STARTING_PROBES, "the probes to be attached to")
        time.sleep(SETTLING_SECONDS)
        status = Path(f"/proc/{process.pid}/status").read_text()
        kib = {line.split(":")[0]: line.split()[1] for line in status.splitlines() if line.endswith(" kB")}
        begun, used = time.perf_counter(), cpu_ns(process.pid)
        time.sleep(IDLE_SECONDS)
        seconds = time.perf_counter() - begun
        return {
            "resident, MiB": int(kib["VmRSS"]) / 1024,
            "anonymous, MiB": int(kib["RssAnon"]) / 1024,
            "CPU, ms per second": (cpu_ns(process.pid) - used) / 1e6 / seconds,
        }


def cpu_ns(pid: int) -> int:
    """Returns the CPU time of all threads in ns; see Linux's Documentation/scheduler/sched-stats.rst."""
    return sum(int(file.read_text().split()[0]) for file in Path(f"/proc/{pid}/task").glob("*/schedstat"))


if __name__ == "__main__":
    print(json.dumps(bcc_alone(int(sys.argv[1]), int(sys.argv[2]))))
