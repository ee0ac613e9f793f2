"""Lines about selections and probes that name the next step or the cause."""

from __future__ import annotations

import pytest

from jcollect.cli.attach_report import throttled_text
from jcollect.control.selected import Selected, selected_text
from jcollect.hub.accounts import Totals
from jcollect.session.probe_texts import refused_text
from jcollect.shortened import with_clause
from jprobe.v1.control_pb2 import ControlReply
from jprobe.v1.manifest_pb2 import TracedMethod, Untraceable

ONE = [TracedMethod(class_name="a.B", method="c", id="1:0")]
FAILED = [Untraceable(class_name="a.B", method="d")]


@pytest.mark.parametrize(
    ("reply", "held", "expected"),
    [
        (ControlReply(methods=ONE), False, "selected 1 method in 30 ms"),
        (ControlReply(failed=FAILED), False, "selected 0 methods in 30 ms; 1 that match cannot be traced"),
        (
            ControlReply(),
            True,
            "selected no method yet: the program has not begun; methods are armed as their classes are "
            "loaded",
        ),
        (
            ControlReply(methods=ONE),
            True,
            "selected 1 method in 30 ms; more are armed as their classes are loaded",
        ),
    ],
)
def test_a_program_that_has_not_begun_gets_its_methods_later(
    reply: ControlReply, held: bool, expected: str
) -> None:
    reply.took_nanos = 30_000_000
    assert selected_text(Selected(reply), "", held) == expected


def test_the_advice_after_a_refusal_is_that_of_the_command() -> None:
    begun = "PID 7 traces nothing any more, because it has loaded more classes: too many; "
    attached = "end this command, and attach again with narrower selectors"
    started = "run the program again with a larger --max-methods, or with narrower selectors"
    assert refused_text(7, "too many", is_run=False) == begun + attached
    assert refused_text(7, "too many", is_run=True) == begun + started


def test_calls_are_only_said_not_to_have_fired_if_there_were_some() -> None:
    unwoven = (
        "probes were unwoven for 2.5 s, summed over all probes; calls during that time are not counted; "
        "--counts FILE lists this per probe"
    )
    for throttled, calls in (
        (0, ""),
        (1, "1 call did not fire, and "),
        (1_200, "1,200 calls did not fire, and "),
    ):
        totals = Totals(0, 0, 0, 0, 0, throttled, 2_500_000_000)
        assert throttled_text(totals) == f"throttled: to keep the overhead limit, {calls}{unwoven}"


def test_no_clause_follows_a_question() -> None:
    assert with_clause("it matches nothing", "add --wait") == "it matches nothing; add --wait"
    assert with_clause("did you mean X?", "add --wait") == "did you mean X? Add --wait"
