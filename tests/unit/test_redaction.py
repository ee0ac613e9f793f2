"""Redaction: which strings are changed, and that everything else of a batch stays as it was."""

from __future__ import annotations

import itertools
import random

import numpy as np
import pytest

from event_batches import UNREADABLE, Cut, Event, batch, probe, value
from jcollect.errors import InvalidCommandError
from jcollect.hub.accounts import Accounts
from jcollect.hub.hub import Hub
from jcollect.hub.redaction import Redaction
from jcollect.hub.redaction_rules import RedactionRules
from jcollect.hub.stream_options import StreamOptions
from list_source import StillCounters
from received import batches, received

TEXT = probe(0, value("text", "java.lang.String"))


def redacted(rules: RedactionRules, *texts: object) -> list[str]:
    """Returns strings as they are published."""
    redaction = Redaction(rules)
    redaction.describe([TEXT])
    changed = redaction.apply(batch([Event(TEXT, (text,)) for text in texts]))
    ends = np.cumsum(changed.text_sizes).tolist()
    assert (changed.columns.values & np.uint64(0xFFFFFFFF)).tolist() == changed.text_sizes.tolist()
    starts = [0, *ends[:-1]]
    return [changed.columns.text[a:b].decode() for a, b in zip(starts, ends, strict=True)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("select 1", "select 1"),
        ("password=hunter2", "password=***"),
        ('{"apiKey": "s3cr3t-value", "id": 7}', '{"apiKey": "***", "id": 7}'),
        ("user=x&token=abcdef&next=1", "user=x&token=***&next=1"),
        ("Authorization: Bearer abcdefghijkl", "Authorization: Bearer ***"),
        ("jdbc:postgresql://joe:geheim@db/shop", "jdbc:postgresql://joe:***db/shop"),
        ("id eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc", "id ***"),
        ("id eyJhbGciOiJIUzI1N", "id ***"),
        ("key AKIAIOSFODNN7EXAMPLE!", "key ***!"),
        ("pay 4111 1111 1111 1111 now", "pay *** now"),
        ("pay 4111 1111 1111 1112 now", "pay 4111 1111 1111 1112 now"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIE", "-----BEGIN RSA PRIVATE KEY-----***"),
        ("the password is lost", "the password is lost"),
        ("tokens: 3", "tokens: 3"),
        ("a compass: north", "a compass: north"),
        ('password="correct horse", id=7', 'password="***", id=7'),
        ('{"secret":"a\\"b c","id":7}', '{"secret":"***","id":7}'),
        ("password=hunter,2abc rest", "password=*** rest"),
        ("db_passwords: xyz", "db_passwords: ***"),
        ("pass=abcd&x=1", "pass=***&x=1"),
        ("password%3Dabcdef", "password%3D***"),
        ("secretKey=abcdef", "secretKey=***"),
        ("<ns:password a='1'>abcdef</ns:password>", "<ns:password a='1'>***</ns:password>"),
        ("Cookie: id=12345; x=y", "Cookie: ***"),
        ("card4111111111111111", "***"),
        ("pay 4111.1111.1111.1111", "pay ***"),
        ("-----BEGIN PGP PRIVATE KEY BLOCK-----\nabc", "-----BEGIN PGP PRIVATE KEY BLOCK-----***"),
        ("", ""),
    ],
)
def test_what_looks_like_a_secret_is_replaced(text: str, expected: str) -> None:
    assert redacted(RedactionRules(secrets=True), text) == [expected]


def test_matches_of_patterns_are_replaced() -> None:
    rules = RedactionRules(patterns=(r"[0-9]{4}", "ü+"))
    assert redacted(rules, "pin 1234 and 99", "Müü", "x") == ["pin *** and 99", "M***", "x"]


def test_a_redacted_string_is_never_longer() -> None:
    assert redacted(RedactionRules(patterns=("a",)), "a", "aa", "aaaa", "bab") == ["*", "**", "***", "***"]


def test_values_of_a_type_or_with_a_secret_name_are_replaced_as_a_whole() -> None:
    of = probe(
        3,
        value("card", "com.acme.Card"),
        value("dbPassword", "java.lang.String"),
        value("x", "java.lang.String", "arg0.login().getToken()"),
        value("authorized", "java.lang.String"),
        value("id", "long"),
    )
    redaction = Redaction(RedactionRules(types=("com.acme.*",), secrets=True))
    redaction.describe([of, TEXT])
    before = batch([Event(of, ("com.acme.Card@1f", "x", "longer", "yes", 2**40 + 5)), Event(TEXT, ("fine",))])
    after = redaction.apply(before)
    assert after.columns.text == b"*****yesfine".replace(b"*****", b"***" + b"*" + b"***", 1)
    assert after.columns.values[4] == 2**40 + 5
    assert after.text_sizes.tolist() == [10, 4]
    assert np.array_equal(after.value_counts, before.value_counts)


