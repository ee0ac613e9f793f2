"""Checks on real programs what docs/selectors.md promises: which methods have probes, and which cannot."""

from __future__ import annotations

import json
import re
import subprocess
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from conditions import require_bpf, wait_until
from java_target import (
    COMPILER,
    JAR,
    JCOLLECT,
    Jdk,
    Process,
    attach,
    finish,
    java,
    newest_jdk,
    on_newest_jdk,
    probes_of,
    run,
    states_of,
    wait_for_probes,
)
from jcollect.rpc.address import default_address
from jcollect.rpc.client import Client
from second_agent import Digests, agent_jar

PARCELS = "com.acme.parcels"
LOADERS = ["application", "child-first", "osgi", "jboss", "generated"]


@pytest.fixture(autouse=True)
def bpf() -> None:
    require_bpf()


def ask(target: Process, command: str) -> str:
    """Sends the program a command and returns its answer."""
    target.send(command)
    return target.wait_for_line(r"\w+ed |did ", 60)


def methods(probes: Iterable[dict[str, Any]]) -> set[str]:
    """Returns method names such as "Ledger#book", without packages."""
    return {f"{probe['class'].rpartition('.')[2]}#{probe['method']}" for probe in probes}


def states(target: Process) -> Counter[str]:
    return Counter(probe["state"] for probe in probes_of(target.pid))


def events(collector: Process) -> list[dict[str, Any]]:
    return [json.loads(line) for line in collector.out]


def untraceable(target: Process) -> dict[str, str]:
    """Returns reasons by class#method and descriptor, or by class if they apply to all of it. Empty if there
    are none.
    """
    listing = run(JCOLLECT, "probes", target.pid, "--all", "--json")
    if listing.returncode != 0:
        return {}
    return {
        one["class"] + (f"#{one['method']}{one['descriptor']}" if "method" in one else ""): one["reason"]
        for one in json.loads(listing.stdout)
        if one.get("traceable") is False
    }


# ---- class loaders ----


@on_newest_jdk
def test_each_class_loaders_copy_has_probes_of_its_own(jdk: Jdk, targets: Path) -> None:
    options = {"probes": f"{PARCELS}.Counter#applyAsInt", "options": f"max-methods={len(LOADERS)}"}
    with java(jdk, "-cp", targets, "Loaders", **options) as target:
        target.wait_for_line("ready")
        copies = {}
        for number, loader in enumerate(LOADERS, 1):
            ask(target, f"load {loader}")
            probes = wait_for_probes(target.pid, 3 * number)
            (copies[loader],) = {(p["provider"], p["class_loader"]) for p in probes} - {*copies.values()}
        assert len({provider for provider, _ in copies.values()}) == len(LOADERS)
        assert len({number for _, number in copies.values()} - {0}) == len(LOADERS)
        with attach(target.pid, "-o", "json") as collector:
            for calls, loader in enumerate(LOADERS, 3):
                ask(target, f"call {loader} {calls}")
            for loader in ("osgi", "child-first"):
                ask(target, f"drop {loader}")
            finish(collector)
        calls_by_provider = Counter(
            e["probe"].split(":")[0] for e in events(collector) if e["kind"] == "entry"
        )
        assert calls_by_provider == {copies[loader][0]: calls for calls, loader in enumerate(LOADERS, 3)}
        left = 3 * (len(LOADERS) - 2)
        wait_until(lambda: states(target) == {"dormant": left}, "the unloaded classes to be unmapped")
        assert {p["provider"] for p in probes_of(target.pid)} == {
            provider for loader, (provider, _) in copies.items() if loader not in ("osgi", "child-first")
        }
        # Unloaded classes do not count among the methods that can have probes.
        ask(target, "load osgi")
        wait_for_probes(target.pid, left + 3)
        assert states(target) == {"dormant": left + 3}
        assert target.err == []


