"""Waits, up to a deadline, for newly armed probes to become armed, failed, retired or waiting."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from jcollect.probes.probe import STATE_NAMES, Probe, by_library
from jcollect.probes.sections import read_states
from jcollect.probes.sinks import Sinks
from jprobe.v1 import probe_pb2

_SETTLED = (
    probe_pb2.PROBE_STATE_ARMED,
    probe_pb2.PROBE_STATE_FAILED,
    probe_pb2.PROBE_STATE_RETIRED,
    # Nothing to wait for: no method of the class can run yet.
    probe_pb2.PROBE_STATE_WAITING,
)


class Arming:
    """Probes that a source has attached to together, until the agent has woven them or has failed to.

    `begun` is when that was, by time.monotonic(); `deadline` is until when the agent has time.
    """

    def __init__(
        self, probes: Sequence[Probe], begun: float, seconds: float, sinks: Sequence[int] = ()
    ) -> None:
        """`sinks` are those of each probe that the agent has to turn on: a method may be woven, and armed,
        for another tracer already. 0 stands for none; no sinks at all, for none of any probe."""
        self.probes = probes
        self.begun = begun
        self.deadline = begun + seconds
        # The sinks of each library, the indices of its probes among all, and the sink of each.
        self._sinks: list[tuple[Sinks, npt.NDArray[np.int64], npt.NDArray[np.uint32]]] = []
        wanted = {id(probe): (i, sink) for i, (probe, sink) in enumerate(zip(probes, sinks, strict=False))}
        for library, found in by_library([probe for probe in probes if wanted.get(id(probe), (0, 0))[1]]):
            slots = [probe.slot.number for probe in found if probe.slot is not None]
            indices, bits = zip(*(wanted[id(probe)] for probe in found), strict=True)
            each = Sinks(library, slots), np.array(indices, np.int64), np.array(bits, np.uint32)
            self._sinks.append(each)
        self._libraries = [library for library, _ in by_library(probes)]
        sizes = [library.image.states.size for library in self._libraries]
        starts = dict(zip(map(id, self._libraries), np.cumsum([1, *sizes]).tolist(), strict=False))
        # Index 0 stands for probes without a slot.
        self._indices = np.array(
            [
                0 if probe.slot is None else starts[id(probe.slot.library)] + probe.slot.number
                for probe in probes
            ],
            np.int64,
        )

    def poll(self) -> dict[int, list[Probe]] | None:
        """Returns the probes by state once they are settled, and None before.

        After the deadline, other states stand for probes that are not armed yet. Raises OSError if the
        process has exited or one of the libraries is unmapped.
        """
        # A probe without a state byte fires whenever a tracer is attached.
        content = bytes([probe_pb2.PROBE_STATE_ARMED]) + b"".join(read_states(self._libraries))
        states = np.frombuffer(content, np.uint8)[self._indices]
        for sinks, indices, bits in self._sinks:
            is_silent = (states[indices] == probe_pb2.PROBE_STATE_ARMED) & ((sinks.read() & bits) == 0)
            states[indices[is_silent]] = probe_pb2.PROBE_STATE_ARMING
        if not np.isin(states, _SETTLED).all() and time.monotonic() < self.deadline:
            return None
        by_state: dict[int, list[Probe]] = {}
        for probe, state in zip(self.probes, states.tolist(), strict=True):
            by_state.setdefault(state if state in STATE_NAMES else 0, []).append(probe)
        return by_state
