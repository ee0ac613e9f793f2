"""The short examples of docs/clients.md run as they are on the page."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow
import pytest

import jcollect
from jcollect.rpc.address import Address
from jprobe.v1 import collector_pb2
from page_blocks import section_of
from published import PROBES, Publisher
from served import StillSource, described, serving, stub_at

PAGE = Path(__file__).parents[2] / "docs/clients.md"


@pytest.fixture
def address(tmp_path: Path) -> Iterator[Address]:
    source = StillSource(described(PROBES))
    Publisher(source).publish(5007)
    with serving(source, tmp_path) as address:
        source.hub.end()
        yield address


def test_arrow(address: Address, monkeypatch: pytest.MonkeyPatch) -> None:
    (code,) = section_of(PAGE, "Arrow").others["python"]
    tables: list[pyarrow.Table] = []
    with stub_at(address) as stub:
        exec(code, {"stub": stub, "collector_pb2": collector_pb2, "print": tables.append})
    table = pyarrow.concat_tables(tables)
    assert table["id"].to_pylist() == list(range(5007))
    assert table["method"].unique().to_pylist() == ["place"]
    listed = PAGE.read_text().split("Each row is an event. The columns are ")[1].split(", and one for")[0]
    assert [name.strip("`\n") for name in listed.replace("\n", " ").split(", ")] == table.column_names[:-1]


def test_asyncio(address: Address) -> None:
    (code,) = section_of(PAGE, "Python, with jcollect").others["python"]
    printed: list[tuple[Any, ...]] = []
    names: dict[str, Any] = {"jcollect": jcollect, "print": lambda *values: printed.append(values)}
    exec(code, names)
    asyncio.run(names["print_slow_calls"](address.text))
    assert [duration for _, duration, _, _ in printed] == pytest.approx(
        [number * 1e-6 for number in range(5001, 5007)]
    )
    assert printed[0][2:] == ("place", {"id": 5001})
