"""Weaves every method of java.base and of three large libraries while programs run.

No method is rejected without a reason, all results are the same as without the agent, and every class is
restored. A second agent (tests/targets/everything/Witness.java) observes the bytecode of every class. The
collector can handle about 140,000 probes of one process.
"""

from __future__ import annotations

import re
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from conditions import require_bpf, wait_until
from java_target import (
    COMPILER,
    H2_JAR,
    ROOT,
    UNREADABLE,
    Jdk,
    Process,
    fail,
    java,
    jcollect,
    on_every_jdk,
    states_of,
)
from jcollect.control.open_gateway import open_gateway
from jcollect.probes.live import LiveProbe, read_live
from jcollect.probes.probe import STATE_NAMES
from jcollect.probes.scan import Scan, scan_traceable
from processes import opened
from second_agent import agent_jar

JARS = ROOT / "java-agent/build/targets"
GUAVA_JAR = JARS / "guava.jar"
LIBRARIES = [H2_JAR, GUAVA_JAR, *sorted(JARS.glob("netty-*.jar"))]
# A dependency of Guava, and the library with which the second agent reads class files.
BESIDE = [JARS / "failureaccess.jar", JARS / "asm.jar"]

# An idle machine needs minutes; CI may be busy.
PATIENCE_SECONDS = 1_800.0

# At full rate every call of a collection would be a trap, and the work would take hours. The number is prime,
# so that a periodic pattern of calls does not decide which of them fire.
SOME = "every 9973"

# One selector for each combination that is woven differently: arguments, result, object or none, and the
# point at which the condition can be evaluated. The first selector that matches a method applies.
WITH_PATHS_AND_CONDITIONS = [
    "{}#new(t=thread) when thread != null && this != null",
    "static {}#*(int,..):void(a=arg0,t=thread) when arg0 >= 0 || thread != null",
    'static {}#*:void(t=thread,e=exception) when duration >= 0ns || exception == "java.lang.Error"',
    "static {}#*(int,..)(a=arg0,r=return) when arg0 >= 0 || arg0 < 0",
    "static {}#*(t=thread,r=return) when thread != null",
    "{}#*(int,..):void(a=arg0,s=this) when arg0 != 7",
    "{}#*(String,..)(a=arg0,n=arg0.length(),s=this,e=exception.message)"
    " when arg0 == null || arg0.length() >= 0",
    "{}#*:void(s=this,t=thread) when this != null",
    "{}#*(s=this,t=thread,r=return,e=exception) when duration >= 0ns && this != null",
]
PLAIN = ["{}#*"]
# One selector for each kind of step that reads more than fields and getters: elements, casts, static fields.
ELEMENTS_AND_CASTS = [
    "{}#new(max=Integer.MAX_VALUE,out=System.out,name=thread.name)",
    "{}#*(*[],..)(first=arg0[0],third=arg0[2],size=arg0.length)",
    "{}#*(java.util.List,..)(first=arg0[0],length=((String) arg0[1]).length())",
    "{}#*(java.util.Map,..)(id=arg0.get('id'),one=arg0.get(1))",
    "{}#*(Object,..)(text=((CharSequence) arg0),first=((java.util.List) arg0)[0],"
    "id=((java.util.Map) arg0).get('id')) when arg0 == null || arg0 != 'x'",
    "{}#*(String,..)(any=((Object) arg0),order=String.CASE_INSENSITIVE_ORDER) when Long.MAX_VALUE > 0",
    "static {}#*(max=Integer.MAX_VALUE,out=System.out)",
    "{}#*(me=((Comparable) this),first=((java.util.List) this)[0],max=Integer.MAX_VALUE)",
]

# Reasons for which a selected method has no probes, or a class cannot be woven.
UNTRACEABLE = [
    "weaving itself needs this class",
    "it is abstract",
    "it is native",
    r"it is a hidden class, which the JVM does not retransform",
    r"it is the class of a lambda or of a method reference, which the JVM does not retransform; .*",
    # On some JVMs: see tests/jvm_bugs.py.
    r"retransforming on JDK .* \(JDK-8376185\); use JDK .* or later",
    "its class file cannot be read: .*",
]
UNWOVEN = [
    # An optional dependency of a library.
    r"it cannot be linked: java\.lang\.NoClassDefFoundError: .*",
    # Its static initializer has failed, so it cannot be called.
    r"java\.lang\.InternalError: class redefinition failed: invalid class",
    # The JVM has rejected it, because its superclass is missing.
    "the class was not defined, or was unloaded",
    "with the probes it would exceed 65535 bytes of bytecode",
]
# About 45 classes of the libraries fail, and the agent reports 20 per poll, in one poll or in several.
MOST_UNREPORTED = 30
MORE_UNWOVEN = "jprobe: more classes cannot be woven or restored; jcollect probes shows which"
MORE_UNLINKABLE = "jprobe: more classes have no probes, because they cannot be linked"


