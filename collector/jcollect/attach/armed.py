"""Waits until the agent has woven what was attached to."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np

from jcollect.discovery.live import read_states
from jcollect.discovery.probes import STATE_NAMES, Probe
from jprobe.v1 import probe_pb2

_POLL_SECONDS = 0.003
_SETTLED = (
    probe_pb2.PROBE_STATE_ARMED,
    probe_pb2.PROBE_STATE_FAILED,
    probe_pb2.PROBE_STATE_RETIRED,
)


def wait_until_settled(
    probes: Sequence[Probe], deadline: float, go_on: Callable[[], bool]
) -> dict[int, list[Probe]]:
    """The probes by state, once each is armed, failed or retired.

    Returns earlier at `deadline` (time.monotonic()), or when `go_on` says no; other states then
    stand for probes that are not armed yet. Raises OSError when the process is gone.
    """
    libraries = list({id(probe.library): probe.library for probe in probes}.values())
    number = {id(library): index for index, library in enumerate(libraries)}
    starts = np.cumsum([0] + [library.image.states.size for library in libraries])
    places = np.array([starts[number[id(probe.library)]] + probe.slot for probe in probes])
    while True:
        every = np.frombuffer(b"".join(read_states(libraries)), np.uint8)
        states = every[places]
        if np.isin(states, _SETTLED).all() or time.monotonic() >= deadline or not go_on():
            break
        time.sleep(_POLL_SECONDS)
    by_state: dict[int, list[Probe]] = {}
    for probe, state in zip(probes, states.tolist(), strict=True):
        by_state.setdefault(state if state in STATE_NAMES else 0, []).append(probe)
    return by_state
