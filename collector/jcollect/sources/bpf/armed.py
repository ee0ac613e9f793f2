"""What the agent has made of probes that were attached to: woven yet, or not to be woven."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from jcollect.probes.live import read_states
from jcollect.probes.probe import STATE_NAMES, Probe, by_library
from jprobe.v1 import probe_pb2

_SETTLED = (
    probe_pb2.PROBE_STATE_ARMED,
    probe_pb2.PROBE_STATE_FAILED,
    probe_pb2.PROBE_STATE_RETIRED,
    # Nothing to wait for: no method of the class can run yet.
    probe_pb2.PROBE_STATE_WAITING,
)


class Arming:
    """Probes that were attached to together, from then until each is armed, or waits, or cannot be.

    `begun` is when that was, by time.monotonic(), `deadline` until when the agent has time.
    """

    def __init__(self, probes: Sequence[Probe], begun: float, seconds: float) -> None:
        self.probes = probes
        self.begun = begun
        self.deadline = begun + seconds
        self._libraries = [group[0].library for group in by_library(probes)]
        number = {id(library): index for index, library in enumerate(self._libraries)}
        starts = np.cumsum([0] + [library.image.states.size for library in self._libraries])
        self._places = np.array(
            [starts[number[id(probe.library)]] + probe.slot for probe in probes], np.int64
        )

    def look(self) -> dict[int, list[Probe]] | None:
        """The probes by state, once they are settled; None before.

        After the deadline other states stand for probes that are not armed yet. Raises OSError when the
        process is gone, or one of the libraries.
        """
        every = np.frombuffer(b"".join(read_states(self._libraries)), np.uint8)
        states = every[self._places]
        if not np.isin(states, _SETTLED).all() and time.monotonic() < self.deadline:
            return None
        by_state: dict[int, list[Probe]] = {}
        for probe, state in zip(self.probes, states.tolist(), strict=True):
            by_state.setdefault(state if state in STATE_NAMES else 0, []).append(probe)
        return by_state
