"""The stages at which events are lost."""

from __future__ import annotations

from enum import IntEnum


class LossStage(IntEnum):
    """A stage at which events are lost; the numbers are those of collector.proto."""

    KERNEL_RING = 1
    COLLECTOR = 2
    SUBSCRIBER = 3
    DIRECT_RING = 4
    HISTORY = 5
