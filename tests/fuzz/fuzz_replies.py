"""Fuzzes the handling of a gateway's answers: feeds mutated lines and replies to a Gateway in this process.

    PYTHONPATH=collector:tests .venv/bin/python tests/fuzz/fuzz_replies.py --seconds 3600 --seed 1

Each answer must become a reply or a JcollectError, in bounded CPU time and memory. Any other outcome is
printed, and its answer is added as a line to the file that --keep names.
"""

from __future__ import annotations

import argparse
import base64
import os
import random
import resource
import socket
import sys
import time
from collections import Counter
from collections.abc import Iterator
from unittest import mock

from jcollect.control.answers import MAX_ELEMENTS, NoReplyError, RefusalError, decode_reply
from jcollect.control.gateway import Gateway
from jcollect.errors import JcollectError
from jcollect.procfs.process import Process
from jprobe.v1.control_pb2 import ControlEndpoint, ControlReply, GateSettings, Selection
from jprobe.v1.manifest_pb2 import TracedMethod, Untraceable

MOST_CPU_SECONDS = 5.0
MOST_GROWTH_KIB = 500 << 10
_EXTREMES = (0, 1, 2**7, 2**31 - 1, 2**31, 2**32 - 1, 2**63, 2**64 - 1)
_HEADS = b"!yj !ys !xs !x !yi !yL !yd !yD !yro !yv !z y \xff".split(b" ")


def sound_reply(chance: random.Random) -> ControlReply:
    """Returns a reply that an agent could send."""
    count = chance.choice((0, 1, 3, 50))
    return ControlReply(
        error=chance.choice(("", "", "", "no such method")),
        took_nanos=chance.choice(_EXTREMES),
        agent_version="0.1.0",
        selections=[Selection(selector=f"a.B#m{i}", methods=i) for i in range(count)],
        methods=[
            TracedMethod(class_name="a.B", method=f"m{i}", method_descriptor="()V") for i in range(count)
        ],
        failed=[Untraceable(class_name="a.B", method="n", reason="native")] * count,
        gates=[GateSettings(every=chance.choice(_EXTREMES)) for _ in range(count)],
        refusal=chance.choice(("", "\x1b[2Jtoo many")),
        given=["a.B#*"] * count,
    )


def varint(number: int) -> bytes:
    low, high = number & 0x7F, number >> 7
    return bytes([low | 0x80]) + varint(high) if high else bytes([low])


def any_fields(chance: random.Random, depth: int = 0) -> bytes:
    """Returns fields of any numbers and kinds, some of them nested."""
    content = b""
    for _ in range(chance.randrange(6)):
        kind = chance.choice((0, 1, 2, 2, 2, 3, 5, 7))
        content += varint(chance.choice((*range(1, 16), 2**28)) << 3 | kind)
        if kind == 0:
            content += varint(chance.choice(_EXTREMES))
        elif kind == 2:
            inner = (
                any_fields(chance, depth + 1) if depth < 30 and chance.random() < 0.7 else chance.randbytes(9)
            )
            content += varint(len(inner) if chance.random() < 0.9 else chance.choice(_EXTREMES)) + inner
        else:
            content += chance.randbytes({1: 8, 5: 4}.get(kind, 3))
    return content


def repeated_field(chance: random.Random) -> bytes:
    """Returns one field, repeated more often than any agent would."""
    times = chance.choice((1, 1000, MAX_ELEMENTS - 1, MAX_ELEMENTS + 1))
    return (varint(chance.randrange(1, 16) << 3 | 2) + b"\0") * times


