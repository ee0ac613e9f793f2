"""Recipes for a network library: Netty."""

from __future__ import annotations

import re

from recipes.recipe import Program, Recipe, Run
from recipes.running import java_program


def check_bytes(run: Run) -> None:
    assert sum(event.number("bytes") for event in run.events) == run.figures["read"]
    assert len(run.events) == run.hits["delivered"] == run.figures["messages"] >= 307


def check_flood(run: Run) -> None:
    # The new connection is a message to the server's own pipeline.
    assert run.hits["hits"] == run.hits["delivered"] + run.hits["filtered"] == run.figures["messages"] + 1
    seconds = float(next(re.findall(r"detached after ([\d.]+) s", line)[0] for line in reversed(run.lines)))
    assert 1 <= len(run.events) == run.hits["delivered"] <= 5 * (seconds + 2)


PROGRAM = Program(
    name="netty",
    title="A network library: Netty 4.1",
    introduction="A server that returns what it reads.",
    start=java_program("Echo"),
    recipes=(
        Recipe(
            question="How large are the reads of a connection?",
            commands=(
                "sudo jcollect attach PID -o compact --select \\\n"
                "    'io.netty.channel.socket.nio.NioSocketChannel#doReadBytes"
                "(channel=this.toString(), bytes=return) when return > 0'",
            ),
            load="echoes 307",
            shows=(("^armed", "bytes", "bytes", "^detached"),),
            reading="`channel` has both addresses. The sum of `bytes` equals the bytes that the handler has seen. "
            "-1 at the end of a connection is filtered.",
            check=check_bytes,
        ),
        Recipe(
            question="How can a busy method be watched without a flood of events?",
            commands=(
                "sudo jcollect attach PID -o compact --probe '*__return' --select \\\n"
                "    'io.netty.channel.DefaultChannelPipeline#fireChannelRead(Object)"
                "(bytes=((io.netty.buffer.ByteBuf) arg0).readableBytes(), message=arg0) at most 5/s'",
            ),
            load="echoes 1009",
            shows=(("^armed", "bytes", "bytes", "^detached"),),
            reading="`at most 5/s` decides in the program. The other calls are counted as filtered. The argument is declared "
            "as Object, and the cast gives access to the methods of a `ByteBuf`. The hits equal the messages that the "
            "handler has seen, and one more: a new connection is a message too, without `bytes`.",
            check=check_flood,
        ),
    ),
)
