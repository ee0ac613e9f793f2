"""Batches as pyarrow tables: view/arrow.py makes the columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from jcollect.rpc.public.batch import Batch
from jcollect.rpc.public.event_decoder import DescribedProbe
from jcollect.view.arrow import EventTable, import_pyarrow


class Tables:
    """Makes tables of the batches of one stream."""

    def __init__(self) -> None:
        """Raises JcollectError without pyarrow."""
        self._pyarrow = import_pyarrow("make tables of events")
        self._table = EventTable()
        self._known: Mapping[int, DescribedProbe] = {}

    def of(self, batch: Batch) -> Iterator[Any]:
        """Yields the events as a pyarrow.Table. A later table has more columns if more values are
        captured."""
        if batch.described is not self._known:
            # All probes of a connection share the stacks.
            for each in batch.described.values():
                self._table.use_stacks(each.stacks)
                break
            self._table.describe(
                each.message
                for number, each in batch.described.items()
                if self._known.get(number) is not each
            )
            self._known = batch.described
        yield self._pyarrow.Table.from_batches([self._table.record_batch(batch.columns)])
