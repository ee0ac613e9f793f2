"""Finds the collectors that are attached to a process, for `jcollect status`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from jcollect.cli.output import Json
from jcollect.console import warn
from jcollect.errors import JcollectError
from jcollect.rpc.address import Address, pid_of
from jcollect.rpc.client import Client, SilentError
from jcollect.rpc.client_access import NO_ACCESS, ClientAccess
from jcollect.rpc.find import Answer
from jprobe.v1 import collector_pb2


@dataclass(frozen=True)
class CollectorStatus:
    """A collector and its status."""

    address: Address
    status: collector_pb2.GetStatusResponse

    def as_json(self, json: Json) -> dict[str, Any]:
        return {"address": self.address.text, **json.message(self.status)}


def attached_collectors(
    pid: int, answers: list[Answer], seconds: float, everything: bool, access: ClientAccess = NO_ACCESS
) -> tuple[list[CollectorStatus], list[JcollectError]]:
    """Returns the collectors that are attached to a process, and the errors of those that do not answer and
    may be attached to it. Asks again for all probes if `everything` is wanted, and the answers do not have
    it."""
    found: list[CollectorStatus] = []
    silent: list[JcollectError] = []
    for each in answers:
        if each.status is not None and each.is_attached_to(pid):
            if not everything:
                found.append(CollectorStatus(each.address, each.status))
                continue
            try:
                with Client(each.address, access.for_address(each.address)) as client:
                    found.append(CollectorStatus(each.address, client.status(pids=(pid,), seconds=seconds)))
            except SilentError as silence:
                silent.append(silence)
        elif each.silence is not None:
            if pid_of(each.address) == pid:
                silent.append(each.silence)
            elif not pid_of(each.address):
                # Otherwise it is the collector of only one other process.
                warn(f"{each.silence.message}; it may be attached to PID {pid}")
    return found, silent
