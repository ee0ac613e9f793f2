"""Formats lines, durations, escapes and addresses; checks histograms and the style of the protocol."""

from __future__ import annotations

import json
import math
import struct
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from jcollect.errors import JcollectError
from jcollect.layout.stub_library import pack_absence
from jcollect.rpc.address import parse_address
from jcollect.sources.columns import Columns
from jcollect.view.formats import duration_text
from jcollect.view.histogram import BUCKETS, Histograms, bucket_of, middle_of
from jcollect.view.line_formats import line_format
from jcollect.view.lines import LineFormatter
from jcollect.view.summary import Summary
from jprobe.v1 import collector_pb2, probe_pb2
from ring_image import string

REPOSITORY = Path(__file__).parents[2]


def probe(kind: int, *types: int, number: int = 0, asked: str = "") -> collector_pb2.Probe:
    """Returns a probe. `asked` names its last values, except an absence mask, as if a selector
    captured them.
    """
    names = {
        1: "boolean", 2: "byte", 3: "short", 4: "int", 5: "long", 6: "char",
        7: "float", 8: "double", 9: "java.lang.String", 10: "java.util.List", 11: "int", 12: "uint64",
    }  # fmt: skip
    return collector_pb2.Probe(
        id=number,
        pid=4711,
        provider="com_acme_Orders",
        name={1: "place__entry", 2: "place__return", 3: "place__throw"}[kind],
        kind=probe_pb2.ProbeKind.Name(kind),
        class_name="com.acme.Orders",
        method="place",
        method_descriptor="(JLjava/lang/String;)Z",
        values=[
            probe_pb2.Value(name=name, java_type=names[t], type=probe_pb2.ValueType.Name(t), path=path)
            for t, (name, path) in zip(types, _names_and_paths(types, asked.split()), strict=True)
        ],
    )


def _names_and_paths(types: tuple[int, ...], asked: list[str]) -> list[tuple[str, str]]:
    mask = [("absent", "")] if 11 in types else []
    usual = len(types) - len(asked) - len(mask)
    return [("x", "")] * usual + [(name, f"arg0.{name}") for name in asked] + mask


@dataclass(frozen=True)
class Event:
    """One event."""

    probe: collector_pb2.Probe
    columns: Columns


def row(described: collector_pb2.Probe, words: list[int], text: bytes = b"", duration: int = 0) -> Event:
    one = np.uint64
    columns = Columns(
        np.array([17], one),
        np.array([1_795_341_600_123_456_789], one),
        np.array([0], np.uint32),
        np.array([4720], np.uint32),
        np.array([31], one),
        np.array([duration], one),
        np.array(words, one),
        text,
    )
    return Event(described, columns)


def line_of(event: Event, output: str, quotes_64_bits: bool = False) -> str:
    formatter = LineFormatter(line_format(output, quotes_64_bits))
    formatter.add([event.probe])
    ((only,),) = formatter.lines(event.columns)
    return only


def json_line(event: Event) -> str:
    return line_of(event, "json")


def compact_line(event: Event) -> str:
    return line_of(event, "compact")


def value_in_json(value_type: int, word: int, text: bytes = b"") -> str:
    line = json_line(row(probe(1, value_type), [word], text))
    return line[line.index('"args":[') + 8 : line.index('],"seq"')]


def test_the_json_line_of_a_return_is_as_documented() -> None:
    assert json_line(row(probe(2, 1), [1], duration=1834)) == (
        '{"time":"2026-11-22T10:00:00.123456789Z","pid":4711,"tid":4720,"thread":31,'
        '"probe":"com_acme_Orders:place__return","class":"com.acme.Orders","method":"place",'
        '"descriptor":"(JLjava/lang/String;)Z","kind":"return","duration_ns":1834,"start_unix_nanos":0,"value":true,"seq":17}'
    )


def test_the_json_line_of_an_entry_has_args_instead_of_duration_and_value() -> None:
    line = json_line(row(probe(1, 5, 9), [42, string(3)], b"abc"))
    assert line.endswith('"kind":"entry","args":[42,"abc"],"seq":17}')


def test_the_json_line_of_a_throw_has_the_exception() -> None:
    line = json_line(row(probe(3, 9), [string(5)], b"a.b.C", duration=5))
    assert line.endswith('"kind":"throw","duration_ns":5,"start_unix_nanos":0,"exception":"a.b.C","seq":17}')


