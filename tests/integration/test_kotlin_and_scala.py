"""Code of other compilers: traces the standard libraries of Kotlin and Scala."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from conditions import require_bpf, wait_until
from java_target import (
    KOTLIN_JAR,
    SCALA_JAR,
    Jdk,
    Process,
    attach,
    finish,
    java,
    on_every_jdk,
    states_of,
    wait_for_probes,
)
from recording import Recording

KOTLIN = [
    # Top-level functions, and the synthetic methods for omitted arguments.
    "kotlin.text.StringsKt__StringsKt#padStart(String,int,char)",
    "kotlin.text.StringsKt__StringsKt#padStart$default(String,..)",
    "kotlin.collections.CollectionsKt___CollectionsKt#joinToString",
    "kotlin.collections.CollectionsKt___CollectionsKt#joinToString$default",
    "kotlin.text.StringsKt__StringNumberConversionsKt#toIntOrNull(String)",
    # Inline classes: mangled names.
    "kotlin.UnsignedKt#uintDivide-J1ME1BU",
    "kotlin.text.UStringsKt#toString-V7xB4Y4",
    "kotlin.UInt#box-impl",
    "kotlin.UInt#unbox-impl",
    "kotlin.time.Duration.Companion#parse-UwyO8pc",
    "kotlin.time.Duration#plus-LRDsOJo",
    # Data classes, companions, lazy values.
    "kotlin.Pair#*",
    "!kotlin.Pair#get*",
    "!kotlin.Pair#component2",
    "kotlin.SynchronizedLazyImpl#new",
    "kotlin.SynchronizedLazyImpl#getValue",
    "kotlin.ResultKt#createFailure",
    "kotlin.ResultKt#throwOnFailure",
    "kotlin.Result$Failure#<init>",
    "kotlin.text.Regex$Companion#escape",
    # Bodies of lambdas, anonymous classes, and bridges.
    "kotlin.text.StringsKt__IndentKt#prependIndent*(String,String)",
    "kotlin.sequences.FilteringSequence$iterator$1#hasNext",
    "kotlin.sequences.FilteringSequence$iterator$1#next",
    "kotlin.ranges.RangesKt___RangesKt#coerceIn(int,int,int)",
    "kotlin.ranges.RangesKt___RangesKt#coerceIn(double,double,double)",
    "kotlin.ranges.IntRange#contains",
]
SCALA = [
    # Operators; $ also in the name of a class.
    "scala.collection.immutable.List#$colon$colon",
    "scala.collection.immutable.$colon$colon#new",
    "scala.collection.immutable.List#$colon$colon$colon",
    "scala.collection.IterableOps#$plus$plus",
    "scala.math.BigInt$#apply(int)",
    "scala.math.BigInt#$plus",
    "scala.math.BigInt#unary_$minus",
    # Traits: default methods, and their forwarders.
    "scala.math.BigInt#$less",
    "scala.math.Ordered#$less",
    "scala.math.Ordered#$less$",
    "scala.collection.immutable.MapOps#$plus",
    "scala.collection.LinearSeqOps#foldLeft",
    "scala.collection.IterableOnceOps#mkString(String,String,String)",
    # Specialized methods.
    "scala.Tuple2$mcII$sp#new",
    "scala.Tuple2$mcII$sp#_1$mcI$sp",
    "scala.Tuple2$mcII$sp#_2*",
    "scala.collection.immutable.Range#foreach$mVc$sp",
    "scala.collection.immutable.Range#apply$mcII$sp",
    # Objects.
    "scala.runtime.RichInt$#to$extension(int,int)",
    "scala.Option$#apply",
    "scala.Option#getOrElse",
    "scala.collection.StringOps$#$times$extension",
    "scala.collection.StringOps$#toInt$extension",
    "scala.util.Failure#new",
    "scala.util.Failure#get",
]
KOTLIN_METHODS = 33
SCALA_METHODS = 27


@pytest.fixture(autouse=True)
def bpf() -> None:
    require_bpf()


def class_path(targets: Path) -> str:
    return f"{targets}:{KOTLIN_JAR}:{SCALA_JAR}"


@on_every_jdk
def test_the_events_of_other_compilers_code_are_exact(jdk: Jdk, targets: Path) -> None:
    selectors = ";".join(KOTLIN + SCALA)
    methods = KOTLIN_METHODS + SCALA_METHODS
    with java(
        jdk, "-cp", class_path(targets), "KotlinAndScala", probes=selectors, jvm=["-Xverify:all"]
    ) as target:
        target.wait_for_line("ready")
        wait_for_probes(target.pid, 3 * methods)
        with attach(target.pid) as collector:
            recording = Recording(target.pid)
            target.send("run")
            said = json.loads(target.wait_for_line(r"\{"))
            summary = finish(collector)
            events = recording.end()
        assert not target.err
    assert [event.line for event in events] == said["events"]
    assert {event.thread for event in events} == {said["thread"]}
    assert len({event.method for event in events}) == methods
    assert f"{len(events)} hits = {len(events)} delivered + 0 lost" in summary


def work(target: Process) -> str:
    target.send("work")
    return target.wait_for_line("worked: ", 60)


@pytest.mark.takes_long
@on_every_jdk
def test_whole_libraries_of_other_compilers_run_as_usual_while_woven(jdk: Jdk, targets: Path) -> None:
    with java(
        jdk,
        "-cp",
        class_path(targets),
        "KotlinAndScala",
        probes="kotlin.**#*;scala.collection.**#*",
        options="max-methods=20000",
        jvm=["-Xverify:all"],
    ) as target:
        target.wait_for_line("ready")
        least = 30_000
        # Selected and dormant: no class has been changed yet.
        as_ever = work(target)
        wait_until(lambda: states_of(target.pid).total() > least, "the libraries to be published")
        with attach(target.pid, "--arm-timeout", 60) as collector:
            # Every method of both libraries can be woven. Weaving links classes, and that may load others,
            # which are attached to as well.
            wait_until(lambda: everything_is_armed(target, collector, least), "everything to be armed")
            assert [work(target) for _ in range(2)] == [as_ever] * 2
            summary = finish(collector)
        wait_until(
            lambda: set(states_of(target.pid)) == {"dormant"},
            "all probes to be dormant",
        )
        assert work(target) == as_ever
        assert not target.err
    hits = re.search(r": ([\d,]+) hits = ", summary)
    assert hits, summary
    assert number(hits[1]) > 50_000
    assert "unaccounted" not in summary


def everything_is_armed(target: Process, collector: Process, least: int) -> bool:
    """Returns true if the collector knows every probe as armed, except those of classes that the JVM has not
    linked and, with JDK-8277444, must not be asked to link.
    """
    armed = [re.match(r"armed ([\d,]+) (more )?probe", line) for line in collector.err]
    states = states_of(target.pid)
    is_all = states.total() > least
    states.pop("waiting", None)
    return is_all and states == {"armed": sum(number(one[1]) for one in armed if one)}


def number(text: str) -> int:
    return int(text.replace(",", ""))
