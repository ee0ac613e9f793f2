"""Every input from the other end of a connection is answered or rejected, in bounded CPU time."""

from __future__ import annotations

import random
import sys
import time
from pathlib import Path

import pytest

from hostile_rpc import READERS, sound

sys.path.insert(0, str(Path(__file__).parents[1] / "fuzz"))

from fuzz_rpc import MOST_SECONDS, mutated, seeds_of

# Each test takes about half a second.
INPUTS = {"request": 6000, "stream": 500, "answer": 1500, "intervals": 1500}


@pytest.mark.parametrize("reader", READERS)
def test_sound_messages_are_read(reader: str) -> None:
    for content in sound()[reader]:
        READERS[reader](content)


@pytest.mark.parametrize("reader", READERS)
def test_mutated_messages(reader: str) -> None:
    random_ = random.Random(4711)
    seeds = seeds_of(reader)
    for _ in range(INPUTS[reader]):
        content = mutated(random_, seeds)
        begun = time.thread_time()
        READERS[reader](content)
        assert time.thread_time() - begun < MOST_SECONDS
