"""Flame graphs: selectors get the capture, calls are summed up by stack, and tools read the files."""

from __future__ import annotations

import gzip
import io
import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from jcollect.cli.selector_additions import with_stack
from jcollect.convert.flame import COUNT, TIME, WRITERS
from jcollect.convert.flame_page import MOST_NODES, write_page
from jcollect.convert.stack_sums import MORE, NO_STACK, StackSums, Sum
from jcollect.hub.items import Events, Schema, Stacks
from jcollect.sources.columns import Columns
from jcollect.sources.stacks import StackTrace
from jprobe.v1 import probe_pb2
from served import PID, described

STACK = probe_pb2.Value(name="stack", java_type="stack", type=probe_pb2.VALUE_TYPE_STACK, path="stack")
ONE = StackTrace(PID, 1, ("a.Orders.place(Orders.java:42)", "a.Shop.run(Shop.java:7)"))
SAME = StackTrace(PID, 2, ("a.Orders.place(Orders.java:43)", "a.Shop.run(Shop.java:7)"))
CUT = StackTrace(PID, 3, ("a.Orders.place(Orders.java:42)",), True)
HOSTILE = "</script><img src=x onerror=alert(1)>&\"'\u2028;b.c"


@pytest.mark.parametrize(
    ("selector", "with_it"),
    [
        ("X#y", "X#y(stack)"),
        ("X#y when duration > 10ms", "X#y(stack) when duration > 10ms"),
        ("X#y()", "X#y()(stack)"),
        ("X#y(long,String) every 10, at most 5/s", "X#y(long,String)(stack) every 10, at most 5/s"),
        ("X#y(id=arg0.id)", "X#y(id=arg0.id, stack)"),
        ("X#y(O)(arg0, this) when arg0 == 'a when b'", "X#y(O)(arg0, this, stack) when arg0 == 'a when b'"),
        ("X#y[arg0]", "X#y[arg0, stack]"),
        ("X#y(((Order) arg0).id)", "X#y(((Order) arg0).id, stack)"),
        ("X#y(stack)", "X#y(stack)"),
        ("X#y(who=stack(16))", "X#y(who=stack(16))"),
        ("X#y(arg0, stack(16)) when duration > 1s", "X#y(arg0, stack(16)) when duration > 1s"),
        ("X#y(stack=arg0.x)", "X#y(stack=arg0.x, stack)"),
        ("@com.acme.Timed when duration > 1ms", "@com.acme.Timed(stack) when duration > 1ms"),
        ("X#a; !X#b ;X#c", "X#a(stack); !X#b ;X#c(stack)"),
        ("X#y(m=arg0.get(\"a;b\"))", "X#y(m=arg0.get(\"a;b\"), stack)"),
    ],
)  # fmt: skip
def test_a_selector_gets_the_capture_that_it_lacks(selector: str, with_it: str) -> None:
    assert with_stack(selector) == with_it


def sums_of(*calls: tuple[int, int], with_lines: bool = False) -> StackSums:
    """Sums up calls of a stack's ID, which take that many ns."""
    probe = described(1)[0]._replace(values=(STACK,), kind=probe_pb2.PROBE_KIND_RETURN)
    sums = StackSums(with_lines)
    sums.take(Schema([probe]))
    sums.take(Stacks([ONE, SAME, CUT]))
    numbers = np.arange(len(calls)).astype(np.uint64)
    short = np.zeros(len(calls), np.uint32)
    words, nanos = (np.array(column, np.uint64) for column in zip(*calls, strict=True))
    sums.take(Events(Columns(numbers, numbers + 10**9, short, short, numbers, nanos, words, b"")))
    return sums


def test_calls_are_summed_up_by_stack() -> None:
    sums = sums_of((1, 5_000), (2, 6_000), (1, 7_000), (3, 1_000), (0, 2_000))
    assert sums.sums == {
        ("a.Shop.run", "a.Orders.place"): Sum(3, 18_000),
        (MORE, "a.Orders.place"): Sum(1, 1_000),
        (NO_STACK, "com.acme.orders.Order0Service#place"): Sum(1, 2_000),
    }
    assert (sums.calls, sums.without_stack) == (5, 1)
    lines = sums_of((1, 5_000), (2, 6_000), with_lines=True).sums
    assert sorted(stack[-1] for stack in lines) == [ONE.frames[0], SAME.frames[0]]


def test_probes_without_stacks_and_entries_count_for_nothing() -> None:
    sums = StackSums()
    plain, entry = described(2)
    sums.take(Schema([plain, entry._replace(values=(STACK,))]))
    assert sums.has_probes
    assert not sums.has_stacks


def written(suffix: str, sums: StackSums, weight: str = TIME) -> bytes:
    out = io.BytesIO()
    WRITERS[suffix](sums, "PID 1", weight, out)
    return out.getvalue()


def test_folded_stacks_have_a_line_each() -> None:
    sums = sums_of((1, 5_000), (3, 1_400))
    assert written(".folded", sums).decode().splitlines() == [
        f"{MORE};a.Orders.place 1",
        "a.Shop.run;a.Orders.place 5",
    ]
    assert written(".folded", sums, COUNT).decode().splitlines()[1] == "a.Shop.run;a.Orders.place 1"


