"""Recipes for a message broker and its clients: Kafka."""

from __future__ import annotations

import re

from recipes.kafka.broker import RECORDS, start_broker
from recipes.recipe import Program, Recipe, Run

SENT = re.compile(r"(\d+) records sent, .*ms 99.9th")


def records_sent(run: Run) -> int:
    """Returns the number in the last line of the performance tool."""
    return int(next(match[1] for line in run.lines if (match := SENT.match(line))))


def check_appends(run: Run) -> None:
    assert run.hits["lost"] == 0
    appends = [event for event in run.events if event.captures["topic"] == "orders"]
    records = sum(event.number("last") - event.number("first") + 1 for event in appends)
    assert records == run.figures["messagesIn"] == run.figures["sent"] == RECORDS


def check_requests(run: Run) -> None:
    produced = [event for event in run.events if event.captures["api"] == "Produce"]
    assert len(produced) == run.figures["produceRequests"] > 100
    assert {event.captures["client"] for event in run.events} == {"recipes"}


def check_batches(run: Run) -> None:
    """Each batch begins at the offset at which the one before ended, and none is missing."""
    batches = [(event.number("offset"), event.number("records")) for event in run.events]
    first = batches[0][0]
    assert [offset - first for offset, _ in batches] == [
        sum(records for _, records in batches[:number]) for number in range(len(batches))
    ]
    assert sum(records for _, records in batches) == records_sent(run) == RECORDS


def check_reads(run: Run) -> None:
    read = sum(event.number("bytes") for event in run.events if event.captures["topic"] == "orders")
    assert read == run.figures["bytesOut"] > 100 * RECORDS
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
            reading="`first` and `last` are the offsets of the first and the last record of the append. The numbers of "
            "records add up to the broker's own metric `MessagesInPerSec`, and to what the producer reports as sent.",
            check=check_appends,
        ),
        Recipe(
            question="Which requests does a client send, and how long do they keep the broker busy?",
            commands=(
                "sudo jcollect attach PID -o compact --probe '*__return' --select \\\n"
                "    'kafka.server.KafkaApis#handle(api=arg0.header().apiKey().name, "
                'client=arg0.header().clientId()) when client == "recipes"\'',
            ),
            load=f"produce {RECORDS}",
            shows=(("^armed", "InitProducerId", "Produce", "Produce", "^detached"),),
            reading="One line per request, with its kind and the time in a request handler thread. The condition leaves "
            "out all other clients; `and duration > 1ms` would leave out short requests. The number of `Produce` "
            "lines equals the broker's own metric `RequestsPerSec` of that kind.",
            check=check_requests,
        ),
        Recipe(
            question="How large are the batches of a producer, from the first one on?",
            commands=(
                "sudo jcollect run -o compact --events batches.txt --probe '*__return' --select \\\n"
                "    'org.apache.kafka.clients.producer.internals.ProducerBatch#complete"
                "(partition=this.topicPartition.toString(), offset=arg0, records=this.recordCount)' \\\n"
                "    -- java -cp 'libs/*' org.apache.kafka.tools.ProducerPerformance --topic orders "
                f"--num-records {RECORDS} \\\n"
                "    --record-size 100 --throughput 5000 --producer-props bootstrap.servers=localhost:9092",
                "cat batches.txt",
            ),
            shows=(
                ("armed", "records sent.*99.9th", "detached"),
                ("records=", "records=", "records="),
            ),
            reading="`jcollect run` starts the program, and each class waits for its probes before its first call. Each "
            "line is one batch that the broker has acknowledged. Every batch begins at the offset at which the one "
            "before ended, and the records add up to the number that the tool reports: none is missing.",
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
            reading="One line per read of a log, with its first offset and its size. The sizes add up to the broker's "
            "own metric `BytesOutPerSec`.",
            check=check_reads,
        ),
    ),
)
