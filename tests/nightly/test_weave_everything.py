"""Every method of java.base and of three large libraries, woven while programs run: nothing is rejected
without a reason, everything comes out as without an agent, and every class is in the end what it was.

Beside the collector, which has room for about 140,000 probes of one process, this rests on a second agent
(tests/targets/everything/Witness.java), which sees what every class becomes.
"""

from __future__ import annotations

import re
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from conditions import require_bpf, wait_until
from java_target import COMPILER, H2_JAR, ROOT, Jdk, Process, fail, java, jcollect, on_every_jdk, states_of
from jcollect.probes.live import LiveProbe, read_live
from jcollect.probes.probe import STATE_NAMES
from jcollect.probes.scan import Scan, scan_traceable
from processes import opened
from second_agent import agent_jar

JARS = ROOT / "java-agent/build/targets"
GUAVA_JAR = JARS / "guava.jar"
LIBRARIES = [H2_JAR, GUAVA_JAR, *sorted(JARS.glob("netty-*.jar"))]
# What Guava needs, and what the second agent reads class files with.
BESIDE = [JARS / "failureaccess.jar", JARS / "asm.jar"]

# Minutes, on a machine that does nothing else; it may do a lot else.
PATIENCE_SECONDS = 1_800.0

# At full rate every call of a collection would be a trap, and the work would take hours. A prime number,
# so that no rhythm of the work decides which calls fire.
SOME = "every 9973"

# A selector each for what decides how a method is woven: what it is passed, what it returns, whether there
# is an object, and when its condition can be decided. The first that matches a method has it.
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

# Why a selected method has no probes, or a class none that could be woven.
UNTRACEABLE = [
    "weaving itself needs this class",
    "it is abstract",
    "it is native",
    r"it is a hidden class, which the JVM does not retransform",
    r"it is a lambda's own class, which the JVM does not retransform; .*",
    # Of some JVMs: tests/jvm_bugs.py.
    r"retransforming on JDK .* \(JDK-8376185\); use JDK .* or later",
]
UNWOVEN = [
    # What a library can use and need not.
    r"it cannot be linked: java\.lang\.NoClassDefFoundError: .*",
    # Its static initialiser has failed, so that nobody can call it.
    r"java\.lang\.InternalError: class redefinition failed: invalid class",
    # The JVM has refused it, because its superclass is of such a library.
    "the class was not defined, or was unloaded",
    "with the probes it would exceed 65535 bytes of bytecode",
]
# Some thirty classes of the libraries fail in all, and the agent tells of twenty at one look.
MOST_UNTOLD = 15
MORE_UNWOVEN = "jprobe: more classes cannot be woven or restored; jcollect probes shows which"
MORE_UNLINKABLE = "jprobe: more classes have no probes, because they cannot be linked"


@pytest.fixture(autouse=True)
def bpf() -> None:
    require_bpf()


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The compiled programs of tests/targets/everything, and the second agent's jar beside them."""
    folder = tmp_path_factory.mktemp("everything")
    sources = [*(ROOT / "tests/targets/everything").glob("*.java"), ROOT / "tests/targets/JdkWork.java"]
    path = ":".join(map(str, LIBRARIES + BESIDE))
    subprocess.run(
        [COMPILER.javac, "--release", "11", "-g", "-nowarn", "-cp", path, "-d", folder, *sources], check=True
    )
    agent_jar("Witness", folder, folder)
    return folder


class Everything:
    """tests/targets/everything/Everything.java, with an agent or without."""

    def __init__(self, target: Process) -> None:
        self.target = target
        self.pid = target.pid

    def tell(self, command: str) -> list[str]:
        """What it says to a command."""
        before = len(self.target.out)
        self.target.send(command)
        self.target.wait_for_line("done$", PATIENCE_SECONDS)
        return self.target.out[before : self.target.out.index("done", before)]

    def work(self) -> list[str]:
        """The results of everything that it does."""
        return [line for line in self.tell("work") if line.startswith("worked ")]

    def counts(self, command: str, word: str) -> Counter[str]:
        """The lines "WORD NUMBER WHAT" of an answer, by WHAT."""
        said = [re.fullmatch(rf"{word} (\d+) (.*)", line) for line in self.tell(command)]
        return Counter({one[2]: int(one[1]) for one in said if one})

    def probes(self) -> list[LiveProbe]:
        return read_live(traced(self.pid).probes(()))


def traced(pid: int) -> Scan:
    """The process with all its libraries: one that was skipped is no part of what is tested."""
    return scan_traceable(opened(pid), fail)


def class_path(programs: Path) -> str:
    return ":".join(map(str, [programs, *LIBRARIES, *BESIDE]))


