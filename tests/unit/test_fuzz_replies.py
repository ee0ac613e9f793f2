"""Every answer of a gateway becomes a reply or an error of that process."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "fuzz"))

from fuzz_replies import run

# Takes about two seconds.
ANSWERS = 400


def test_answers_of_any_kind_are_replies_or_errors() -> None:
    outcomes: Counter[str] = Counter()
    for outcome, answer, error in run(seed=20, seconds=30.0, most=ANSWERS):
        assert error is None, (error, answer[:1000])
        outcomes[outcome] += 1
    assert {"reply", "refusal", "no reply", "commanded", "error"} <= outcomes.keys()
