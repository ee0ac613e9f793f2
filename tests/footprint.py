"""Samples the resources that a process uses over its lifetime, and measures their growth."""

from __future__ import annotations

import os
import re
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from java_target import COMPILER, run


@dataclass(frozen=True)
class Footprint:
    """One sample. Sizes in KiB; those from native memory tracking are 0 for processes other than JVMs."""

    rss: int
    mappings: int
    descriptors: int
    threads: int
    stub_files: int = 0
    metaspace: int = 0
    native: int = 0


def of_process(pid: int) -> Footprint:
    process = Path(f"/proc/{pid}")
    status = (process / "status").read_text()
    return Footprint(
        rss=_number(r"VmRSS:\s+(\d+)", status),
        mappings=(process / "maps").read_text().count("\n"),
        descriptors=len(os.listdir(process / "fd")),
        threads=_number(r"Threads:\s+(\d+)", status),
    )


def of_jvm(pid: int, stubs: Path) -> Footprint:
    """Samples a JVM that runs with -XX:NativeMemoryTracking=summary; `stubs` is the agent's directory.

    Forces a garbage collection first: until then HotSpot keeps all metadata that a selection re-read or a
    retransformation replaced, 0.5 MB for each selection of some 200 classes of a database. Without it,
    samples of a young JVM and an old one would not compare.
    """
    _jcmd(pid, "GC.run")
    report = _jcmd(pid, "VM.native_memory", "summary", "scale=KB")
    heap = _committed("Java Heap", report)
    return Footprint(
        **{
            **asdict(of_process(pid)),
            "stub_files": len(list(stubs.glob(f"jprobe-{pid}-*/*"))),
            "metaspace": _committed("Metaspace", report) + _committed("Class", report),
            "native": _number(r"Total: reserved=\d+KB, committed=(\d+)KB", report) - heap,
        }
    )


def _jcmd(pid: int, *command: str) -> str:
    done = run(COMPILER.home / "bin/jcmd", pid, *command)
    assert done.returncode == 0, done
    output: str = done.stdout
    return output


def _committed(category: str, report: str) -> int:
    return _number(rf"{category} \(reserved=\d+KB, committed=(\d+)KB", report)


def _number(pattern: str, text: str) -> int:
    found = re.search(pattern, text)
    assert found, f"no {pattern!r} in {text[:500]!r}"
    return int(found[1])


def growth(samples: Sequence[Footprint]) -> dict[str, int]:
    """Returns how much each number's median in the last quarter of the samples exceeds that in the second.

    In the first quarter a JVM does one-time work: it loads classes, compiles, and creates arenas.
    """
    quarter = len(samples) // 4
    assert quarter > 0, f"{len(samples)} samples have no quarters"
    return {
        name: int(
            statistics.median(getattr(sample, name) for sample in samples[-quarter:])
            - statistics.median(getattr(sample, name) for sample in samples[quarter : 2 * quarter])
        )
        for name in asdict(samples[0])
    }
