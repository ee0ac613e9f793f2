"""The JVM rejects a woven class: the methods that cause this fail, by name, and no others."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from conditions import require_bpf, wait_until
from java_target import Jdk, attach, finish, java, on_every_jdk, probes_of, states_of, wait_for_probes
from recording import Recording
from second_agent import agent_jar

METHODS = "Spoilt$Methods"
SOUND = ("one", "two", "four", "five", "seven")
SPOILT = ("spoilt()I", "spoiltToo(I)I")
RUN = 7
SUM = f"sum {RUN * (1 + 2 + (1 + 3) + 4 + 5 + (1 + 6) + 7)}"


@pytest.fixture(autouse=True)
def bpf() -> None:
    require_bpf()


def states(pid: int) -> dict[str, set[str]]:
    """Returns the methods by the states of their probes."""
    found: dict[str, set[str]] = {}
    for probe in probes_of(pid):
        found.setdefault(probe["state"], set()).add(probe["method"])
    return found


@on_every_jdk
@pytest.mark.parametrize("captures", ["", "(t=thread) when thread != null"], ids=["plain", "rich"])
def test_only_the_methods_that_cause_the_rejection_fail(
    jdk: Jdk, captures: str, targets: Path, tmp_path: Path
) -> None:
    spoiling = agent_jar("SpoilingAgent", targets, tmp_path)
    jvm = [f"-javaagent:{spoiling}"]
    with java(jdk, "-cp", targets, "Spoilt", probes=f"{METHODS}#*(..){captures};!**#new", jvm=jvm) as target:
        target.wait_for_line("ready")
        wait_for_probes(target.pid, 3 * (len(SOUND) + len(SPOILT)))
        # A method that is woven already stays woven while the faulty ones are searched.
        with attach(target.pid, "--probe", f"{METHODS}#one", "--listen", f"unix://{tmp_path}/s") as first:
            with attach(target.pid) as collector:
                assert states(target.pid) == {"armed": set(SOUND), "failed": {"spoilt", "spoiltToo"}}
                recording = Recording(target.pid)
                target.send("run")
                assert target.wait_for_line("sum") == SUM
                finish(collector)
                events = Counter(event.method for event in recording.end())
                assert events == dict.fromkeys((f"{METHODS}#{name}()I" for name in SOUND), 2 * RUN)
            summary = finish(first)
        assert f"{2 * RUN} hits = {2 * RUN} delivered" in summary
        wait_until(lambda: set(states_of(target.pid)) == {"dormant"}, "all to be dormant")
        target.send("run")
        assert target.wait_for_line("sum") == SUM
    reported = sorted(line for line in target.err if line.startswith("jprobe: "))
    reason = (
        "the JVM rejects the class when this method is woven, alone or together with others: "
        "java.lang.VerifyError"
    )
    assert reported == [f"jprobe: cannot weave {METHODS}#{method}: {reason}" for method in SPOILT]