@on_newest_jdk
def test_classes_that_were_loaded_before_the_agent_have_probes(
    jdk: Jdk, targets: Path, tmp_path: Path
) -> None:
    early = f"-javaagent:{agent_jar('EarlyAgent', targets, tmp_path)}={PARCELS}.Truck,{PARCELS}.Ledger"
    ours = f"-javaagent:{JAR}=probes={PARCELS}.**#*"
    with Process([jdk.java, early, ours, "-cp", targets, f"{PARCELS}.Parcels"]) as target:
        target.wait_for_line("ready")
        expected = {"Truck#carry", "Ledger#book", "Ledger#<clinit>", "Pigeon#carry"}
        wait_until(lambda: expected <= methods(probes_of(target.pid)), "all probes")
        # One of the early classes, in its own loader, cannot be linked, and the agent does not try to.
        assert not [line for line in target.err if line.startswith("jprobe: ")]


# ---- no side effects on the program ----


@on_newest_jdk
def test_selecting_loads_no_class_and_arming_initializes_none(
    jdk: Jdk, targets: Path, tmp_path: Path
) -> None:
    log = tmp_path / "classes"
    selectors = [
        "com.acme.lazy.Used#look(word=arg0.word, depth=arg0.deeper.depth, mood=arg0.mood.name())",
        "com.acme.lazy.**#seldom(word=arg0.word) when arg0.mood == 'GOOD'",
        "com.acme.lazy.Unused#*",
        "com.acme.lazy.Loaded#*",
        "+com.acme.lazy.Base#*",
        "@com.acme.lazy.Marked",
    ]
    with java(
        jdk,
        "-cp",
        targets,
        "com.acme.lazy.Lazy",
        probes=";".join(selectors),
        jvm=[f"-Xlog:class+load:file={log}"],
    ) as target:
        target.wait_for_line("ready")
        probes = wait_for_probes(target.pid, 3 * 9)
        assert methods(probes) == {
            *("Base#<init>", "Base#run"),
            *("Used#<init>", "Used#<clinit>", "Used#look", "Used#run"),
            *("Loaded#<init>", "Loaded#<clinit>", "Loaded#seldom"),
        }
        loaded = set(re.findall(r"com\.acme\.lazy\.([\w$]+)", log.read_text()))
        assert loaded == {"Lazy", "Initialised", "Base", "Used", "Loaded"}
        with attach(target.pid, "-o", "json") as collector:
            assert ask(target, "look") == "looked 7"
            finish(collector)
        assert "armed 27 probes" in collector.err[0]
        (entry, _) = events(collector)
        assert entry["captures"] == {name: {"absent": "null"} for name in ("word", "depth", "mood")}
        assert target.out == ["initialised Used", "ready", "looked 7"]
        assert target.err == []


# ---- selectors ----


def test_selectors_of_all_sorts_on_a_real_program(targets: Path, tmp_path: Path) -> None:
    # Each has a capture that identifies the selector that matched.
    config = tmp_path / "jprobe.conf"
    config.write_text(
        "# of the parcel service\n"
        f"{PARCELS}.Ledger#book(String)(by_type=thread.id)   # the first that matches decides\n"
        "\n"
        f"@{PARCELS}.Timed(by_method_annotation=thread.id); private {PARCELS}.**#*(late=thread.id)\n"
        f"@{PARCELS}.Audited#new(by_class_annotation=thread.id)\n"
        "\t!**#getOwner\t# called all the time\n"
    )
    options = ",".join(
        [
            f"probes=+{PARCELS}.Carrier#carry(by_interface=thread.id)",
            f"config={config}",
            f"probes={PARCELS}.Ledger#static(by_initialiser=thread.id);"
            f"static {PARCELS}.Ledger#*(*):Ledger(by_return=thread.id)",
            f"probes={PARCELS}.Ledger.Line#total(int,..)(by_nesting=thread.id)",
            f"probes={PARCELS}.Ledger#*(int...):long[](by_array=thread.id)",
            f"probes={PARCELS}.Ledger#*(rest=thread.id);!{PARCELS}.Pigeon$Homing#*",
        ]
    )
    with java(newest_jdk, "-cp", targets, f"{PARCELS}.Parcels", options=options) as target:
        target.wait_for_line("ready")
        probes = wait_for_probes(target.pid, 3 * 10)
        assert {
            (
                probe["class"].rpartition(".")[2],
                probe["method"],
                probe["descriptor"],
                probe["values"][0]["name"],
            )
            for probe in probes
            if probe["kind"] == "entry"
        } == {
            ("Truck", "carry", "(I)I", "by_interface"),
            ("Pigeon", "carry", "(I)I", "by_interface"),
            ("Ledger", "book", "(Ljava/lang/String;)V", "by_type"),
            ("Ledger", "book", "(J)V", "by_method_annotation"),
            ("Ledger", "<init>", "(Ljava/lang/String;)V", "by_class_annotation"),
            ("Ledger", "<clinit>", "()V", "by_initialiser"),
            ("Ledger", "of", "(Ljava/util/List;)Lcom/acme/parcels/Ledger;", "by_return"),
            ("Ledger$Line", "total", "(II)I", "by_nesting"),
            ("Ledger", "amounts", "([I)[J", "by_array"),
            ("Parcels", "lambda$greeting$0", "()Ljava/lang/String;", "late"),
        }
        assert target.err == []


