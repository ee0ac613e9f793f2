"""Reads the gateway's answers. The sender is untrusted, and may send anything for any time.

Py4J's own reader is not used: it builds whatever type an answer names, including a number of any length. Of
Py4J's types, the gateway's commands return only bytes, and errors are strings.
"""

from __future__ import annotations

import binascii
import ctypes
import socket
import threading
import time
from collections.abc import Hashable

from google.protobuf.message import DecodeError
from py4j import protocol

from jcollect.control.cancel import is_cancelled
from jcollect.control.shares import Shares
from jcollect.probes.protobuf_fields import FieldsError, check_fields
from jcollect.shortened import shortened
from jprobe.v1 import control_pb2

# 16 MiB before they are encoded. A line of 65,000 methods has some 10 MB.
MAX_LINE = (16 << 20) * 4 // 3 + 16
# Few longer lines are received at a time, each within a short time. A line of 5,000 methods has about 1 MB.
SMALL_LINE = 2 << 20
LARGE_SECONDS = 10.0
_large_lines = Shares(4)
_POLL_SECONDS = 0.02
# Maximum number of methods, gates and untraceable methods of a reply together. An element repeats
# only numbers.
MAX_ELEMENTS = 1 << 18
# Maximum size of a reason before it is escaped and truncated.
MAX_REASON_BYTES = 1 << 14
# Maximum length of an explanation in characters: it quotes a selector, and several names.
_MAX_ERROR = 900
_CHUNK = 1 << 16

Line = bytes | bytearray

_M_MMAP_THRESHOLD = -3
# Blocks of this size return to the kernel when they are freed, and smaller ones when a large line is
# released. Otherwise each thread would keep its freed memory.
_RETURNED_BYTES = 2 << 20
_libc = ctypes.CDLL(None)

_FINE = (protocol.RETURN_MESSAGE + protocol.SUCCESS).encode()
_FAILED = (protocol.RETURN_MESSAGE + protocol.ERROR).encode()
_BYTES = _FINE + protocol.BYTES_TYPE.encode()
_TEXT = _FAILED + protocol.STRING_TYPE.encode()


# Decoding takes several times the memory of an answer, so answers are decoded one after the other.
decoding = threading.Lock()


class NoReplyError(Exception):
    """The answer is malformed."""


class RefusalError(Exception):
    """The gateway rejects the command. The message is its reason, printable and possibly empty."""


def check_is_fine(line: Line) -> None:
    """Accepts an answer without a value. Raises RefusalError for any other."""
    if not line.startswith(_FINE):
        raise RefusalError(_reason(line))


def decode_reply(line: Line) -> control_pb2.ControlReply:
    """Returns the reply of a command, with printable sentences. Raises RefusalError, NoReplyError."""
    if line.startswith(_FAILED) and (reason := _reason(line)):
        raise RefusalError(reason)
    if not line.startswith(_BYTES):
        raise NoReplyError
    try:
        encoded = memoryview(line)[len(_BYTES) : len(line) - line.endswith(b"\n")]
        content = binascii.a2b_base64(encoded, strict_mode=True)
        check_fields(content, MAX_ELEMENTS)
        reply = control_pb2.ControlReply.FromString(content)
    except (binascii.Error, FieldsError, DecodeError, MemoryError):
        raise NoReplyError from None
    reply.error = shortened(reply.error, _MAX_ERROR)
    reply.refusal, reply.agent_version = map(shortened, (reply.refusal, reply.agent_version))
    reply.nothing_found = shortened(reply.nothing_found, _MAX_ERROR)
    return reply


def _reason(line: Line) -> str:
    """Returns the text of an error. Py4J puts a backslash before each line end and backslash."""
    if not line.startswith(_TEXT):
        return ""
    text = line[len(_TEXT) : len(_TEXT) + MAX_REASON_BYTES].rstrip(b"\n").decode(errors="replace")
    return shortened(protocol.unescape_new_line(text))


class Answers:
    """Reads lines from a connection, with a limit on each whole line."""

    def __init__(self, connection: socket.socket, seconds: float, owner: Hashable = None) -> None:
        """`seconds` is the limit for a line. `owner` is the user who sends them."""
        self._socket = connection
        self._seconds = seconds
        self._owner = owner
        self._is_large = False
        self._rest = bytearray()

    def readline(self, deadline: float | None = None) -> Line:
        """Returns one line with its end, or without it if the peer has closed. A large one counts as being
        received until `release`. `deadline` is monotonic. Raises OSError, TimeoutError, and NoReplyError if
        the line is too long."""
        if deadline is None:
            deadline = time.monotonic() + self._seconds
        searched = 0
        while (end := self._rest.find(b"\n", searched)) < 0:
            searched = len(self._rest)
            if searched > MAX_LINE:
                raise NoReplyError
            if searched > SMALL_LINE and not self._is_large:
                self._reserve(deadline)
                deadline = min(deadline, time.monotonic() + LARGE_SECONDS)
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError
            self._socket.settimeout(left)
            chunk = self._socket.recv(_CHUNK)
            if not chunk:
                end = searched - 1
                break
            self._rest += chunk
        if end + 1 == len(self._rest):
            line, self._rest = self._rest, bytearray()
            return line
        head = self._rest[: end + 1]
        del self._rest[: end + 1]
        return head

    def release(self) -> None:
        """Ends the reservation of a large line, which must have been decoded."""
        if self._is_large:
            self._is_large = False
            if hasattr(_libc, "malloc_trim"):
                _libc.malloc_trim(0)
            _large_lines.give_back(self._owner, 1)

    def drop(self) -> None:
        """Drops data that was received and not read."""
        self._rest = bytearray()
        self.release()

    def _reserve(self, deadline: float) -> None:
        # The rest stays with the sender during that time.
        while not _large_lines.take(self._owner, 1):
            if time.monotonic() >= deadline or is_cancelled():
                raise TimeoutError
            time.sleep(_POLL_SECONDS)
        self._is_large = True
        # Only glibc has this and malloc_trim, and only glibc needs them.
        if hasattr(_libc, "mallopt"):
            _libc.mallopt(_M_MMAP_THRESHOLD, _RETURNED_BYTES)
