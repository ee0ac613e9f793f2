"""The text format of Prometheus, version 0.0.4.

It has no exponential buckets. Durations have classic ones, whose bounds are powers of 4 ns. These are bounds
of the exponential buckets too, so that each count is exact; between two bounds nothing is known.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from jcollect.exponential_histogram import ExponentialHistogram
from jcollect.metrics.families import HISTOGRAM, Family, Labels, Number

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
# Binary logarithms of the bounds: from 64 ns to 68.7 s.
_EXPONENTS = range(6, 37, 2)
BOUNDS = tuple(1 << exponent for exponent in _EXPONENTS)

_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})
_HELP_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n"})


def text_of(families: Iterable[Family]) -> bytes:
    """Returns the metrics; those without samples are left out."""
    lines: list[str] = []
    for family in families:
        if not family.samples:
            continue
        lines.append(f"# HELP {family.name} {family.help.translate(_HELP_ESCAPES)}")
        lines.append(f"# TYPE {family.name} {family.kind}")
        for sample in family.samples:
            labels = _label_text(sample.labels)
            if isinstance(sample.value, ExponentialHistogram):
                assert family.kind == HISTOGRAM
                lines.extend(_histogram_lines(family.name, labels, sample.value))
            else:
                lines.append(f"{family.name}{_braced(labels)} {_number(sample.value)}")
    lines.append("")
    return "\n".join(lines).encode()


def cumulative(histogram: ExponentialHistogram) -> list[int]:
    """Returns how many calls took no longer than each of BOUNDS."""
    sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(histogram.counts, dtype=np.uint64)])
    # The last bucket that ends at the bound or below it.
    lasts = np.array([(exponent << histogram.scale) - 1 for exponent in _EXPONENTS]) - histogram.offset + 1
    below: list[int] = sums[np.clip(lasts, 0, len(histogram.counts))].tolist()
    return [histogram.zero + each for each in below]


def _histogram_lines(name: str, labels: str, histogram: ExponentialHistogram) -> Iterator[str]:
    separator = "," if labels else ""
    for bound, count in zip(BOUNDS, cumulative(histogram), strict=True):
        yield f'{name}_bucket{{{labels}{separator}le="{bound}"}} {count}'
    count = histogram.count
    yield f'{name}_bucket{{{labels}{separator}le="+Inf"}} {count}'
    yield f"{name}_sum{_braced(labels)} {histogram.total}"
    yield f"{name}_count{_braced(labels)} {count}"


def _braced(labels: str) -> str:
    return f"{{{labels}}}" if labels else ""


def _label_text(labels: Labels) -> str:
    return ",".join(f'{name}="{value.translate(_ESCAPES)}"' for name, value in labels)


def _number(value: Number) -> str:
    return str(value) if isinstance(value, int) else repr(value)
