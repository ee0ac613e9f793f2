"""Reads the gateway's answers. The sender may be hostile, and send anything for as long as it likes.

Py4J's own reader is not used: it builds whatever type an answer names, including a number of any length. Of
Py4J's types, the gateway's commands return only bytes, and errors are strings.
"""

from __future__ import annotations

import binascii
import socket
import time

from google.protobuf.message import DecodeError
from py4j import protocol

from jcollect.discovery.protobuf_fields import FieldsError, check_fields
from jcollect.told import told
from jprobe.v1 import control_pb2

# A line of 65,000 methods has some 10 MB.
MAX_LINE = 32 << 20
# Maximum number of methods, gates and untraceable methods of a reply together. No element repeats anything.
MAX_ELEMENTS = 1 << 18
# Maximum size of a reason before it is escaped and truncated.
MAX_REASON_BYTES = 1 << 14
_CHUNK = 1 << 16

_FINE = (protocol.RETURN_MESSAGE + protocol.SUCCESS).encode()
_FAILED = (protocol.RETURN_MESSAGE + protocol.ERROR).encode()
_BYTES = _FINE + protocol.BYTES_TYPE.encode()
_TEXT = _FAILED + protocol.STRING_TYPE.encode()


class NoReplyError(Exception):
    """The answer is none that the gateway's commands give."""


class RefusalError(Exception):
    """The gateway rejects the command. The message is its reason, printable and possibly empty."""


def check_is_fine(line: bytes) -> None:
    """Accepts an answer without a value. Raises RefusalError for any other."""
    if not line.startswith(_FINE):
        raise RefusalError(_reason(line))


def decode_reply(line: bytes) -> control_pb2.ControlReply:
    """Returns the reply of a command, with printable sentences. Raises RefusalError, NoReplyError."""
    if line.startswith(_FAILED) and (reason := _reason(line)):
        raise RefusalError(reason)
    if not line.startswith(_BYTES):
        raise NoReplyError
    try:
        content = binascii.a2b_base64(line[len(_BYTES) :].rstrip(b"\n"), strict_mode=True)
        check_fields(content, MAX_ELEMENTS)
        reply = control_pb2.ControlReply.FromString(content)
    except (binascii.Error, FieldsError, DecodeError, MemoryError):
        raise NoReplyError from None
    reply.error, reply.refusal, reply.agent_version = map(
        told, (reply.error, reply.refusal, reply.agent_version)
    )
    return reply


def _reason(line: bytes) -> str:
    """Returns the text of an error. Py4J puts a backslash before each line end and backslash."""
    if not line.startswith(_TEXT):
        return ""
    text = line[len(_TEXT) :].rstrip(b"\n")[:MAX_REASON_BYTES].decode(errors="replace")
    return told(protocol.unescape_new_line(text))


class Answers:
    """Reads lines from a connection, with a limit on each whole line."""

    def __init__(self, connection: socket.socket, seconds: float) -> None:
        self._socket = connection
        self._seconds = seconds
        self._rest = bytearray()

    def readline(self) -> bytes:
        """Returns one line with its end, or without it if the peer has closed. Raises OSError, TimeoutError,
        and NoReplyError if the line is too long."""
        deadline = time.monotonic() + self._seconds
        searched = 0
        while (end := self._rest.find(b"\n", searched)) < 0:
            searched = len(self._rest)
            if searched > MAX_LINE:
                raise NoReplyError
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError
            self._socket.settimeout(left)
            chunk = self._socket.recv(_CHUNK)
            if not chunk:
                end = searched - 1
                break
            self._rest += chunk
        line = bytes(self._rest[: end + 1])
        del self._rest[: end + 1]
        return line
