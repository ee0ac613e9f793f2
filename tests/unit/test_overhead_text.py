"""The cost of probes, as texts show it."""

from __future__ import annotations

from jcollect.cli.collector_status import overhead_text
from jcollect.probes.overhead import firing_text


def test_a_cost_per_firing_that_is_unknown_is_left_out() -> None:
    assert overhead_text(650_000_000, 1_234) == "13.0% of a core at 1,234 ns per firing"
    assert overhead_text(650_000_000, 0) == "13.0% of a core"
    assert firing_text(", ", 60) == ", 60 ns per firing"
    assert firing_text(", ", 0) == ""