def test_captured_values_are_an_object_of_their_own() -> None:
    entry = probe(1, 5, 9, asked="id city")
    assert json_line(row(entry, [42, string(3)], b"abc")).endswith(
        '"kind":"entry","args":[],"captures":{"id":42,"city":"abc"},"seq":17}'
    )
    back = probe(2, 1, 5, asked="id")
    assert json_line(row(back, [1, 42], duration=7)).endswith(
        '"duration_ns":7,"start_unix_nanos":0,"value":true,"captures":{"id":42},"seq":17}'
    )
    throw = probe(3, 9, 9, asked="city")
    assert json_line(row(throw, [string(5), string(2)], b"a.b.Cxy", duration=7)).endswith(
        '"exception":"a.b.C","captures":{"city":"xy"},"seq":17}'
    )
    assert "captures" not in json_line(row(probe(1, 5), [42]))


def test_an_absent_value_has_a_reason() -> None:
    described = probe(2, 1, 5, 9, 10, 11, asked="id city lines")
    words = [1, 0, 0, 0]
    line = json_line(row(described, [*words, pack_absence(null=1 << 1, threw=1 << 2) | 1 << 3], duration=7))
    assert line.endswith(
        '"value":true,"captures":{"id":{"absent":"null"},"city":{"absent":"exception"},'
        '"lines":{"absent":"null"}},"seq":17}'
    )
    line = json_line(row(described, [*words, 0], duration=7))
    assert line.endswith('"value":true,"captures":{"id":0,"city":null,"lines":null},"seq":17}')
    compact = compact_line(row(described, [*words, pack_absence(null=1 << 1, threw=1 << 2)], duration=7))
    assert compact.endswith("return 7ns true id=<absent: null> city=<absent: exception> lines=null")


def test_texts_of_absent_values_do_not_shift_those_of_others() -> None:
    described = probe(1, 9, 9, 11, asked="a b")
    line = json_line(row(described, [0, string(2), 1], b"bb"))
    assert '"args":[],"captures":{"a":{"absent":"null"},"b":"bb"}' in line


def test_a_truncated_string_is_marked() -> None:
    line = json_line(row(probe(1, 9, 5, 9), [string(3, cut=True), 7, string(1, cut=True)], b"abcd"))
    assert line.endswith('"args":["abc",7,"d"],"args_cut":[0,2],"seq":17}')
    line = json_line(row(probe(2, 9), [string(3, cut=True)], b"abc", 7))
    assert line.endswith('"duration_ns":7,"start_unix_nanos":0,"value":"abc","value_cut":true,"seq":17}')
    line = json_line(row(probe(3, 9), [string(3, cut=True)], b"a.B", 7))
    assert line.endswith('"exception":"a.B","exception_cut":true,"seq":17}')
    whole_and_cut = row(probe(1, 9, 9, asked="sql user"), [string(3, cut=True), string(1)], b"abcd")
    assert json_line(whole_and_cut).endswith(
        '"args":[],"captures":{"sql":"abc","user":"d"},"captures_cut":["sql"],"seq":17}'
    )
    cut = row(probe(1, 9, 9), [string(3, cut=True), string(1)], b"abcd")
    assert compact_line(cut).endswith('entry ("abc"…, "d")')


def test_captured_values_have_names_in_compact_lines() -> None:
    entry = probe(1, 5, 9, asked="id city")
    assert compact_line(row(entry, [42, string(3)], b"abc")).endswith('place entry (id=42, city="abc")')
    void = probe(2, 9, asked="city")
    assert compact_line(row(void, [string(3, cut=True)], b"abc", 7)).endswith('return 7ns city="abc"…')
    throw = probe(3, 9, 5, asked="\x1b[2J")
    assert compact_line(row(throw, [string(5), 8], b"a.b.C", 7)).endswith("throw 7ns a.b.C \\x1b[2J=8")


def test_a_void_return_is_null() -> None:
    void = probe(2)
    void.method_descriptor = "()V"
    assert '"value":null,' in json_line(row(void, []))


def test_a_return_of_which_only_paths_are_captured_has_no_value_of_its_own() -> None:
    line = json.loads(json_line(row(probe(2, 9, asked="city"), [string(3)], b"abc")))
    assert line["captures"] == {"city": "abc"}
    assert "value" not in line


