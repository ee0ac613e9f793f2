"""Recipes for a message broker and its clients: Kafka."""

from __future__ import annotations

import re
from itertools import pairwise

from recipes.kafka.broker import RECORDS, start_broker
from recipes.recipe import Program, Recipe, Run

PRODUCER = (
    "java -javaagent:jprobe.jar='probes={selector}' -cp 'libs/*' \\\n"
    "    org.apache.kafka.tools.ProducerPerformance --topic orders --num-records {records} --record-size 100 \\\n"
    "    --throughput 5000 --producer-props bootstrap.servers=localhost:9092"
)
SENT = re.compile(r"(\d+) records sent, .*ms 99.9th")


def records_sent(run: Run) -> int:
    """Returns the number in the last line of the performance tool."""
    return int(next(match[1] for line in run.lines if (match := SENT.match(line))))


def check_appends(run: Run) -> None:
    assert run.hits["lost"] == 0
    appends = [event for event in run.events if event.captures["topic"] == "orders"]
    records = sum(event.number("last") - event.number("first") + 1 for event in appends)
    assert records == run.figures["sent"] == RECORDS


def check_requests(run: Run) -> None:
    assert any('api="Produce"' in event.rest for event in run.events)
    assert len(run.events) == run.hits["delivered"] > 0


def check_batches(run: Run) -> None:
    # The first batches may be acknowledged before the collector has attached. None is missing later.
    batches = [(event.number("offset"), event.number("records")) for event in run.events]
    assert all(offset + records == following for (offset, records), (following, _) in pairwise(batches))
    assert RECORDS // 10 < sum(records for _, records in batches) <= records_sent(run) == RECORDS


def check_sends(run: Run) -> None:
    assert run.hits["hits"] == records_sent(run) == RECORDS


def check_reads(run: Run) -> None:
    reads = [event for event in run.events if event.captures["topic"] == "orders"]
    assert len(reads) > 0
    # The values of the records alone; keys, offsets and headers of batches are added.
    assert sum(event.number("bytes") for event in reads) > 100 * run.figures["consumed"]
    assert run.figures["consumed"] >= RECORDS


PROGRAM = Program(
    name="kafka",
    title="A message broker: Kafka 4.1",
    introduction="One broker in KRaft mode, on loopback, and Kafka's own performance tools as its clients.",
    start=start_broker,
    recipes=(
        Recipe(
            question="How long does an append to the log take, and how much does it write?",
            commands=(
                "sudo jcollect attach PID -o compact --probe '*__return' --select \\\n"
                "    'org.apache.kafka.storage.internals.log.UnifiedLog#appendAsLeader"
                "(topic=this.topicPartition().topic(), first=return.firstOffset, last=return.lastOffset)'",
            ),
            load=f"produce {RECORDS}",
            shows=(("^armed", 'topic="orders"', 'topic="orders"', "^detached"),),
            reading="`first` and `last` are the offsets of the first and the last record of the append. Their differences add up "
            "to the number of records that the producer reports as sent.",
            check=check_appends,
        ),
        Recipe(
            question="Which requests keep the broker busy, and which client sent them?",
            commands=(
                "sudo jcollect attach PID -o compact --probe '*__return' --select \\\n"
                "    'kafka.server.KafkaApis#handle(api=arg0.header().apiKey().name, "
                "client=arg0.header().clientId()) when duration > 1ms'",
            ),
            load=f"produce {RECORDS}",
            shows=(("^armed", "Produce", "^detached"),),
            reading="One line per request that needs more than 1 ms, with its kind and the client's ID.",
            check=check_requests,
        ),
        Recipe(
            question="How large are the batches of a producer?",
            commands=(
                "sudo jcollect attach --name 'org.apache.kafka.tools.ProducerPerformance' -o compact --probe '*__return' &",
                PRODUCER.format(
                    selector="org.apache.kafka.clients.producer.internals.ProducerBatch#complete"
                    "(partition=this.topicPartition.toString(), offset=arg0, records=this.recordCount)",
                    records=RECORDS,
                ),
            ),
            shows=(
                ("^waiting", "armed", "records=", "records=", "^detached"),
                ("records sent.*99.9th",),
            ),
            reading="The agent is there from the start, and `--name` attaches to the program when it starts. Each line is one "
            "batch that the broker has acknowledged: each begins at the offset at which the one before ended. The first "
            "batches may be sent before `jcollect` has attached.",
            check=check_batches,
        ),
        Recipe(
            question="Which reads does a consumer cause in the broker?",
            commands=(
                "sudo jcollect attach PID -o compact --probe '*__return' --select \\\n"
                "    'org.apache.kafka.storage.internals.log.UnifiedLog#read(topic=this.topicPartition().topic(), "
                "from=arg0, bytes=return.records.sizeInBytes())'",
            ),
            load=f"consume {RECORDS}",
            shows=(("^armed", 'topic="orders"', "^detached"),),
            reading="One line per read of a log, with its first offset and its size in bytes.",
            check=check_reads,
        ),
    ),
)
