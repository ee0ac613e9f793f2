"""The native part of the direct lane on its own: buckets, clock, rings, and histograms."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from decimal import Decimal, localcontext
from pathlib import Path

import pytest

from java_target import ROOT, run
from layout_headers import INCLUDE_LAYOUTS


def _bounds_of_buckets() -> Iterator[tuple[int, int]]:
    """Yields the largest duration of each bucket, and the next one, with their element of
    histogram.buckets: bucket i, element i + 1, ends at 2 ** ((i + 1) / 16)."""
    with localcontext(prec=60):
        ends = [int(Decimal(2) ** (Decimal(i + 1) / 16)) for i in range(-1, 1009)]
    for element, end in enumerate(ends):
        # Below 2 ** 5 some buckets hold no whole number: those of equal ends before the first.
        if end < 1 << 63:
            yield end, ends.index(end)
            if end + 1 < 1 << 63:
                yield end + 1, next(later for later in range(element, len(ends)) if ends[later] > end)


@pytest.mark.parametrize("options", [(), ("-fsanitize=address,undefined",)], ids=["plain", "asan"])
def test_the_native_direct_lane_accounts_for_every_event(tmp_path: Path, options: tuple[str, ...]) -> None:
    sources = ROOT / "java-agent/src"
    bounds = tmp_path / "bounds"
    bounds.write_text("".join(f"{value} {element}\n" for value, element in _bounds_of_buckets()))
    program = tmp_path / "test_direct"
    subprocess.run(
        [
            *("gcc", "-O2", "-g", "-std=gnu11", "-Wall", "-Wextra", "-Werror", "-pthread"),
            *options,
            INCLUDE_LAYOUTS,
            "-o",
            program,
            sources / "test/c/test_direct.c",
            *sorted((sources / "main/c/direct").glob("*.c")),
            sources / "main/c/agent/text_file.c",
            sources / "main/c/stub/memfd.c",
        ],
        check=True,
    )
    result = run(program, bounds)
    assert (result.returncode, result.stdout, result.stderr) == (0, "0 failures\n", "")
