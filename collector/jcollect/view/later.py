"""Reports what only a later version of jcollect knows: a collector may be newer than its client."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from jcollect.probes.description import Described
from jcollect.probes.probe import KIND_NAMES, STATE_NAMES
from jcollect.sources.loss_stage import LossStage
from jprobe.v1 import probe_pb2

_TYPES = frozenset(probe_pb2.ValueType.values())
_STAGES = frozenset(map(int, LossStage))


class LaterParts:
    """Returns a sentence for each sort of thing the first time that one of a later version appears."""

    def __init__(self) -> None:
        self._reported: set[str] = set()

    def in_probes(self, probes: Iterable[Described]) -> list[str]:
        """Returns the sentences about probes."""
        kinds: set[int] = set()
        states: set[int] = set()
        types: set[int] = set()
        for probe in probes:
            kinds.add(probe.kind)
            states.add(probe.state)
            types.update(value.type for value in probe.values)
        return [
            *self._report("probe kind", kinds - KIND_NAMES.keys(), "its events are skipped"),
            *self._report("probe state", states - STATE_NAMES.keys(), "it is printed as unknown"),
            *self._report("value type", types - _TYPES, "its values are printed as unknown"),
        ]

    def in_loss(self, stage: int) -> list[str]:
        """Returns the sentences about the stage of a loss."""
        return self._report("loss stage", {stage} - _STAGES, "its losses are counted")

    def _report(self, what: str, numbers: Collection[int], consequence: str) -> list[str]:
        if not numbers or what in self._reported:
            return []
        self._reported.add(what)
        return [f"the collector uses {what} {min(numbers)}, which only a later jcollect knows; {consequence}"]
