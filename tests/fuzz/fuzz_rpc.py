"""Fuzzes a collector's handling of requests, and a client's of answers, for a given time.

    PYTHONPATH=collector:tests .venv/bin/python tests/fuzz/fuzz_rpc.py --seconds 3600 --found /tmp/found

Mutates sound messages and the corpus. An input that breaks a reader is left in the folder as <reader>-*. It
belongs in tests/corpus/<reader>, under a name that states its fault, where a unit test replays it.
"""

from __future__ import annotations

import argparse
import random
import time
import traceback
from collections import Counter
from pathlib import Path

from hostile_rpc import READERS, sound

CORPUS = Path(__file__).parents[1] / "corpus"
# Maximum CPU time for one input; a busy machine needs several times that of an idle one.
MOST_SECONDS = 5.0
MOST_BYTES = 1 << 14
NUMBERS = [0, 1, 2, 0x7F, 0x80, 2**15, 2**16 - 1, 2**20 - 1, 2**20, 2**31, 2**32 - 1, 2**63, 2**64 - 1]
TEXTS = [
    b"*",
    b"**",
    b"?",
    b"[",
    b"[!",
    b"]",
    b"*a" * 30,
    b"#",
    b":",
    b"\\",
    b"\x00",
    b"\x1b[2J",
    "\u202e".encode(),
]


def mutated(random_: random.Random, seeds: list[bytes]) -> bytes:
    """Returns one of the seeds, changed in a few positions."""
    content = bytearray(random_.choice(seeds))
    for _ in range(random_.randint(1, 6)):
        at = random_.randint(0, len(content))
        until = min(len(content), at + random_.choice([0, 1, 1, 2, 4, 8, random_.randint(0, 200)]))
        kind = random_.randrange(7)
        if kind == 0:
            content[at:until] = random_.randbytes(until - at)
        elif kind == 1:
            content[at:until] = b""
        elif kind == 2:
            content[at:at] = content[at:until] * random_.choice([1, 2, 70])
        elif kind == 3:
            content[at:until] = varint(random_.choice(NUMBERS))
        elif kind == 4:
            text = random_.choice(TEXTS) * random_.choice([1, 1, 3, 300])
            content[at:at] = varint(random_.randint(1, 13) << 3 | 2) + varint(len(text)) + text
        elif kind == 5:
            content[at:until] = random_.choice(NUMBERS).to_bytes(8, "little")
        else:
            other = random_.choice(seeds)
            begin = random_.randint(0, len(other))
            content[at:until] = other[begin : begin + random_.randint(0, 300)]
        del content[MOST_BYTES:]
    return bytes(content)


def varint(number: int) -> bytes:
    """Returns the number as protobuf encodes it."""
    low, high = number & 0x7F, number >> 7
    return bytes([low | 0x80]) + varint(high) if high else bytes([low])


def seeds_of(reader: str) -> list[bytes]:
    return [*sound()[reader], *(file.read_bytes() for file in sorted((CORPUS / reader).glob("*")))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=time.time_ns())
    parser.add_argument("--found", type=Path, default=Path("."))
    options = parser.parse_args()
    options.found.mkdir(exist_ok=True)
    random_ = random.Random(options.seed)
    seeds = {reader: seeds_of(reader) for reader in READERS}
    counts: Counter[str] = Counter()
    faults: Counter[str] = Counter()
    deadline = time.monotonic() + options.seconds
    reported = time.monotonic()
    while time.monotonic() < deadline:
        for reader, read in READERS.items():
            content = mutated(random_, seeds[reader])
            counts[reader] += 1
            begun = time.thread_time()
            try:
                read(content)
                took = time.thread_time() - begun
                assert took < MOST_SECONDS, f"took {took:.1f} s"
            except Exception as error:
                where = traceback.extract_tb(error.__traceback__)[-1]
                fault = f"{reader}: {type(error).__name__} at {Path(where.filename).name}:{where.lineno}"
                faults[fault] += 1
                if faults[fault] == 1:
                    (options.found / f"{reader}-{sum(faults.values())}").write_bytes(content)
                    traceback.print_exc()
        if time.monotonic() - reported > 60:
            reported = time.monotonic()
            print(f"seed {options.seed}: {dict(counts)}, faults: {dict(faults)}", flush=True)
    print(f"seed {options.seed}: {dict(counts)}, faults: {dict(faults)}")


if __name__ == "__main__":
    main()
