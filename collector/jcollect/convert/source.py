"""The recording that is converted: the items of the chosen probes, forwards as often as needed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from jcollect.hub.items import Loss, Schema
from jcollect.recordings.chosen import Chosen
from jcollect.recordings.frames import FrameType
from jcollect.recordings.reader import RecordedItem, RecordingFile


class Source:
    """The files of a recording. `warnings` are sentences about what could not be read, and `lost` the events
    that were lost by stage, both after `items`."""

    def __init__(self, paths: Sequence[str], globs: Sequence[str] = ()) -> None:
        self.paths = paths
        self._globs = globs
        self.warnings: list[str] = []
        self.lost: dict[int, int] = {}

    def items(self) -> Iterator[RecordedItem]:
        """Yields the items. Raises JcollectError, also if no probe matches."""
        return self._items(())

    def schemas(self) -> Iterator[Schema]:
        """Yields the descriptions, without reading events."""
        return (item for item in self._items((FrameType.EVENTS,)) if isinstance(item, Schema))

    def _items(self, skipped: Sequence[int]) -> Iterator[RecordedItem]:
        chosen = Chosen(self._globs)
        self.warnings = []
        self.lost = {}
        for path in self.paths:
            file = RecordingFile(path)
            for found in file.items(skipped):
                item = chosen.part(found)
                if isinstance(item, Loss):
                    self.lost[item.stage] = max(item.events, self.lost.get(item.stage, 0))
                if item is not None:
                    yield item
            self.warnings += file.warnings
        chosen.check_matched(", ".join(self.paths))
