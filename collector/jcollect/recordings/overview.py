"""An overview of a recording: everything except its events."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from jcollect.hub.items import Schema
from jcollect.probes.description import Described, ProbeDescription
from jcollect.recordings.frames import FrameType
from jcollect.recordings.reader import RecordingFile
from jprobe.v1 import collector_pb2, recording_pb2


@dataclass
class Overview:
    """The probes of a recording, as first described with each ID, and what the files state. `status` has the
    last hit counts; None if there are none."""

    probes: dict[int, ProbeDescription] = field(default_factory=dict)
    header: recording_pb2.RecordingHeader = field(default_factory=recording_pb2.RecordingHeader)
    status: collector_pb2.GetStatusResponse | None = None
    is_complete: bool = True


def overview_of(paths: Sequence[str]) -> Overview:
    """Reads the files. Raises JcollectError."""
    found = Overview()
    for path in paths:
        file = RecordingFile(path)
        for item in file.items(skipped=(FrameType.EVENTS,)):
            if isinstance(item, Schema):
                for probe in item.probes:
                    found.probes.setdefault(probe.id, description_of(probe))
        found.header = file.facts.header
        found.status = file.facts.status or found.status
        found.is_complete = found.is_complete and file.facts.end is not None
    return found


def description_of(probe: Described) -> ProbeDescription:
    """Returns the description that a message has as a plain value."""
    if isinstance(probe, ProbeDescription):
        return probe
    values = {name: getattr(probe, name) for name in ProbeDescription._fields if name != "values"}
    return ProbeDescription(**values, values=tuple(probe.values))


def meaning(probe: ProbeDescription) -> tuple[object, ...]:
    """Returns what identifies a probe, without its state."""
    return (
        *probe[:9],
        tuple(value.SerializeToString() for value in probe.values),
        probe.file,
        probe.location,
    )
