"""Finds the agent's control gateway from the mapping alone: the file "control" beside its stub libraries."""

from __future__ import annotations

import os
import re
import stat

from google.protobuf.message import DecodeError

from jcollect.control.acting import as_user_of
from jcollect.control.agent import Agent
from jcollect.control.target import Target
from jcollect.errors import JcollectError
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
    try:
        with as_user_of(target):
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _refusal(agent, path, f"it cannot be opened: {error.strerror}") from None
    with open(descriptor, "rb") as file:
        problem = _what_is_wrong(os.fstat(descriptor), target)
        if problem:
            raise _refusal(agent, path, problem)
        content = file.read(_MAX_BYTES)
    try:
        endpoint = control_pb2.ControlEndpoint.FromString(content)
    except DecodeError:
        raise _refusal(agent, path, "it cannot be decoded") from None
    if not 0 < endpoint.port < 1 << 16 or not _TOKEN.fullmatch(endpoint.token):
        raise _refusal(agent, path, "it holds no port and token")
    return endpoint


def _what_is_wrong(status: os.stat_result, target: Target) -> str:
    if not stat.S_ISREG(status.st_mode):
        return "it is no regular file"
    if status.st_uid != target.uid:
        return f"it belongs to user {status.st_uid}, and the process to user {target.uid}"
    if stat.S_IMODE(status.st_mode) & 0o177:
        return (
            f"its mode is {stat.S_IMODE(status.st_mode):o}, and others may read no more than its owner: 600"
        )
    if status.st_size > _MAX_BYTES:
        return f"it has {status.st_size} bytes, and an endpoint takes fewer than {_MAX_BYTES}"
    return ""


def _refusal(agent: Agent, path: str, problem: str) -> JcollectError:
    return JcollectError(
        f"cannot use the control gateway of PID {agent.pid}: {path} is not what its agent has written: "
        f"{problem}; restart the program if that is so by accident"
    )