def mutated(content: bytes, chance: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(chance.randrange(1, 6)):
        at = chance.randrange(len(changed) + 1)
        kind = chance.randrange(4)
        if kind == 0:
            changed[at : at + 1] = chance.randbytes(1)
        elif kind == 1:
            del changed[at : at + chance.randrange(1, 20)]
        elif kind == 2:
            changed[at:at] = chance.randbytes(chance.randrange(1, 20))
        else:
            changed[at:at] = bytes(changed[at : at + chance.randrange(1, 200)])
    return bytes(changed)


def answer_of(chance: random.Random) -> bytes:
    """Returns an answer, mostly a single line."""
    choice = chance.random()
    if choice < 0.02:
        content = repeated_field(chance)
    elif choice < 0.4:
        content = any_fields(chance)
    else:
        content = sound_reply(chance).SerializeToString()
        content = mutated(content, chance) if chance.random() < 0.7 else content
    line = b"!yj" + base64.b64encode(content) + b"\n"
    choice = chance.random()
    if choice < 0.3 and len(line) < 1 << 16:
        line = mutated(line, chance)
    elif choice < 0.4:
        line = chance.choice(_HEADS) + chance.randbytes(chance.randrange(40)) + b"\n"
    elif choice < 0.45:
        line = chance.choice(_HEADS) + b"9" * chance.choice((1, 5000, 100_000)) + b"\n"
    return line


def try_line(line: bytes) -> str:
    """Decodes a line; returns the outcome."""
    begun = time.process_time()
    try:
        reply = decode_reply(line)
        texts: tuple[str, ...] = (reply.error, reply.refusal, reply.agent_version)
        outcome = "reply"
    except RefusalError as refusal:
        texts, outcome = (str(refusal),), "refusal"
    except NoReplyError:
        texts, outcome = (), "no reply"
    assert all(len(text) <= 500 and text.isprintable() for text in texts), "not fit to be printed"
    assert time.process_time() - begun < MOST_CPU_SECONDS, "takes too long"
    return outcome


def try_gateway(answers: list[bytes]) -> str:
    """Makes a Gateway read the answers, one after the other; the connection ends after the last."""
    ours, theirs = socket.socketpair()
    with theirs, mock.patch.object(Gateway, "_connect", return_value=ours):
        theirs.settimeout(5)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        theirs.setblocking(False)
        try:
            theirs.send(b"".join(answers)[: 1 << 17])
        except BlockingIOError:
            return "no room"
        theirs.shutdown(socket.SHUT_WR)
        try:
            with Gateway(
                Process.open(os.getpid()), ControlEndpoint(port=1, token="0" * 64), seconds=5.0
            ) as one:
                one.status()
                one.select(["a.B#*"], leased=True)
            return "commanded"
        except JcollectError as error:
            message = error.message
    assert len(message) < 1000, "not fit to be printed"
    return "error"


def run(
    seed: int, seconds: float, most: int | None = None
) -> Iterator[tuple[str, bytes, BaseException | None]]:
    """Yields outcomes, with their answers and what went wrong."""
    chance = random.Random(seed)
    until = time.monotonic() + seconds
    number = 0
    while time.monotonic() < until and (most is None or number < most):
        number += 1
        answers = [answer_of(chance) for _ in range(1 if number % 4 else 3)]
        try:
            if number % 4:
                yield try_line(answers[0]), answers[0], None
            else:
                answers[0] = b"!yv\n" if chance.random() < 0.9 else answers[0]
                yield try_gateway(answers), b"".join(answers), None
        except Exception as error:
            yield "WRONG", b"".join(answers), error


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--keep", default="found-replies")
    options = parser.parse_args()
    outcomes: Counter[str] = Counter()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"seed {options.seed}", flush=True)
    for outcome, answer, error in run(options.seed, options.seconds):
        outcomes[outcome] += 1
        if error is not None:
            print(f"{type(error).__name__}: {error}", flush=True)
            with open(options.keep, "ab") as kept:
                kept.write(base64.b64encode(answer) + b"\n")
    growth = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(f"{sum(outcomes.values()):,} answers: {dict(outcomes)}; {growth >> 10} MiB more memory at most")
    sys.exit(bool(outcomes["WRONG"]) or growth > MOST_GROWTH_KIB)


if __name__ == "__main__":
    main()
