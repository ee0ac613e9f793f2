"""The names that a glob which matches no probe may stand for."""

from __future__ import annotations

import time
from typing import NamedTuple

import pytest

from jcollect.probes.nearest import hint


class Name(NamedTuple):
    provider: str
    name: str
    class_name: str
    method: str


PROBES = [
    Name("shop_Main_Service", f"place__{kind}", "shop.Main$Service", "place")
    for kind in ("entry", "return", "throw")
]


@pytest.mark.parametrize(
    ("glob", "expected"),
    [
        ("place_entry", "; did you mean place__entry?"),
        ("*__retrun", "; did you mean place__return?"),
        ("*Servise#place", "; did you mean shop.Main$Service#place?"),
        ("shop.Main.Service", "; classes nested in others are written shop.Main$Service here"),
        ("*Main.Service#pl*", "; classes nested in others are written shop.Main$Service here"),
        ("com.acme.Orders", ""),
        ("shop.Main$Later", ""),
        ("shop.Mian$Service", "; did you mean shop.Main$Service?"),
        ("x", ""),
    ],
)
def test_the_nearest_names_are_found(glob: str, expected: str) -> None:
    assert hint([glob], PROBES) == expected


def test_names_of_a_target_are_printable_and_bounded() -> None:
    hostile = Name("p", "n", "shop.Mai\x1b[2Jn", "m" * 100_000)
    assert hint(["shop.Mai\x1b[2Jm"], [hostile]) == "; did you mean shop.Mai\\x1b[2Jn?"


def test_very_many_names_take_little_time() -> None:
    many = [Name("p", f"n{number}", "com.acme." + "C" * 100 + str(number), "m") for number in range(20_000)]
    begun = time.monotonic()
    hint(["*" + "com.acme." * 10 + "*"], many)
    assert time.monotonic() - begun < 3