def float_bits(value: float) -> int:
    return int(struct.unpack("<I", struct.pack("<f", value))[0])


def double_bits(value: float) -> int:
    return int(struct.unpack("<Q", struct.pack("<d", value))[0])


@pytest.mark.parametrize(
    ("value_type", "word", "expected"),
    [
        (1, 0, "false"),
        (1, 1, "true"),
        (2, 2**64 - 128, "-128"),
        (3, 2**64 - 1, "-1"),
        (4, 2**64 - 2**31, "-2147483648"),
        (5, 2**63, "-9223372036854775808"),
        (5, 2**63 - 1, "9223372036854775807"),
        (6, ord("ż"), '"ż"'),
        (6, ord('"'), '"\\""'),
        (7, float_bits(0.1), "0.1"),
        (7, float_bits(-3.4028235e38), "-3.4028235e+38"),
        (7, float_bits(math.nan), '"NaN"'),
        (8, double_bits(0.1), "0.1"),
        (8, double_bits(-math.inf), '"-Infinity"'),
        (8, double_bits(math.inf), '"Infinity"'),
        (9, 0, "null"),
        (9, string(0), '""'),
        (9, string(0, unreadable=True), '{"unreadable":true}'),
        (10, 0, "null"),
        (10, 0x1B2C3D4E, '"java.util.List@1b2c3d4e"'),
        (10, 0xF, '"java.util.List@f"'),
    ],
)
def test_values_are_typed_as_in_java(value_type: int, word: int, expected: str) -> None:
    assert value_in_json(value_type, word) == expected


def test_half_a_surrogate_pair_is_escaped_and_stays_json() -> None:
    line = json_line(row(probe(1, 6), [0xD83E]))
    assert '"args":["\\ud83e"]' in line
    assert json.loads(line.encode())["args"] == ["\ud83e"]


def test_compact_lines_are_for_people() -> None:
    assert compact_line(row(probe(2, 1), [1], duration=1834)) == (
        "10:00:00.123456 4720/31 com.acme.Orders#place return 1.83us true"
    )
    assert compact_line(row(probe(1, 5, 9, 9), [42, string(3), 0], b"abc")).endswith(
        'place entry (42, "abc", null)'
    )
    quotes = b'a"b\\"\x1b'
    assert compact_line(row(probe(1, 9), [string(len(quotes))], quotes)).endswith(
        r'place entry ("a\"b\\\"\x1b")'
    )
    assert compact_line(row(probe(3, 9), [string(5)], b"a.b.C", duration=7)).endswith("throw 7ns a.b.C")
    assert compact_line(row(probe(2), [], duration=7)).endswith("return 7ns")


def test_nothing_from_the_target_can_act_on_a_terminal() -> None:
    nasty = "\x1b[2Jrm\r\n\t\x00\x9b31m\u202e\u2028\x7f"
    line = compact_line(row(probe(1, 9), [string(len(nasty.encode()))], nasty.encode()))
    assert line.endswith('("\\x1b[2Jrm\\r\\n\\t\\x00\\x9b31m\\u202e\\u2028\\x7f")')


def test_nothing_from_the_target_can_act_on_a_terminal_from_within_json() -> None:
    nasty = "\x1b[2Jrm\r\n\x9b31m\u202e\u2028\x7f zażółć"
    line = json_line(row(probe(1, 9), [string(len(nasty.encode()))], nasty.encode()))
    assert line.isprintable()
    assert "\\u009b31m\\u202e\\u2028\\u007f zażółć" in line
    assert json.loads(line)["args"] == [nasty]


def test_every_c1_control_is_escaped() -> None:
    """As U+009B does, the others control terminals in 8-bit mode."""
    controls = "".join(map(chr, range(0x80, 0xA0)))
    described = probe(1, 9, 6, 10)
    described.class_name = described.method = described.provider = described.values[2].java_type = controls
    event = row(described, [string(64), 0x9B, 7], controls.encode())
    json_escaped = "".join(f"\\u{code:04x}" for code in range(0x80, 0xA0))
    line = json_line(event)
    assert line.count(json_escaped) == 5
    assert line.isascii()
    assert json.loads(line)["args"] == [controls, "\x9b", f"{controls}@7"]
    line = compact_line(event)
    assert line.count("".join(f"\\x{code:02x}" for code in range(0x80, 0xA0))) == 4
    assert line.isascii()


