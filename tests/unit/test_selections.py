"""What clients have selected through a collector is forgotten once it is unselected, and only then."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from jcollect.control.gateway import Gateway
from jcollect.control.selected import _kept
from jcollect.errors import JcollectError
from jcollect.session.selections import MOST_SELECTIONS, Selections
from jprobe.v1.control_pb2 import ControlEndpoint, ControlReply, Selection
from jprobe.v1.manifest_pb2 import TracedMethod
from processes import ourselves
from stub_gateway import TOKEN, stub_gateway


@pytest.fixture
def selections() -> Iterator[Selections]:
    selections = Selections(ourselves())
    yield selections
    selections.close()


def reply(given: list[str], in_force: list[str], owner: int = 1) -> ControlReply:
    """What an agent answers to a selection of methods that are named like their selectors."""
    return ControlReply(
        given=given,
        owner=owner,
        selections=[Selection(selector=each, methods=1) for each in in_force],
        methods=[TracedMethod(id=each, owners=[owner]) for each in given],
    )


def test_what_is_unselected_makes_room_although_others_are_in_force(selections: Selections) -> None:
    before = _kept._taken.total()
    selections.add(reply(["a.B#stays"], ["a.B#stays"]), None)
    for number in range(3 * MOST_SELECTIONS):
        each = f"a.B#m{number}"
        selections.add(reply([each], ["a.B#stays", each]), None)
        selections.remove(reply([], ["a.B#stays"]))
    assert [each.size for each in selections._selected] == [2]
    assert _kept._taken.total() - before == 2
    selections.remove(reply([], []))
    assert selections._selected == ()
    assert _kept._taken.total() == before


def test_only_what_is_in_force_counts(selections: Selections) -> None:
    each = [f"a.B#m{number}" for number in range(MOST_SELECTIONS)]
    for number, selector in enumerate(each, 1):
        selections.add(reply([selector], each[:number]), None)
    with (
        stub_gateway(reply([], each)) as stub,
        gateway_to(stub.port) as gateway,
        pytest.raises(JcollectError, match=r"clients have made 64 selections .* unselect some first"),
    ):
        selections.make_room(gateway)
    assert len(selections._selected) == MOST_SELECTIONS
    # Another client, of the agent itself, has unselected one.
    with stub_gateway(reply([], each[1:])) as stub, gateway_to(stub.port) as gateway:
        selections.make_room(gateway)
        assert not gateway.is_closed
    assert len(selections._selected) == MOST_SELECTIONS - 1


def test_half_of_a_selection_stays(selections: Selections) -> None:
    selections.add(reply(["a.B#one", "a.B#two"], ["a.B#one", "a.B#two"]), None)
    selections.remove(reply([], ["a.B#two"]))
    assert len(selections._selected) == 1
    selections.remove(reply([], ["a.B#three"]))
    assert len(selections._selected) == 0


def test_what_is_selected_again_counts_once(selections: Selections) -> None:
    for _ in range(2 * MOST_SELECTIONS):
        selections.add(reply(["a.B#one"], ["a.B#one", "a.B#other"]), None)
    selections.add(reply(["a.B#one"], ["a.B#one", "a.B#other"], owner=2), None)
    assert len(selections._selected) == 2
    selections.add(reply(["a.B#other"], ["a.B#one", "a.B#other"], owner=2), None)
    assert len(selections._selected) == 3


def gateway_to(port: int) -> Gateway:
    return Gateway(ourselves(), ControlEndpoint(port=port, token=TOKEN), 10)