@pytest.fixture(autouse=True)
def bpf() -> None:
    require_bpf()


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compiles the programs of tests/targets/everything, and creates the second agent's jar beside them."""
    folder = tmp_path_factory.mktemp("everything")
    sources = [*(ROOT / "tests/targets/everything").glob("*.java"), ROOT / "tests/targets/JdkWork.java"]
    path = ":".join(map(str, LIBRARIES + BESIDE))
    subprocess.run(
        [COMPILER.javac, "--release", "11", "-g", "-nowarn", "-cp", path, "-d", folder, *sources], check=True
    )
    agent_jar("Witness", folder, folder)
    return folder


class Everything:
    """A running tests/targets/everything/Everything.java, with or without an agent."""

    def __init__(self, target: Process) -> None:
        self.target = target
        self.pid = target.pid

    def ask(self, command: str) -> list[str]:
        """Returns the lines that the program prints in answer to a command."""
        before = len(self.target.out)
        self.target.send(command)
        self.target.wait_for_line("done$", PATIENCE_SECONDS)
        return self.target.out[before : self.target.out.index("done", before)]

    def work(self) -> list[str]:
        """Lets the program do all of its work, and returns the results."""
        return [line for line in self.ask("work") if line.startswith("worked ")]

    def counts(self, command: str, word: str) -> Counter[str]:
        """Returns the numbers of the answer's lines "WORD NUMBER WHAT", by WHAT."""
        lines = [re.fullmatch(rf"{word} (\d+) (.*)", line) for line in self.ask(command)]
        return Counter({one[2]: int(one[1]) for one in lines if one})

    def probes(self) -> list[LiveProbe]:
        return read_live(traced(self.pid).probes(()))


def traced(pid: int) -> Scan:
    """Returns the process with all of its stub libraries; fails if one cannot be read."""
    return scan_traceable(opened(pid), fail)


def class_path(programs: Path) -> str:
    return ":".join(map(str, [programs, *LIBRARIES, *BESIDE]))


@pytest.fixture(scope="module")
def work_without(programs: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[Jdk], list[str]]:
    """Returns a function that computes the results without the agent, once for each JDK."""
    known: dict[Jdk, list[str]] = {}

    def of(jdk: Jdk) -> list[str]:
        if jdk not in known:
            folder = tmp_path_factory.mktemp("without")
            with java(jdk, "-cp", class_path(programs), "Everything", folder) as target:
                target.wait_for_line("ready")
                known[jdk] = Everything(target).work()
        return known[jdk]

    return of