def test_a_supertype_matches_in_any_loader_at_any_time(targets: Path) -> None:
    selectors = f"+{PARCELS}.CounterBase#*;+java.util.function.IntUnaryOperator#applyAsInt"
    with java(newest_jdk, "-cp", targets, "Loaders", probes=selectors) as target:
        target.wait_for_line("ready")
        count = 0
        # Two methods each of the base and its subclass; jboss gets the base from another loader.
        for loader, more in {"application": 4, "osgi": 4, "jboss": 4, "generated": 1}.items():
            ask(target, f"load {loader}")
            count += more
            wait_for_probes(target.pid, 3 * count)
        assert methods(probes_of(target.pid)) == {
            *("Counter#<init>", "Counter#applyAsInt", "CounterBase#<init>", "CounterBase#add")
        }
        assert target.err == []


# ---- values ----


@on_newest_jdk
def test_objects_are_captured_as_values_and_no_method_of_the_program_runs(jdk: Jdk, targets: Path) -> None:
    selectors = [
        "Values#show",
        "Values#elements(name=orders[0].name, count=arg0[1].counts[1], id=map.get('id'), item=list[1], "
        "any=((Order) any).state, first=Config.first.name, limit=Values.Config.limit, cold=Cold.value)",
        "Values#paid when arg0 == 'PAID'",
        "Values#second when values[1] == 'y'",
        "Values#large when list[0] > 10",
        "Values#flagged when map.get('flag') == true",
    ]
    with java(jdk, "-cp", targets, "Values", probes=";".join(selectors)) as target:
        target.wait_for_line("ready 5")
        wait_for_probes(target.pid, 3 * 6)
        with attach(target.pid, "-o", "json") as collector:
            assert ask(target, "run") == "did run"
            finish(collector)
        calls: dict[str, list[Any]] = {}
        for event in events(collector):
            if event["kind"] == "entry":
                passed = event.get("captures") or event["args"][0]
                calls.setdefault(event["method"], []).append(passed)
        shown = [
            re.sub(r"(\$\d+)?(/\w+)?@[0-9a-f]+", "@", value) if isinstance(value, str) else value
            for value in calls["show"]
        ]
        assert shown == [
            *(1, 2.5, "text", "c", None, True, "OPEN", '[1, "x"]', '{"id"=42, "name"="n"}'),
            *("Optional[Values$Trap@]", "b", "java.lang.IllegalStateException: why"),
            *("[java.util.ArrayList@]", "Values$Trap@", "Values$OwnList@", "0x01ff", "Values$$Lambda@"),
        ]
        absent = {"absent": "null"}
        fixed = {"first": "first", "limit": 5, "cold": absent}
        assert calls["elements"] == [
            {"name": "a", "count": 8, "id": 42, "item": "PAID", "any": "OPEN", **fixed},
            {"name": absent, "count": absent, "id": "no", "item": None, "any": absent, **fixed},
        ]
        assert calls["paid"] == ["PAID", "PAID"]
        assert calls["second"] == ['["x", "y"]']
        assert calls["large"] == ["[11]"]
        assert calls["flagged"] == ['{"flag"=true, "id"=42}']
        assert target.err == []


# ---- the JDK's own classes ----


