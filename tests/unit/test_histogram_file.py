"""Reads the histograms of a process: exactly, without giving it memory, and whatever it writes there."""

from __future__ import annotations

import contextlib
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from histogram_image import DATA, SEALS, HistogramImage
from jcollect.layout.direct import DIRECT_VERSION, HISTOGRAM_SIZE
from jcollect.probes.histogram_file import Histograms
from processes import ourselves
from reference_histogram import histogram_of


@contextlib.contextmanager
def opened(image: HistogramImage) -> Iterator[Histograms]:
    histograms = Histograms.open(ourselves(), image.descriptor)
    try:
        yield histograms
    finally:
        histograms.close()
        image.close()


def test_a_histogram_is_the_sum_of_all_stripes() -> None:
    image = HistogramImage(capacity=600, stripes=4)
    numbers = random.Random(1)
    durations: dict[int, list[int]] = {number: [] for number in (0, 1, 17, 299, 300, 599)}
    for number, found in durations.items():
        for _ in range(50):
            # Some in the second page of a histogram.
            duration = int(2 ** numbers.uniform(0, 50)) * (numbers.random() > 0.1)
            found.append(duration)
            image.count(number, duration, stripe=numbers.randrange(4))
    with opened(image) as histograms:
        read = histograms.read(range(600))
        assert read == {number: histogram_of(found) for number, found in durations.items()}
        assert histograms.read([17, 18]) == {17: read[17]}
        assert histograms.read([]) == {}


def test_a_reading_uses_none_of_the_process_memory() -> None:
    image = HistogramImage(capacity=5000, stripes=8)
    image.count(4000, 7)
    before = image.pages()
    with opened(image) as histograms:
        assert set(histograms.read(range(5000))) == {4000}
        assert image.pages() == before == 2


def test_histograms_can_be_read_after_the_process_has_closed_them() -> None:
    image = HistogramImage()
    image.count(3, 5)
    histograms = Histograms.open(ourselves(), image.descriptor)
    image.close()
    try:
        assert histograms.read([3]) == {3: histogram_of([5])}
    finally:
        histograms.close()


def test_numbers_beyond_the_file_have_no_histogram() -> None:
    with opened(HistogramImage(capacity=4)) as histograms:
        assert histograms.read([-1, 4, 5, 1 << 40]) == {}


def test_another_file_has_another_identity() -> None:
    with opened(HistogramImage()) as one, opened(HistogramImage()) as other:
        assert one.identity != other.identity


@pytest.mark.parametrize(
    "header",
    [
        {"version": DIRECT_VERSION + 1},
        {"capacity": 0},
        {"capacity": 65},
        {"capacity": 0xFFFFFFFF},
        {"stripes": 0},
        {"stripes": 3},
        {"stripes": 0xFFFFFFFF},
        {"data": 0},
        {"data": DATA + 8},
        {"data": DATA - 4},
        {"data": 0xFFFFFFFF},
    ],
)
def test_a_malformed_header_is_an_error(header: dict[str, int]) -> None:
    image = HistogramImage(header=header)
    try:
        with pytest.raises(OSError, match=r"^\[Errno \d+\] its? "):
            Histograms.open(ourselves(), image.descriptor)
    finally:
        image.close()


@pytest.mark.parametrize("size", [64, DATA, DATA + HISTOGRAM_SIZE * 128 - 1])
def test_a_file_that_is_too_short_is_an_error(size: int) -> None:
    image = HistogramImage(size=size)
    try:
        with pytest.raises(OSError, match="do not fit"):
            Histograms.open(ourselves(), image.descriptor)
    finally:
        image.close()


@pytest.mark.parametrize("seals", [0, SEALS & ~2, SEALS & ~4])
def test_a_file_that_could_shrink_or_grow_is_an_error(seals: int) -> None:
    image = HistogramImage(seals=seals)
    try:
        with pytest.raises(OSError, match="not sealed"):
            Histograms.open(ourselves(), image.descriptor)
    finally:
        image.close()


def test_a_descriptor_of_anything_else_is_an_error_and_nothing_is_opened(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    (tmp_path / "file").write_bytes(bytes(1 << 16))
    wrong = [os.open(fifo, os.O_RDWR | os.O_NONBLOCK), os.open(tmp_path / "file", os.O_RDONLY)]
    wrong += [os.open("/dev/zero", os.O_RDONLY), os.open("/proc/self/maps", os.O_RDONLY), *os.pipe()]
    try:
        for number in [*wrong, -1, 1 << 31, 1 << 20]:
            with pytest.raises(OSError, match=r"Errno"):
                Histograms.open(ourselves(), number)
    finally:
        for number in wrong:
            os.close(number)


def test_pages_that_come_and_go_do_not_hold_up_a_reading() -> None:
    image = HistogramImage(capacity=64, stripes=1)
    # From a process of its own: it must not share this one's lock.
    program = f"""
import ctypes, os
libc = ctypes.CDLL(None)
print(flush=True)
while os.getppid() == {os.getpid()}:
    for page in range(1, 129):
        os.pwrite({image.descriptor}, b"\\1" * 64, 4096 * page)
    libc.fallocate({image.descriptor}, 3, ctypes.c_long(4096), ctypes.c_long(4096 * 128))
"""
    with opened(image) as histograms:
        os.set_inheritable(image.descriptor, True)
        command = [sys.executable, "-c", program]
        with subprocess.Popen(command, close_fds=False, stdout=subprocess.PIPE) as puncher:
            assert puncher.stdout is not None
            puncher.stdout.readline()
            for _ in range(300):
                histograms.read(range(64))
            puncher.kill()
