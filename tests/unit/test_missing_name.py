"""A name that no JVM has is reported once, with the names of those that run."""

from __future__ import annotations

import pytest

from jcollect.probes.globs import names_matcher
from jcollect.probes.host import HostProcess
from jcollect.session import missing_name
from jcollect.session.missing_name import MissingName, missing_text

NAMES = ["shop.Mian"]


def jvm(name: str, is_jvm: bool = True) -> HostProcess:
    return HostProcess(1, 1, 0, is_jvm, not is_jvm, "", name)


def test_at_most_five_names_are_shown() -> None:
    many = [jvm(f"a.B{number}") for number in (0, 0, 1, 2, 3, 4, 5, 6)]
    assert missing_text(NAMES, [*many, jvm("sleep", is_jvm=False)]) == (
        "no JVM named 'shop.Mian' runs; the JVMs that do: a.B0, a.B1, a.B2, a.B3, a.B4 and 2 more; still "
        "waiting"
    )
    assert missing_text(NAMES, [jvm("shop.Main")]) == (
        "no JVM named 'shop.Mian' runs; the JVMs that do: shop.Main; still waiting"
    )
    assert missing_text(["x", "y"], []) == (
        "no JVM named 'x' or 'y' runs, and no other one that jcollect may read; still waiting"
    )


@pytest.mark.parametrize(("running", "lines"), [("shop.Main", 1), ("shop.Mian", 0)])
def test_it_is_said_once(monkeypatch: pytest.MonkeyPatch, running: str, lines: int) -> None:
    missing = MissingName(NAMES, names_matcher(NAMES))
    said: list[str] = []
    monkeypatch.setattr(missing_name, "status", said.append)
    missing.look_at([jvm("shop.Main")])
    assert said == []
    monkeypatch.setattr(missing_name, "_SECONDS", 0.0)
    for _ in range(3):
        missing.look_at([jvm(running)])
    assert len(said) == lines
