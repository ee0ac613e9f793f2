"""The description of one probe at one moment, as a plain value: its meaning and its state."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from jprobe.v1 import probe_pb2


class Described(Protocol):
    """The part of a description that views read. The protocol's Probe has it too, for clients."""

    @property
    def id(self) -> int: ...
    @property
    def pid(self) -> int: ...
    @property
    def provider(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def kind(self) -> int: ...
    @property
    def class_name(self) -> str: ...
    @property
    def class_loader_id(self) -> int: ...
    @property
    def method(self) -> str: ...
    @property
    def method_descriptor(self) -> str: ...
    @property
    def values(self) -> Sequence[probe_pb2.Value]: ...
    @property
    def state(self) -> int: ...


class ProbeDescription(NamedTuple):
    """One probe with its state. `location` and `semaphore` are offsets in bytes in the file `file`.

    `filtered` and `throttled` count calls since the probe was created; `throttled_nanos` is the time in ns
    during which it was unwoven. `least_duration_nanos`, `every` and `per_second` are its gate's settings.
    """

    id: int
    pid: int
    provider: str
    name: str
    kind: int
    class_name: str
    class_loader_id: int
    method: str
    method_descriptor: str
    values: tuple[probe_pb2.Value, ...]
    file: str
    location: int
    semaphore: int
    condition: str
    semaphore_count: int = 0
    state: int = 0
    filtered: int = 0
    throttled: int = 0
    throttled_nanos: int = 0
    least_duration_nanos: int = 0
    every: int = 0
    per_second: int = 0