def packages_of_java_base(jdk: Jdk, programs: Path) -> Iterator[str]:
    """Returns patterns for selectors: the JDK's classes are matched only by explicit package names."""
    command = [jdk.java, "-cp", class_path(programs), "Everything", "packages"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    return (f"{package}.*" for package in listed)


def classes_of(what: str, jdk: Jdk, programs: Path) -> list[str]:
    if what == "java.base":
        return list(packages_of_java_base(jdk, programs))
    if what == "h2":
        return ["org.h2.**"]
    return ["org.h2.**", "com.google.common.**", "com.google.thirdparty.**", "io.netty.**"]


def least_methods(what: str) -> int:
    if what == "java.base":
        return 40_000
    return 10_000 if what == "h2" else 45_000


@contextmanager
def second_owner(pid: int, classes: list[str], selectors: list[str]) -> Iterator[None]:
    """Gives the classes' methods a second set of probes, if there are selectors."""
    if not selectors:
        yield
        return
    with open_gateway(opened(pid), may_load=False, seconds=PATIENCE_SECONDS) as gateway:
        gateway.select([f"{one.format(each)} {SOME}" for each in classes for one in selectors], leased=True)
        yield


@on_every_jdk
@pytest.mark.parametrize(
    ("what", "how", "second"),
    [
        pytest.param("java.base", PLAIN, [], id="java.base-plain"),
        pytest.param("java.base", WITH_PATHS_AND_CONDITIONS, [], id="java.base-rich"),
        pytest.param("libraries", PLAIN, [], id="libraries-plain"),
        pytest.param("libraries", WITH_PATHS_AND_CONDITIONS, [], id="libraries-rich"),
        # A collector cannot handle two sets of probes for all methods of the libraries.
        pytest.param("h2", PLAIN, ELEMENTS_AND_CASTS, id="h2-two-sets"),
    ],
)
def test_every_method_can_be_woven_and_nothing_is_harmed(
    jdk: Jdk,
    what: str,
    how: list[str],
    second: list[str],
    programs: Path,
    work_without: Callable[[Jdk], list[str]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    selectors = tmp_path / "selectors"
    selectors.write_text(
        "".join(
            f"{selector.format(classes)} {SOME}\n"
            for classes in classes_of(what, jdk, programs)
            for selector in how
        )
    )
    figures: dict[str, Any] = {}
    target = java(
        jdk,
        f"-javaagent:{programs}/Witness.jar",
        "-cp",
        class_path(programs),
        "Everything",
        tmp_path,
        *LIBRARIES,
        options=f"config={selectors},max-methods=200000" + (",control=on" if second else ""),
        # Also verifies classes of the boot loader.
        jvm=["-Xverify:all"],
    )
    with target, ExitStack() as owners:
        target.wait_for_line("ready", PATIENCE_SECONDS)
        owners.enter_context(second_owner(target.pid, classes_of(what, jdk, programs), second))
        everything = Everything(target)
        figures["classes"] = everything.counts("load", "loaded").total()
        assert everything.work() == work_without(jdk)
        wait_until(
            lambda: states_of(everything.pid).total() >= 2 * least_methods(what),
            "all probes",
            PATIENCE_SECONDS,
        )
        files = everything.counts("show", "file")
        figures["as in their files"] = files["equal"] + files["equivalent"]
        # Classes whose code in the JVM differs from their class files: events that JFR completes while they
        # are loaded, and method handle forms that class data sharing has regenerated.
        others = {line.split()[0] for line in files - same(files)}
        assert not others & {probe.probe.class_name for probe in everything.probes()}

        figures["weaving"], collector = seconds(lambda: attach_to_all(everything))
        with collector:
            wait_until(
                lambda: set(states_of(everything.pid)) <= {"armed", "failed"},
                "all to be woven",
                PATIENCE_SECONDS,
            )
            woven, unreported = check_what_is_woven(everything, figures)
            figures["methods woven"] = len({method_of(probe) for probe in woven})
            assert figures["methods woven"] >= least_methods(what)
            figures["sets woven"] = len({probe.probe.set_id for probe in woven})
            assert figures["sets woven"] >= (1 + bool(second)) * 0.99 * figures["methods woven"]
            for _ in range(2):
                assert everything.work() == work_without(jdk)
            collector.signal(signal.SIGINT)
            assert collector.wait(PATIENCE_SECONDS) == 0, collector.err
        figures["hits"] = hits(collector.err[-1])
        figures["unweaving"], _ = seconds(
            lambda: wait_until(
                lambda: set(states_of(everything.pid)) == {"dormant"}, "all to be dormant", PATIENCE_SECONDS
            )
        )
        assert everything.work() == work_without(jdk)
        compared = everything.counts("compare", "compared")
        figures["classes restored"] = compared["restored"]
        assert not [verdict for verdict in compared if "not restored" in verdict or "differs" in verdict]
        never_linked = {verdict.split()[0] for verdict in compared if verdict.endswith(" never linked")}
        assert never_linked <= unlinkable(everything) | unreported
        figures["classes never linked"] = len(never_linked)
        # The original code of classes that were loaded later is known only from their class files.
        since = sum(count for verdict, count in compared.items() if verdict.startswith("loaded since"))
        assert compared["restored"] + since >= len({class_of(probe) for probe in woven})
        target.send("exit")
        assert target.wait(PATIENCE_SECONDS) == 0
        assert not [line for line in target.err if not is_expected(line)]
    with capsys.disabled():
        print(f"\n{jdk} {what}", *(f"  {name}: {value}" for name, value in figures.items()), sep="\n")


def same(files: Counter[str]) -> Counter[str]:
    return Counter({how: files[how] for how in ("equal", "equivalent", "made by the program")})


def seconds(act: Callable[[], Any]) -> tuple[float, Any]:
    """Returns the duration in seconds and the result."""
    begun = time.monotonic()
    result = act()
    return round(time.monotonic() - begun, 1), result


def attach_to_all(everything: Everything) -> Process:
    """Attaches a collector and waits until all probes are armed or failed."""
    patience = ["--arm-timeout", int(PATIENCE_SECONDS)]
    collector = jcollect("attach", everything.pid, "--max-probes", 1 << 20, *patience)
    collector.wait_for_line("armed ", PATIENCE_SECONDS)
    return collector


def method_of(probe: LiveProbe) -> tuple[int, str, str, str]:
    return (*class_of(probe), probe.probe.method, probe.probe.method_descriptor)


def class_of(probe: LiveProbe) -> tuple[int, str]:
    return probe.probe.class_loader_id, probe.probe.class_name


def check_what_is_woven(everything: Everything, figures: dict[str, Any]) -> tuple[list[LiveProbe], set[str]]:
    """Returns the armed probes, and the classes that failed without a line of the agent.

    Checks that all other methods have a known reason.
    """
    why = Counter(known(one.reason, UNTRACEABLE) for one in traced(everything.pid).untraceable(()))
    probes = everything.probes()
    reported = dict(filter(None, map(reported_unwoven, everything.target.err)))
    failed = {method_of(probe) for probe in probes if STATE_NAMES[probe.state] == "failed"}
    unreported = set()
    for _, class_name, method, descriptor in failed:
        reason = reported.get(class_name) or reported.get(f"{class_name}#{method}{descriptor}")
        if reason:
            why[known(reason, UNWOVEN)] += 1
        else:
            unreported.add(class_name)
    assert not unreported or MORE_UNWOVEN in everything.target.err, (
        f"no line says why {unreported} were not woven"
    )
    assert len(unreported) <= MOST_UNREPORTED, unreported
    figures["methods selected"] = len({method_of(probe) for probe in probes}) + sum(
        count for reason, count in why.items() if reason in UNTRACEABLE
    )
    figures["methods not woven"] = dict(why.most_common())
    return [probe for probe in probes if STATE_NAMES[probe.state] == "armed"], unreported


def unlinkable(everything: Everything) -> set[str]:
    """Returns the classes that the agent has stopped weaving because the JVM cannot link them."""
    reported = filter(None, map(reported_unwoven, everything.target.err))
    return {class_name for class_name, reason in reported if reason.startswith("it cannot be linked: ")}


def reported_unwoven(line: str) -> tuple[str, str] | None:
    """Returns the class, or class#method, and the reason if the line reports that it cannot be woven."""
    match = re.fullmatch(r"jprobe: cannot weave (?:class )?(\S+): (.*)", line)
    return (match[1], match[2]) if match else None


def known(reason: str, reasons: list[str]) -> str:
    """Returns the pattern that the reason matches. Fails if it is unknown."""
    kinds = [kind for kind in reasons if re.fullmatch(kind, reason)]
    assert kinds, f"unknown reason: {reason}"
    return kinds[0]


def hits(counts: str) -> int:
    """Returns how often woven methods were called. Fails if the hit counts do not add up."""
    assert "unaccounted" not in counts
    found = re.search(r": ([\d,]+) hits = ", counts)
    assert found, counts
    count = int(found[1].replace(",", ""))
    assert count > 1_000_000, counts
    return count


def is_expected(line: str) -> bool:
    """Returns true for the agent's lines about unwoven classes, and the JVM's lines about libraries."""
    unwoven = reported_unwoven(line)
    if unwoven:
        return any(re.fullmatch(kind, unwoven[1]) for kind in UNWOVEN)
    return line in (MORE_UNWOVEN, MORE_UNLINKABLE) or bool(
        any(re.match(unreadable, line) for unreadable in UNREADABLE)
        or re.match(r"jprobe: selector .* has matched no method", line)
        # On a busy machine.
        or re.match(r"jprobe: retransforming \S+ and \d+ more classes is taking long; ", line)
        or re.match(r"jprobe: cannot trace .*: retransforming on JDK ", line)
        or re.match(r"WARNING: .*sun\.misc\.Unsafe", line)
        or re.match("WARNING: Please consider reporting this", line)
    )