@on_newest_jdk
def test_classes_of_the_jdk_are_traced_where_their_package_is_written_out(jdk: Jdk, targets: Path) -> None:
    with java(
        jdk, "-cp", targets, "JdkWork", probes="java.util.ArrayList#add(Object)(by=thread.name)"
    ) as target:
        target.wait_for_line("ready")
        wait_for_probes(target.pid, 3)
        with attach(target.pid, "-o", "json") as collector:
            assert ask(target, "add 10007") == "added 10007"
            assert "+ 0 lost" in finish(collector)
        by_adder = Counter(e["kind"] for e in events(collector) if e["captures"]["by"] == "adder")
        assert by_adder == {"entry": 10007, "return": 10007}
        assert target.err == []


def test_wildcards_select_no_classes_of_the_jdk(targets: Path) -> None:
    selectors = "**#*;java.**#add;**List#add;+**.Map#get;@**"
    with java(newest_jdk, "-cp", targets, "JdkWork", probes=selectors) as target:
        target.wait_for_line("ready")
        ask(target, "work 1")
        probes = wait_until(lambda: probes_of(target.pid), "probes")
        assert {probe["class"] for probe in probes} == {"JdkWork"}
        listed = wait_until(lambda: untraceable(target), "what cannot be traced")
        assert all(name.startswith("JdkWork$$Lambda") for name in listed)


@on_newest_jdk
def test_classes_that_weaving_needs_are_listed_and_never_traced(jdk: Jdk, targets: Path) -> None:
    selectors = "java.lang.String#length;java.lang.Thread#*;java.lang.invoke.**#*;java.util.BitSet#set"
    with java(jdk, "-cp", targets, "JdkWork", probes=selectors) as target:
        target.wait_for_line("ready")
        ask(target, "work 1")
        probes = wait_until(lambda: probes_of(target.pid), "probes")
        assert methods(probes) == {"BitSet#set"}
        listed = untraceable(target)
        for name in (
            "java.lang.String#length()I",
            "java.lang.Thread#run()V",
            "java.lang.invoke.MethodHandle#asType(Ljava/lang/invoke/MethodType;)Ljava/lang/invoke/MethodHandle;",
        ):
            assert listed[name] == "weaving itself needs this class"


@pytest.mark.takes_long
@on_newest_jdk
def test_a_program_runs_as_usual_with_the_libraries_it_uses_woven(
    jdk: Jdk, targets: Path, digest_agent: Path, tmp_path: Path
) -> None:
    log = tmp_path / "digests"
    digests = Digests(log, "java/util/ArrayList")
    with java(
        jdk,
        f"-javaagent:{digest_agent}={log},java/util/ArrayList",
        "-cp",
        targets,
        "JdkWork",
        probes="java.util.*#*;java.util.concurrent.*#*;java.io.*#*",
        options="max-methods=20000",
        jvm=["-Xverify:all"],
    ) as target:
        target.wait_for_line("ready")
        answer = ask(target, "work 20")
        lately = ("probes", target.pid, "--probe", "java.util.concurrent.CompletableFuture#get")
        wait_until(lambda: run(JCOLLECT, *lately).returncode == 0, "all probes")
        with attach(target.pid, "--probe", "java.util.ArrayList"):
            woven = digests.all()[-1]
        wait_until(lambda: digests.all()[-1] != woven, "the class to be as before")
        original = digests.all()[-1]
        with attach(target.pid, "--arm-timeout", 120, seconds=120) as collector:
            # Classes that are loaded meanwhile have a line of their own, and perhaps before.
            all_armed = re.compile(r"armed [\d,]{6,} (more )?probes of [\d,]{5,} methods")
            wait_until(lambda: any(map(all_armed.match, list(collector.err))), "all armed", 120)
            assert ask(target, "work 20") == answer
            summary = finish(collector)
        assert int(summary.split(": ")[1].split()[0].replace(",", "")) > 100_000
        wait_until(lambda: digests.all()[-1] == original, "the class to be as before")
        wait_until(lambda: set(states_of(target.pid)) == {"dormant"}, "all probes to be dormant")
        assert ask(target, "work 20") == answer
        target.send("exit")
        assert target.wait() == 0
        # Weaving itself calls the traced methods, and takes long on a busy machine.
        assert [line for line in target.err if "is taking long" not in line] == []


