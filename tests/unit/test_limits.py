"""The limits of an agent: what a client asks for, and what it is told holds."""

from __future__ import annotations

from jcollect.control.limits import Limits, limits_text
from jprobe.v1 import control_pb2

HOLDS = control_pb2.Limits(
    max_methods=8_000, string_limit=1_024, agents_max_methods=5_000, agents_string_limit=1_024
)


def test_the_form_that_the_agent_takes() -> None:
    assert str(Limits(8_000, 512)) == "max-methods=8000,string-limit=512"
    assert str(Limits(string_limit=512)) == "string-limit=512"
    assert not Limits()


def test_a_client_is_told_that_a_larger_value_holds() -> None:
    assert Limits(8_000, 1_024).remark(HOLDS) == ""
    assert Limits(string_limit=64).remark(HOLDS).startswith("string-limit is 1,024 bytes: the largest value")


def test_the_status_names_the_agents_own_value_if_another_holds() -> None:
    text = "max-methods 8,000 (the agent's own: 5,000), string-limit 1,024 bytes"
    assert limits_text(HOLDS) == text
