"""A stage changes batches before they are published: it explains calls, or redacts values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from jcollect.probes.description import ProbeDescription
from jcollect.probes.stub_library import StubLibrary
from jcollect.sources.columns import Batch
from jcollect.sources.explanation import ExplanationCounts
from jcollect.workers import Failures


class Stage(Protocol):
    """`describe` is for any thread, one at a time; `apply` for the thread that publishes."""

    def describe(self, probes: Sequence[ProbeDescription]) -> None:
        """Takes note of probes, before their first events."""

    def apply(self, batch: Batch) -> Batch:
        """Returns the same events, changed."""


class Explainer(Stage, Protocol):
    """Explains where the time of calls went. Opened when constructed, until `close`."""

    def start(self, failures: Failures) -> None:
        """Begins to read what threads do. Raises JcollectError."""

    def watch(self, pid: int) -> None:
        """Follows the threads of a process. Raises JcollectError."""

    def follow(self, pid: int, libraries: Sequence[StubLibrary]) -> None:
        """Takes note of the stub libraries that a process has mapped now. For any thread."""

    def unwatch(self, pid: int) -> None:
        """Does not follow them any more."""

    def counts(self) -> ExplanationCounts:
        """Returns what was explained so far. For any thread."""

    def close(self) -> None:
        """Frees everything. Nothing is published any more."""