# ---- what cannot be traced ----


@on_newest_jdk
def test_selected_untraceable_methods_are_listed_with_the_reason(jdk: Jdk, targets: Path) -> None:
    with java(jdk, "-cp", targets, f"{PARCELS}.Parcels", "hidden", probes=f"{PARCELS}.**#*") as target:
        target.wait_for_line("ready")
        # The agent searches for hidden classes only from time to time.
        wait_until(lambda: probes_of(target.pid) and len(untraceable(target)) == 5, "five untraceable")
        listed = {
            re.sub(r"(\$\$Lambda)?(\$\d+)?/0x\w+", r"\1", name): why
            for name, why in untraceable(target).items()
        }
        fixed = "which the JVM does not retransform"
        assert listed == {
            f"{PARCELS}.Carrier#carry(I)I": "it is abstract",
            f"{PARCELS}.Vehicle#wheels()I": "it is abstract",
            f"{PARCELS}.Vehicle#fly()V": "it is native",
            f"{PARCELS}.Counter": f"it is a hidden class, {fixed}",
            f"{PARCELS}.Parcels$$Lambda": "it is the class of a lambda or of a method reference, "
            f"{fixed}; the body of a lambda is a method of {PARCELS}.Parcels",
        }
        table = run(JCOLLECT, "probes", target.pid, "--all").stdout
        assert re.search(r"^NOT TRACEABLE +REASON$", table, re.MULTILINE)
        assert re.search(r"Vehicle#fly\(\)V +it is native$", table, re.MULTILINE)
        assert "Parcels#lambda$greeting$0" in table
        assert "NOT TRACEABLE" not in run(JCOLLECT, "probes", target.pid).stdout
        assert target.err == []


@pytest.mark.takes_long
def test_a_lambda_is_listed_only_if_its_interface_is_selected(targets: Path) -> None:
    selectors = f"+{PARCELS}.Carrier#carry;@{PARCELS}.Timed;+java.util.function.Supplier#get"
    with java(newest_jdk, "-cp", targets, f"{PARCELS}.Parcels", probes=selectors) as target:
        target.wait_for_line("ready")
        wait_until(lambda: any("$$Lambda" in name for name in untraceable(target)), "the lambda")
        assert {name.partition("/")[0] for name in untraceable(target)} == {
            f"{PARCELS}.Carrier#carry(I)I",
            "java.util.function.Supplier#get()Ljava",
            f"{PARCELS}.Parcels$$Lambda",
        }
    with java(
        newest_jdk, "-cp", targets, f"{PARCELS}.Parcels", "hidden", probes=f"+{PARCELS}.CounterBase#add"
    ) as target:
        target.wait_for_line("ready")
        wait_until(lambda: untraceable(target), "the hidden class")
        assert [name.partition("/")[0] for name in untraceable(target)] == [f"{PARCELS}.Counter"]


# ---- too many methods ----


def hits_of(pid: int) -> int:
    """Returns the hits that the collector of a process has counted."""
    with Client(default_address(pid)) as client:
        return client.status(summary_only=True).counts.hits