def test_what_a_getter_of_a_secret_returns_is_replaced() -> None:
    of = probe(5, value("return", "java.lang.String"), method="getPassword")
    redaction = Redaction(RedactionRules(secrets=True))
    redaction.describe([of])
    assert redaction.apply(batch([Event(of, ("xyz",))])).columns.text == b"***"


def test_a_process_with_costly_strings_does_not_take_the_time_of_others(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    costly, other = (
        probe(0, value("text", "java.lang.String"), pid=1),
        probe(1, value("text", "java.lang.String")),
    )
    redaction = Redaction(RedactionRules(secrets=True))
    redaction.describe([costly, other])
    clock = itertools.count()
    # Each string takes a tenth of a second.
    monkeypatch.setattr("jcollect.hub.redaction.time.perf_counter", lambda: next(clock) / 10)
    events = [Event(costly, (f"string {number}",)) for number in range(50)]
    texts = redaction.apply(batch(events)).columns.text
    assert texts.startswith(b"string 0string 1")
    assert texts.count(b"***") > 25
    after = redaction.apply(batch([Event(other, ("password=hunter2",))]))
    assert after.columns.text == b"password=***"
    assert capfd.readouterr().err.count("strings of PID 1 are replaced as a whole from time to time") == 1


def test_a_string_with_very_many_matches_is_replaced_as_a_whole() -> None:
    assert redacted(RedactionRules(secrets=True), "://a:bcd@" * 100) == ["***"]


def test_flags_of_strings_stay() -> None:
    redaction = Redaction(RedactionRules(patterns=("secret",)))
    redaction.describe([TEXT])
    events = [Event(TEXT, (each,)) for each in (Cut("my secret"), None, UNREADABLE, "my secret")]
    before, after = batch(events), redaction.apply(batch(events))
    flags = ~np.uint64(0xFFFFFFFF)
    assert np.array_equal(before.columns.values & flags, after.columns.values & flags)
    assert after.columns.text == b"my ***my ***"


def test_batches_of_many_probes_keep_their_order() -> None:
    random_ = random.Random(4711)
    probes = [
        probe(
            number, *(value(f"v{at}", random_.choice(("java.lang.String", "long"))) for at in range(number))
        )
        for number in range(1, 6)
    ]
    events = []
    for number in range(500):
        of = random_.choice(probes)
        values = [
            f"s{number}secret" * random_.randrange(3) if each.java_type != "long" else number
            for each in of.values
        ]
        events.append(Event(of, values))
    redaction = Redaction(RedactionRules(patterns=("secret",)))
    redaction.describe(probes)
    expected = [
        Event(each.of, [v.replace("secret", "***") if isinstance(v, str) else v for v in each.values])
        for each in events
    ]
    after, wanted = redaction.apply(batch(events)), batch(expected)
    assert after.columns.text == wanted.columns.text
    assert np.array_equal(after.columns.values, wanted.columns.values)
    assert np.array_equal(after.text_sizes, wanted.text_sizes)


def test_patterns_that_take_long_elsewhere_take_linear_time() -> None:
    rules = RedactionRules(patterns=(r"(a+)+$", r"(x|x)*y"))
    assert redacted(rules, "a" * 1000 + "b", "x" * 1000) == ["a" * 1000 + "b", "x" * 1000]


@pytest.mark.parametrize("pattern", ["(", r"(a)\1", "(?=a)", "a{1001}"])
def test_a_malformed_pattern_is_an_error(pattern: str, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InvalidCommandError, match=r"cannot redact by '.*the syntax is that of RE2"):
        Redaction(RedactionRules(patterns=(pattern,)))
    assert capfd.readouterr().err == ""


def test_subscribers_and_their_conditions_see_redacted_strings_only() -> None:
    redaction = Redaction(RedactionRules(patterns=("hunter2",)))
    hub = Hub([TEXT], Accounts(8, [StillCounters(8)]), stages=[redaction])
    everything = hub.subscribe(())
    guessing = hub.subscribe((), options=StreamOptions(where="text == 'hunter2'"))
    hub.publish(batch([Event(TEXT, ("hunter2",)), Event(TEXT, ("other",))]))
    late = hub.subscribe((), options=StreamOptions(only_history=True))
    hub.end()
    assert [columns.text for columns in batches(received(everything))] == [b"***other"]
    assert [columns.text for columns in batches(received(late))] == [b"***other"]
    assert batches(received(guessing)) == []