def test_speedscope_gets_both_weights() -> None:
    found = json.loads(written(".speedscope.json", sums_of((1, 5_000), (3, 1_400)), COUNT))
    assert [each["unit"] for each in found["profiles"]] == ["none", "nanoseconds"]
    frames = [each["name"] for each in found["shared"]["frames"]]
    time = found["profiles"][1]
    assert time["endValue"] == sum(time["weights"]) == 6_400
    named = [[frames[number] for number in sample] for sample in time["samples"]]
    assert named == [["a.Shop.run", "a.Orders.place"], [MORE, "a.Orders.place"]]


def test_profiles_are_compressed_and_have_both_values() -> None:
    content = gzip.decompress(written(".pb.gz", sums_of((1, 5_000))))
    for name in (b"a.Shop.run", b"a.Orders.place", b"nanoseconds", b"calls"):
        assert name in content


@pytest.mark.takes_long
def test_pprof_reads_the_profile(tmp_path: Path) -> None:
    if not shutil.which("go"):
        pytest.skip("there is no go")
    path = tmp_path / "a.pb.gz"
    path.write_bytes(written(".pb.gz", sums_of((1, 5_000_000), (3, 1_000_000))))
    command = ["go", "tool", "pprof", "-top", "-nodecount=10", str(path)]
    found = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout
    assert re.search(r"6ms +100% +100% +6ms +100% +a.Orders.place", found), found


def page(sums: dict[tuple[str, ...], Sum], by_time: bool = True) -> str:
    out = io.BytesIO()
    write_page(sums, f"PID {HOSTILE}", by_time, out)
    return out.getvalue().decode()


def data_of(content: str) -> dict[str, list[object]]:
    found = re.search(r'id="data">(.*?)</script>', content, re.DOTALL)
    assert found
    parsed: dict[str, list[object]] = json.loads(found[1])
    return parsed


def test_no_name_escapes_into_the_page() -> None:
    content = page({("main", HOSTILE): Sum(1, 5), ("main", "<!--<script>"): Sum(1, 5)})
    assert content.count("<script") == content.count("</script") == 2
    assert "<img" not in content
    assert "<!--" not in content
    assert HOSTILE in data_of(content)["names"]
    policy = re.search(r'content="(default-src [^"]*)"', content)
    assert policy
    assert policy[1].startswith("default-src 'none'")
    assert "http" not in content.replace("http-equiv", "")


def test_a_page_has_bounds() -> None:
    """However deep and however wide."""
    deep = tuple(str(number) for number in range(1024))
    content = page({deep: Sum(1, 10**9), **{(f"n{i}",): Sum(1, 1 + i) for i in range(MOST_NODES)}})
    nodes = data_of(content)["nodes"]
    assert 1025 < len(nodes) <= MOST_NODES
    assert nodes[0] == [0, 0, 10**9 + sum(range(1, MOST_NODES + 1)), MOST_NODES + 1]


@pytest.mark.takes_long
def test_a_browser_draws_zooms_and_searches(tmp_path: Path) -> None:
    if not shutil.which("chromium"):
        pytest.skip("there is no chromium")
    sums = {
        ("a.Main.main", "a.Shop.left", "a.Orders.place"): Sum(3, 6_000_000),
        ("a.Main.main", "a.Shop.right", HOSTILE): Sum(1, 2_000_000),
    }
    script = """<script>{
      const frames = () => [...document.querySelectorAll('.frame')].map(each => each.title);
      const all = frames();
      [...document.querySelectorAll('.frame')].find(each => each.title.includes('right')).click();
      const zoomed = frames();
      document.getElementById('reset').click();
      document.getElementById('search').value = 'SHOP.LEFT';
      document.getElementById('search').dispatchEvent(new Event('input'));
      const found = document.querySelectorAll('.found').length + document.getElementById('about').textContent;
      document.getElementById('weight').click();
      const width = document.querySelector('.found').style.width;
      const images = document.images.length;
      document.title = JSON.stringify({all, zoomed, found, width, whole: document.body.clientWidth, images});
    }</script></html>"""
    path = tmp_path / "page.html"
    path.write_text(page(sums).replace("</html>", script))
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--window-size=1024,700"]
    dumped = subprocess.run(
        [*command, f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", path.as_uri()],
        capture_output=True, text=True, check=True, timeout=120,
    ).stdout  # fmt: skip
    title = re.search(r"<title>(.*?)</title>", dumped, re.DOTALL)
    assert title
    import html

    result = json.loads(html.unescape(title[1]))
    assert [each.partition(": ")[0] for each in result["all"]][:2] == ["all", "a.Main.main"]
    assert len(result["all"]) == 6
    assert "a.Orders.place: 6.00 ms, 3 calls, 75.0%" in result["all"]
    assert len(result["zoomed"]) == 4
    assert not [each for each in result["zoomed"] if "left" in each]
    assert result["found"] == "1found in 75.0%"
    assert float(result["width"].removesuffix("px")) == pytest.approx(0.75 * result["whole"], rel=0.02)
    assert result["images"] == 0