def test_beyond_the_limit_all_methods_are_unselected_and_restored(
    targets: Path, digest_agent: Path, tmp_path: Path
) -> None:
    log = tmp_path / "digests"
    digests = Digests(log, "com/acme/parcels/CounterBase")
    second_agent = f"-javaagent:{digest_agent}={log},com/acme/parcels/CounterBase"
    options = {"probes": f"{PARCELS}.Counter*#*", "options": "max-methods=4"}
    with java(newest_jdk, second_agent, "-cp", targets, "Loaders", **options) as target:
        target.wait_for_line("ready")
        ask(target, "load application")
        wait_for_probes(target.pid, 3 * 4)
        with attach(target.pid):
            woven = digests.all()[-1]
        wait_until(lambda: digests.all()[-1] != woven, "the class to be as before")
        original = digests.all()[-1]
        with attach(target.pid) as collector:
            ask(target, "call application 7")
            assert digests.all()[-1] == woven
            ask(target, "load generated")
            line = target.wait_for_line("jprobe: ")
            assert line == (
                "jprobe: the selectors match 6 methods of the classes loaded so far, more than max-methods=4 "
                "allows; narrow them, or raise the limit: --max-methods N of jcollect, or the option "
                "max-methods=N; nothing is traced"
            )
            hits = hits_of(target.pid)
            assert hits == 2 * (1 + 1 + 7 + 7)
            wait_until(lambda: digests.all()[-1] == original, "the class to be as before")

            def fires() -> bool:
                before = hits_of(target.pid)
                ask(target, "call application 7")
                return hits_of(target.pid) != before

            # The JVM replaces the code only after it has passed it to the digest agent.
            wait_until(lambda: not fires(), "calls without hits")
            assert int(finish(collector).split(": ")[1].split()[0].replace(",", "")) % hits == 0
        for verb in ("probes", "attach"):
            refused = run(JCOLLECT, verb, target.pid)
            assert refused.returncode == 1
            assert "more than max-methods=4 allows" in refused.stderr
            assert refused.stderr.count("\n") == 1
        ask(target, "load osgi")
        assert target.err == [line]


def test_with_a_higher_limit_all_methods_have_probes(targets: Path) -> None:
    options = {"probes": f"{PARCELS}.Counter*#*", "options": "max-methods=6"}
    with java(newest_jdk, "-cp", targets, "Loaders", **options) as target:
        target.wait_for_line("ready")
        ask(target, "load application")
        ask(target, "load generated")
        wait_for_probes(target.pid, 3 * 6)
        assert target.err == []


# ---- captures that fail ----


def test_a_path_that_does_not_resolve_affects_only_the_probes_of_its_method(targets: Path) -> None:
    selectors = (
        "com.acme.misfits.Misfits#weigh(weight=arg0.weight);"
        "com.acme.misfits.Misfits#twice(self=this.twice());com.acme.misfits.Misfits#total"
    )
    with java(newest_jdk, "-cp", targets, "com.acme.misfits.Misfits", probes=selectors) as target:
        target.wait_for_line("ready")
        probes = wait_for_probes(target.pid, 6)
        assert {probe["method"] + probe["descriptor"] for probe in probes} == {
            "weigh(Lcom/acme/misfits/Letter;)I",
            "total()I",
        }
        weigh = "selector 'com.acme.misfits.Misfits#weigh(weight=arg0.weight)', column 44"
        refused = {
            "weigh(I)I": f"{weigh}: int has no 'weight': it is not an object",
            "weigh(Ljava/lang/String;)I": f"{weigh}: java.lang.String has no 'weight': no field or getter "
            "that a path can read has that name; it has empty (boolean), bytes (byte[]), blank (boolean)",
            "twice()I": "selector 'com.acme.misfits.Misfits#twice(self=this.twice())', column 42: "
            "the capture would call its own method recursively, without end",
        }
        first, _, third = refused
        listed = "jcollect probes PID --all lists them, such as "
        # Written once the probes are published.
        wait_until(lambda: len(target.err) == 2, "two lines")
        assert target.err == [
            f"jprobe: cannot trace 2 selected methods; {listed}com.acme.misfits.Misfits#{first}: "
            f"{refused[first]}",
            f"jprobe: cannot trace com.acme.misfits.Misfits#{third}: {refused[third]}",
        ]
        assert untraceable(target) == {
            f"com.acme.misfits.Misfits#{method}": why for method, why in refused.items()
        }
        with attach(target.pid, "-o", "json") as collector:
            assert ask(target, "call") == "called 378"
            finish(collector)
        assert [e["captures"]["weight"] for e in events(collector) if e["method"] == "weigh"] == [20, 20]


READER = "com.acme.misfits.Reader"


