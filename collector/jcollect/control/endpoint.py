"""Finds the agent's control gateway by the file "control" beside its stub libraries."""

from __future__ import annotations

import os
import re

from google.protobuf.message import DecodeError

from jcollect.control import stub_directory
from jcollect.control.agent import Agent
from jcollect.errors import JcollectError
from jcollect.printable import printable
from jcollect.procfs.apart import apart
from jcollect.procfs.identity import can_become
from jprobe.v1 import control_pb2

_FILE = "control"
_MAX_BYTES = 4096
_TOKEN = re.compile(r"[0-9a-f]{64}")


def find_endpoint(agent: Agent) -> control_pb2.ControlEndpoint | None:
    """Returns the port and the token of the gateway, or None if it is off. Raises JcollectError."""
    process, directory = agent.process, agent.directory
    if directory is None:
        return None
    path = os.path.join(directory, _FILE)
    if not can_become(process.user):
        raise JcollectError(
            f"cannot command PID {process.pid}: only user {process.user.uid} can read {printable(path)}, and "
            "becoming that user requires CAP_SETUID and CAP_SETGID; run with sudo"
        )
    try:
        answer = apart(
            process,
            stub_directory.read_private,
            process.pid,
            directory,
            _FILE,
            _MAX_BYTES,
            user=process.user,
        ).content
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _refusal(agent, path, f"it cannot be opened: {error.strerror}") from None
    if answer[:1] != stub_directory.CONTENT:
        raise _refusal(agent, path, answer[1:].decode())
    try:
        endpoint = control_pb2.ControlEndpoint.FromString(answer[1:])
    except DecodeError:
        raise _refusal(agent, path, "it cannot be decoded") from None
    if not 0 < endpoint.port < 1 << 16 or not _TOKEN.fullmatch(endpoint.token):
        raise _refusal(agent, path, "it holds no port and token")
    return endpoint


def _refusal(agent: Agent, path: str, problem: str) -> JcollectError:
    return JcollectError(
        f"cannot use the control gateway of PID {agent.process.pid}: {printable(path)} was not written by "
        f"its agent: {problem}; if the change was accidental, restart the program"
    )
