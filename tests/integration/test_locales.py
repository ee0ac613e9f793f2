"""Selectors, values and messages are the same whatever the default locale of the traced program."""

from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from conditions import require_bpf
from java_target import JCOLLECT, Jdk, Process, attach, finish, java, on_newest_jdk, run

Event = dict[str, Any]
Said = tuple[list[Event], list[str]]

# 7 and a lower-case I, as String.format and toLowerCase write them.
ENGLISH = ("7", "i")
TURKISH = ("7", "\N{LATIN SMALL LETTER DOTLESS I}")
EGYPTIAN = ("\N{ARABIC-INDIC DIGIT SEVEN}", "i")
DOTLESS = TURKISH[1]

PRICE = (
    "Tariff#price(id=item.id, initial=item.initial, amount=amount, rate=rate, count=count, kind=kind) "
    "when count > 1234567 && rate >= 2469.0 && kind == 'INTERNATIONAL' && duration >= 0ns every 2 "
    "at most 1000000/s"
)
LIST = "Tariff#list(VALUES=values, second=values[1])"
VALUES = "[1234567, -12.75, 1.0E300, 2024-02-29, -0.5]"
INVOICE = "Tariff#INVOICE when IDENTITY == 1000000"

# Each command is answered with numbers, with names that are near to the given ones, or with a selector.
COMMANDS = [
    ("find", "Tariff*#*"),
    ("find", "tariff$item#getid"),
    ("select", "Tariff#invoice"),
    ("select", f"Tariff#INVOICE(x={DOTLESS}dent{DOTLESS}ty)"),
    ("select", f"Tariff#price(x=item.{DOTLESS}nitial)"),
    ("select", f"Tariff#price when duration > 1.5ms every {EGYPTIAN[0]}"),
    ("set", "--max-methods", "1234"),
    ("select", "java.util.**#*"),
    ("set", "--max-methods", "4321"),
    ("select", "Tariff#price when rate > 1234567.5 every 1000 at most 1234567/s"),
    ("set", "Tariff#price", "duration > 1234.5us every 1234567 at most 7654321/s"),
    ("status",),
    ("unselect", "TARIFF#PRICE"),
]


@pytest.fixture(autouse=True)
def bpf() -> None:
    require_bpf()


def started(jdk: Jdk, targets: Path, language: str, country: str, is_like: tuple[str, str]) -> Process:
    """Starts the program with that default locale, in which it must write numbers and letters so."""
    locale = (f"-Duser.language={language}", f"-Duser.country={country}")
    target = java(jdk, *locale, "-cp", targets, "Tariff")
    digit, letter = map(ord, is_like)
    target.wait_for_line(f"ready {digit} {letter}$")
    return target


def without_chance(pid: int, text: str) -> str:
    """Returns the text without process IDs, times, addresses, random names and costs, and without the number
    of the JDK's classes, of which each locale loads others.
    """
    text = re.sub(rf"\b{pid}\b", "PID", text)
    text = re.sub(r"match \d+,\d{3} methods", "match N,NNN methods", text)
    text = re.sub(r"^loading the agent .*\n", "", text, flags=re.MULTILINE)
    text = re.sub(r"jprobe-PID-[0-9a-f]+|@[0-9a-f]+|0x[0-9a-f]+", "ADDRESS", text)
    text = re.sub(r"\b[\d.,]+ ?(ns|us|ms|s|min|%)(?= |;|,|$|\))", r"N \1", text, flags=re.MULTILINE)
    return text


def said(target: Process) -> list[str]:
    """Returns what jcollect answers to all commands, and what the agent prints."""
    answers = []
    for verb, *arguments in COMMANDS:
        done = run(JCOLLECT, verb, target.pid, *arguments)
        answers.append(f"{verb} {arguments}: {done.returncode}\n{done.stdout}{done.stderr}")
    # Newer JVMs warn of agents that are loaded later.
    printed = [line for line in target.err if line.startswith("jprobe: ")]
    return [without_chance(target.pid, answer) for answer in (*answers, *printed)]


def captured(target: Process) -> list[Event]:
    """Returns the events of all calls, without what differs between two runs."""
    selected = [f"--select={selector}" for selector in (PRICE, LIST, INVOICE)]
    events = []
    with attach(target.pid, "-o", "json", *selected) as collector:
        target.send("call")
        target.wait_for_line("called")
        assert " + 0 lost" in finish(collector)
        for line in collector.out:
            event = json.loads(line)
            events.append({key: event.get(key) for key in ("probe", "method", "args", "captures")})
    return events


@pytest.mark.takes_long
@on_newest_jdk
def test_the_default_locale_changes_no_text_and_no_value(jdk: Jdk, targets: Path) -> None:
    def in_locale(language: str, country: str, is_like: tuple[str, str]) -> Said:
        with started(jdk, targets, language, country, is_like) as target:
            return captured(target), said(target)

    locales = [("en", "US", ENGLISH), ("tr", "TR", TURKISH)]
    # The runtimes from PyPI, which have no compiler, lack the digits.
    if Path(jdk.javac).exists():
        locales.append(("ar", "EG", EGYPTIAN))
    with ThreadPoolExecutor() as pool:
        english, *others = pool.map(lambda locale: in_locale(*locale), locales)
    events, answers = english
    amounts = [event["captures"]["amount"] for event in events if event["method"] == "price"]
    assert amounts == [1234567.89] * 4
    assert [event["captures"]["VALUES"] for event in events if event["method"] == "list"] == [VALUES] * 2
    assert any("match N,NNN methods" in answer for answer in answers)
    for other_events, other_answers in others:
        assert other_events == events
        for answer, in_english in zip(other_answers, answers, strict=True):
            assert answer == in_english