@on_newest_jdk
def test_a_private_field_is_not_read_if_the_class_differs_from_its_file(
    jdk: Jdk, targets: Path, tmp_path: Path
) -> None:
    selectors = f"{READER}#missing(arg0.word);{READER}#changed(arg0.word);{READER}#plain"
    crash = f"-XX:ErrorFile={tmp_path}/crash"
    with java(jdk, "-cp", targets, "com.acme.misfits.Misfits", probes=selectors, jvm=[crash]) as target:
        target.wait_for_line("ready")
        wait_for_probes(target.pid, 9)
        with attach(target.pid, "-o", "json") as collector:
            assert states(target) == {"armed": 3, "failed": 6}
            assert ask(target, "call") == "called 378"
            finish(collector)
        assert [event["method"] for event in events(collector)] == ["plain", "plain"]
        changed, missing = sorted(target.err)
        assert changed.startswith(f"jprobe: cannot weave {READER}#changed(Lcom/acme/misfits/Changed;)I: ")
        assert "the loaded class declares private long com.acme.misfits.Changed.word" in changed
        assert missing.startswith(f"jprobe: cannot weave {READER}#missing(Lcom/acme/misfits/Missing;)I: ")
        assert "ClassNotFoundException: com.acme.misfits.Missing" in missing


def test_a_failing_class_loader_does_not_prevent_weaving_of_other_classes(targets: Path) -> None:
    selectors = f"{READER}#troubling(arg0.word);com.acme.misfits.Misfits#total"
    with java(newest_jdk, "-cp", targets, "com.acme.misfits.Misfits", probes=selectors) as target:
        target.wait_for_line("ready")
        wait_for_probes(target.pid, 6)
        with attach(target.pid):
            assert states(target) == {"armed": 3, "failed": 3}
            assert ask(target, "call") == "called 378"
        (line,) = target.err
        assert "IllegalStateException: no com.acme.misfits.Troubling" in line


@pytest.fixture(scope="session")
def depot(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Compiles a module, and a program on the class path that uses it."""
    sources = Path(__file__).parents[1] / "targets/depot"
    modules, program = tmp_path_factory.mktemp("modules"), tmp_path_factory.mktemp("visitor")
    javac = [COMPILER.javac, "--release", "11", "-g"]
    files = sorted((sources / "com.acme.depot").rglob("*.java"))
    subprocess.run([*javac, "-d", modules / "com.acme.depot", *files], check=True)
    module_path = ["-p", modules, "--add-modules", "com.acme.depot"]
    subprocess.run([*javac, *module_path, "-d", program, sources / "Visitor.java"], check=True)
    return modules, program


@on_newest_jdk
def test_private_values_of_a_module_are_absent_or_captured_without_opening_the_module(
    jdk: Jdk, depot: tuple[Path, Path]
) -> None:
    modules, program = depot
    captures = [
        "town=arg0.town",
        "label=arg0.crate().label()",
        "weight=arg0.crate().weight",
        "secret=arg0.inner.secret",
        "crate=arg0.crate()",
    ]
    with java(
        jdk,
        *("-p", modules, "--add-modules", "com.acme.depot", "-cp", program, "Visitor"),
        probes=f"Visitor#visit({','.join(captures)})",
    ) as target:
        target.wait_for_line("ready")
        wait_for_probes(target.pid, 3)
        with attach(target.pid, "-o", "json") as collector:
            assert ask(target, "") == "visited 42"
            finish(collector)
        captured = events(collector)[0]["captures"]
        assert captured.pop("crate")
        assert captured == {
            "town": "Riga",
            # IllegalAccessError: the program's own code could not do this either.
            "label": {"absent": "exception"},
            "weight": {"absent": "exception"},
            "secret": 6,
        }
        assert target.err == []


def test_a_constructor_with_several_calls_of_super_is_woven(targets: Path) -> None:
    with java(newest_jdk, "-cp", targets, "Loaders", probes=f"{PARCELS}.Counter#*") as target:
        target.wait_for_line("ready")
        ask(target, "load generated")
        wait_for_probes(target.pid, 6)
        with attach(target.pid, "-o", "json") as collector:
            assert states(target) == {"armed": 6}
            ask(target, "call generated 3")
            finish(collector)
        calls = Counter((event["method"], event["kind"]) for event in events(collector))
        # One constructor for each call of super.
        assert calls == {
            (name, kind): n for name, n in (("<init>", 2), ("applyAsInt", 3)) for kind in ("entry", "return")
        }
        assert target.err == []
