"""Finds the agent's control gateway from the mapping alone: the file "control" beside its stub libraries."""

from __future__ import annotations

import os
import re

from google.protobuf.message import DecodeError

from jcollect.control import stub_directory
from jcollect.control.agent import Agent
from jcollect.control.target import Target
from jcollect.errors import JcollectError
from jcollect.printable import printable
from jcollect.procfs.apart import apart
from jcollect.procfs.identity import can_become
from jprobe.v1 import control_pb2

_FILE = "control"
_MAX_BYTES = 4096
_TOKEN = re.compile(r"[0-9a-f]{64}")


def find_endpoint(agent: Agent, target: Target) -> control_pb2.ControlEndpoint | None:
    """Where the gateway listens and what opens it; None if it is off. Raises JcollectError."""
    directory = agent.directory
    if directory is None:
        return None
    path = os.path.join(directory, _FILE)
    if not can_become(target.user):
        raise JcollectError(
            f"cannot command PID {agent.pid}: only user {target.user.uid} can read {printable(path)}, and "
            "becoming that user takes CAP_SETUID and CAP_SETGID; run with sudo"
        )
    try:
        answer = apart(
            agent.pid, stub_directory.read_private, agent.pid, directory, _FILE, _MAX_BYTES, user=target.user
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
        f"cannot use the control gateway of PID {agent.pid}: {printable(path)} is not what its agent has "
        f"written: {problem}; restart the program if that is so by accident"
    )