def test_text_that_is_not_utf_8_does_not_stop_the_stream() -> None:
    assert value_in_json(9, string(3), b"a\xffb") == '"a\ufffdb"'


@pytest.mark.parametrize(
    ("nanos", "text"),
    [
        (0, "0ns"),
        (999, "999ns"),
        (1000, "1.00us"),
        (1834, "1.83us"),
        (99_940, "99.9us"),
        (99_960, "100us"),
        (999_400, "999us"),
        (999_600, "1.00ms"),
        (12_500_000, "12.5ms"),
        (2_040_000_000, "2.04s"),
    ],
)
def test_durations_have_three_digits(nanos: int, text: str) -> None:
    assert duration_text(nanos) == text


def test_a_bucket_stands_for_its_values_within_a_32nd() -> None:
    dice = np.random.default_rng(2)
    exponents = dice.uniform(0, 62, 20011)
    values = np.concatenate([np.arange(5003), 2**exponents, 2.0 ** np.arange(62)]).astype(np.uint64)
    buckets = bucket_of(values)
    assert buckets.min() == 0
    assert buckets.max() < BUCKETS
    middles = np.array([middle_of(int(bucket)) for bucket in buckets])
    assert (np.abs(middles - values) <= values / 32).all()
    ordered = np.sort(values)
    assert (np.diff(bucket_of(ordered)) >= 0).all()
    assert bucket_of(np.array([2**64 - 1], np.uint64))[0] == BUCKETS - 1


def test_percentiles_are_those_of_the_values_within_3_2_percent() -> None:
    dice = np.random.default_rng(3)
    values = dice.lognormal(8, 2, 10007).astype(np.uint64)
    histograms = Histograms(3)
    histograms.add(np.full(len(values), 1), values)
    found = histograms.percentiles(1, (0.5, 0.99))
    assert found is not None
    exact = np.sort(values)[[math.ceil(0.5 * 10007) - 1, math.ceil(0.99 * 10007) - 1]]
    assert np.allclose(found, exact, rtol=1 / 31)
    assert histograms.percentiles(0, (0.5,)) is None


def test_a_call_counts_once_whatever_of_it_is_streamed() -> None:
    def columns(ids: list[int], durations: list[int]) -> Columns:
        zeros = np.zeros(len(ids), np.uint64)
        return Columns(
            zeros,
            zeros,
            np.array(ids, np.uint32),
            zeros.astype(np.uint32),
            zeros,
            np.array(durations, np.uint64),
            zeros,
            b"",
        )

    whole = Summary([probe(1), probe(2, number=1), probe(3, 9, number=2)])
    whole.add(columns([0, 0, 0, 1, 2, 1], [0, 0, 0, 20, 10, 30]))
    (method,) = whole.methods()
    assert (method.name, method.calls, method.errors) == ("com.acme.Orders#place", 3, 1)
    assert (method.p50, method.p99, method.total) == (20, 30, 60)
    entries = Summary([probe(1)])
    entries.add(columns([0, 0], [0, 0]))
    (method,) = entries.methods()
    assert (method.calls, method.errors, method.p50, method.total) == (2, 0, None, None)


def test_addresses_are_a_pid_a_socket_or_a_port() -> None:
    assert parse_address("4711").text == "unix:///run/jprobe/4711.sock"
    assert parse_address("unix:/run/x.sock").path == "/run/x.sock"
    assert (parse_address("[::1]:50051").host, parse_address("[::1]:50051").port) == ("::1", 50051)
    assert parse_address("localhost:1").is_local
    assert parse_address("127.0.0.1:1").is_local
    assert not parse_address("0.0.0.0:1").is_local
    assert not parse_address("example.org:1").is_local


@pytest.mark.parametrize("text", ["", "host", "host:port", "unix:x", ":1", "h:99999", "unix:///" + "x" * 108])
def test_an_invalid_address_is_an_error(text: str) -> None:
    with pytest.raises(JcollectError, match=r"address|socket"):
        parse_address(text)


def test_the_protocol_passes_the_lint_rules() -> None:
    buf = Path(sys.executable).parent / "buf"
    result = subprocess.run([buf, "lint", "proto"], cwd=REPOSITORY, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