@pytest.fixture(scope="module")
def work_without(programs: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[Jdk], list[str]]:
    """What everything comes to where no agent is, once for each JDK."""
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
    """As selectors have them: the JDK's classes are matched by packages that are written out."""
    command = [jdk.java, "-cp", class_path(programs), "Everything", "packages"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    return (f"{package}.*" for package in listed)


def classes_of(what: str, jdk: Jdk, programs: Path) -> list[str]:
    if what == "java.base":
        return list(packages_of_java_base(jdk, programs))
    return ["org.h2.**", "com.google.common.**", "com.google.thirdparty.**", "io.netty.**"]


def least_methods(what: str) -> int:
    if what == "java.base":
        return 40_000
    return 45_000


@on_every_jdk
@pytest.mark.parametrize("how", [PLAIN, WITH_PATHS_AND_CONDITIONS], ids=["plain", "rich"])
@pytest.mark.parametrize("what", ["java.base", "libraries"])
def test_every_method_can_be_woven_and_nothing_is_harmed(
    jdk: Jdk,
    what: str,
    how: list[str],
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
        options=f"config={selectors},max-methods=200000",
        # Of the boot loader's classes as well.
        jvm=["-Xverify:all"],
    )
    with target:
        target.wait_for_line("ready", PATIENCE_SECONDS)
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
        # What the JVM has other code for than their files: events that JFR completes as they are loaded, and
        # forms of method handles that class data sharing has made anew.
        others = {line.split()[0] for line in files - same(files)}
        assert not others & {probe.probe.class_name for probe in everything.probes()}

        figures["weaving"], collector = seconds(lambda: attach_to_all(everything))
        with collector:
            wait_until(
                lambda: set(states_of(everything.pid)) <= {"armed", "failed"},
                "all to be woven",
                PATIENCE_SECONDS,
            )
            woven, untold = check_what_is_woven(everything, figures)
            figures["methods woven"] = len({method_of(probe) for probe in woven})
            assert figures["methods woven"] >= least_methods(what)
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
        assert never_linked <= unlinkable(everything) | untold
        figures["classes never linked"] = len(never_linked)
        # Of those that were loaded since, what they were at first has not been seen, but for their files.
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
    """How long it took, and what came of it."""
    begun = time.monotonic()
    result = act()
    return round(time.monotonic() - begun, 1), result


def attach_to_all(everything: Everything) -> Process:
    """A collector that has seen all probes armed, or failed."""
    patience = ["--arm-timeout", int(PATIENCE_SECONDS)]
    collector = jcollect("attach", everything.pid, "--max-probes", 1 << 20, *patience)
    collector.wait_for_line("armed ", PATIENCE_SECONDS)
    return collector


def method_of(probe: LiveProbe) -> tuple[int, str, str, str]:
    return (*class_of(probe), probe.probe.method, probe.probe.descriptor)


def class_of(probe: LiveProbe) -> tuple[int, str]:
    return probe.probe.class_loader_id, probe.probe.class_name


def check_what_is_woven(everything: Everything, figures: dict[str, Any]) -> tuple[list[LiveProbe], set[str]]:
    """The probes that are armed, and the classes that failed after the agent's last line about such.

    Each other has a reason that we know of.
    """
    why = Counter(known(one.reason, UNTRACEABLE) for one in traced(everything.pid).untraceable(()))
    probes = everything.probes()
    told = dict(filter(None, map(told_unwoven, everything.target.err)))
    failed = {method_of(probe) for probe in probes if STATE_NAMES[probe.state] == "failed"}
    untold = set()
    for _, class_name, method, descriptor in failed:
        reason = told.get(class_name) or told.get(f"{class_name}#{method}{descriptor}")
        if reason:
            why[known(reason, UNWOVEN)] += 1
        else:
            untold.add(class_name)
    assert not untold or MORE_UNWOVEN in everything.target.err, f"no line says why {untold} were not woven"
    assert len(untold) <= MOST_UNTOLD, untold
    figures["methods selected"] = len({method_of(probe) for probe in probes}) + sum(
        count for reason, count in why.items() if reason in UNTRACEABLE
    )
    figures["methods not woven"] = dict(why.most_common())
    return [probe for probe in probes if STATE_NAMES[probe.state] == "armed"], untold


def unlinkable(everything: Everything) -> set[str]:
    """The classes that the agent has given up weaving, because the JVM cannot link them."""
    told = filter(None, map(told_unwoven, everything.target.err))
    return {class_name for class_name, reason in told if reason.startswith("it cannot be linked: ")}


def told_unwoven(line: str) -> tuple[str, str] | None:
    """The class, or class#method, and the reason, where the line says that it cannot be woven."""
    told = re.fullmatch(r"jprobe: cannot weave (?:class )?(\S+): (.*)", line)
    return (told[1], told[2]) if told else None


def known(reason: str, reasons: list[str]) -> str:
    """The kind of the reason."""
    kinds = [kind for kind in reasons if re.fullmatch(kind, reason)]
    assert kinds, f"a reason that nobody knows of: {reason}"
    return kinds[0]


def hits(books: str) -> int:
    """How often woven methods were called; none of that may be lost from the books."""
    assert "unaccounted" not in books
    found = re.search(r": ([\d,]+) hits = ", books)
    assert found, books
    count = int(found[1].replace(",", ""))
    assert count > 1_000_000, books
    return count


def is_expected(line: str) -> bool:
    """What the agent says of classes that cannot be woven, and what the JVM says of the libraries."""
    unwoven = told_unwoven(line)
    if unwoven:
        return any(re.fullmatch(kind, unwoven[1]) for kind in UNWOVEN)
    return line in (MORE_UNWOVEN, MORE_UNLINKABLE) or bool(
        re.match(r"jprobe: class \S+ has no probes, because its class file cannot be read: ", line)
        or re.match(r"jprobe: selector .* has matched no method", line)
        or re.match(r"jprobe: cannot trace .*: retransforming on JDK ", line)
        or re.match(r"WARNING: .*sun\.misc\.Unsafe", line)
        or re.match("WARNING: Please consider reporting this", line)
    )
