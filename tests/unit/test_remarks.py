"""What jcollect says about selectors that trace nothing, and what `find` prints."""

from __future__ import annotations

import pytest

from jcollect.cli.found import echo_found, types_of
from jcollect.control.remarks import MAX_REMARKS, problems, remarks
from jcollect.probes.scan import Scan
from jcollect.probes.stub_library import StubLibrary, parse_stub_image
from jprobe.v1.control_pb2 import ControlReply, Found, Selection
from jprobe.v1.manifest_pb2 import Untraceable
from processes import closed
from stub_image import LONG, RETURN, Method, StubImage

PLACE = "com.acme.Orders#place"


def test_a_selector_that_traces_nothing_is_explained() -> None:
    problem = "matches no loaded class; did you mean com.acme.Orders?"
    reply = ControlReply(
        given=["a.B#c", "d.E#f", "!g.H#i", PLACE],
        selections=[
            Selection(selector="a.B#c", problem=f"{problem}\x1b[2J"),
            Selection(selector="d.E#f"),
            Selection(selector="!g.H#i"),
            Selection(selector=PLACE, methods=1),
            Selection(selector="not.given.X#y"),
        ],
    )
    assert remarks(reply) == [
        f"'a.B#c' {problem}\\x1b[2J",
        "'d.E#f' matches no method of the classes loaded so far",
    ]
    assert problems(reply)[-1] == "'not.given.X#y' matches no method of the classes loaded so far"


def test_a_program_that_has_not_begun_has_loaded_none_of_its_classes() -> None:
    reply = ControlReply(
        given=["a.B#c", "java.util.Map#gte", "d.E#f"],
        selections=[
            Selection(selector="a.B#c", problem="matches no loaded class; did you mean java.lang.Short?"),
            Selection(
                selector="java.util.Map#gte", problem="matches java.util.Map, which has no method 'gte'"
            ),
            Selection(selector="d.E#f"),
        ],
    )
    assert remarks(reply, held=True) == [
        "'java.util.Map#gte' matches java.util.Map, which has no method 'gte'"
    ]


def test_remarks_are_bounded() -> None:
    names = [f"a.B#m{number}{'x' * 10_000}" for number in range(100)]
    reply = ControlReply(
        given=names, selections=[Selection(selector=name, problem="y" * 10_000) for name in names]
    )
    found = remarks(reply)
    assert len(found) == MAX_REMARKS + 1
    assert found[-1] == "and 90 more selectors trace nothing"
    assert max(map(len, found)) < 1200


@pytest.mark.parametrize(
    ("descriptor", "types", "returned"),
    [
        ("()V", [], "void"),
        ("(J[[Ljava/lang/String;Z)Lcom/acme/Order$Line;", ["long", "String[][]", "boolean"], "Order$Line"),
        ("", [], ""),
        ("(", [], "("),
        ("(Ljava", [], "(Ljava"),
        ("([", [], "(["),
        ("(I)", ["int"], "?"),
    ],
)
def test_descriptors_of_any_form_are_read(descriptor: str, types: list[str], returned: str) -> None:
    assert types_of(descriptor) == (types, returned)


def test_found_methods_are_printed_below_their_classes(capsys: pytest.CaptureFixture[str]) -> None:
    reply = ControlReply(
        has_more=True,
        matching_classes=7,
        found=[
            Found(
                class_name="com.acme.Orders",
                method="place",
                method_descriptor="(JLjava/lang/String;)Z",
                kind="public",
                arguments=["id", ""],
                selectors=[PLACE, "a.B#c"],
            ),
            Found(
                class_name="com.acme.Orders", method="<init>", method_descriptor="()V", reason="it is\x1b[2J"
            ),
            Found(class_name="com.acme.Job", kind="interface"),
        ],
    )
    echo_found(reply, "com.acme.**")
    printed = capsys.readouterr()
    assert printed.out.splitlines() == [
        "com.acme.Orders",
        f"  public place(long id, String): boolean: traced by '{PLACE}' and 'a.B#c'",
        "  <init>(): cannot be traced: it is\\x1b[2J",
        "interface com.acme.Job",
    ]


@pytest.mark.parametrize(("pattern", "hints"), [("a.B#c", 1), ("+a.B#c", 0), (" +a.B", 0)])
def test_the_prefix_for_implementations_is_advised_unless_it_is_there(
    pattern: str, hints: int, capfd: pytest.CaptureFixture[str]
) -> None:
    echo_found(ControlReply(found=[Found(class_name="a.B", method="c", reason="it is abstract")]), pattern)
    assert capfd.readouterr().err.count("write '+' before the class") == hints


def test_hidden_classes_that_differ_only_in_their_numbers_share_a_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    names = ["a.B$$Lambda$14/0x0000000800c03000", "a.B$$Lambda$15/0x01", "a.B$$Lambda/0x02", "a.B$MH/0x03"]
    found = [Found(class_name=name, kind="class", reason=f"it is {name[-1]}\x1b") for name in names]
    echo_found(ControlReply(found=[found[0], Found(class_name="a.B", kind="class"), *found[1:]]), "a.B*")
    printed = capsys.readouterr()
    assert printed.out.splitlines() == [
        "class a.B",
        "a.B$$Lambda… (3 classes): cannot be traced: it is 0\\x1b",
        "a.B$MH… (1 class): cannot be traced: it is 3\\x1b",
    ]


def library(image: StubImage) -> StubLibrary:
    return StubLibrary(closed(1), "/x", 0, parse_stub_image(image.build()))


def test_what_was_unselected_or_is_traced_by_now_is_not_untraceable_any_more() -> None:
    untraceable = [
        Untraceable(class_name="unselected.X", selector_number=1),
        Untraceable(class_name="a.B", method="c", method_descriptor="()V", selector_number=2),
        Untraceable(
            class_name="a.B", method="d", method_descriptor="()V", class_loader_id=1, selector_number=2
        ),
        Untraceable(class_name="of.no.selector"),
        Untraceable(class_name="of.an.unknown.selector", selector_number=9),
    ]
    before = StubImage(selectors=["unselected.X#y", "a.B#*"], untraceable=untraceable)
    traced = [Method("a.B", "d", (), LONG, "()V", kinds=(RETURN,))]
    now = StubImage(traced, generation=2, selectors=["a.B#*"])
    found = Scan(closed(1), (library(before), library(now))).untraceable(())
    assert [one.class_name for one in found] == ["a.B", "of.an.unknown.selector", "of.no.selector"]
    assert found[0].method == "c"
