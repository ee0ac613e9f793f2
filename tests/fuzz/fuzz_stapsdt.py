"""Fuzzes libstapsdt and the writer of stub libraries under ASan and UBSan: random calls, from a seed.

    python3 tests/fuzz/fuzz_stapsdt.py --seconds 3600 [--seed N]

A short run is part of tests/integration/test_native_checks.py. A failure names its seed, which replays it
unless it depends on how threads or forks come to run.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from layout_headers import INCLUDE_LAYOUTS

FOLDER = Path(__file__).parent
MAIN = FOLDER.parents[1] / "java-agent/src/main/c"
# Folders of the library's sources and headers.
PARTS = (MAIN / "stub", MAIN / "libstapsdt")

# Calls that fail at random: see faults.c.
FAULTY = (
    *("access", "calloc", "dlinfo", "dlopen", "fcntl", "memfd_create", "mkdir", "mmap", "mprotect"),
    *("open", "pwrite", "strdup"),
)


def build(folder: Path) -> Path:
    """Builds the fuzzer in that folder. Raises subprocess.CalledProcessError."""
    program = folder / "fuzz_stapsdt"
    subprocess.run(
        [
            *("gcc", "-std=gnu11", "-g", "-O1", "-fno-omit-frame-pointer", "-pthread", "-Wall", "-Wextra"),
            *("-Werror", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"),
            *(f"-I{part}" for part in PARTS),
            INCLUDE_LAYOUTS,
            *("-o", program, *sorted(FOLDER.glob("*.c"))),
            *(source for part in PARTS for source in sorted(part.glob("*.c"))),
            *(f"-Wl,--wrap={call}" for call in FAULTY),
            "-ldl",
        ],
        check=True,
    )
    return program


def fuzz(program: Path, seed: int, seconds: int, folder: Path) -> subprocess.CompletedProcess[str]:
    """Runs the fuzzer once, in a folder that must be empty before; a sound run leaves it empty."""
    return subprocess.run(
        [program, str(seed), str(seconds), folder],
        capture_output=True,
        text=True,
        errors="replace",
        timeout=seconds + 300,
        check=False,
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seconds", type=int, default=3600)
    parser.add_argument("--seed", type=int, default=time.time_ns())
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "stubs"
        folder.mkdir()
        result = fuzz(build(Path(scratch)), given.seed, given.seconds, folder)
        left = [path.name for path in folder.iterdir()]
    print(f"seed {given.seed}: {result.stdout}{result.stderr}", end="")
    if left:
        print(f"left behind: {left}")
    return 1 if result.returncode or left else 0


if __name__ == "__main__":
    sys.exit(main())
