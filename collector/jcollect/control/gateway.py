"""One connection to the agent's control gateway (proto/jprobe/v1/control.proto), by Py4J's protocol.

It uses Py4J's encoding of arguments, but not its JavaGateway, which opens connections as it likes, repeats
commands, reports objects that it has garbage-collected, and trusts the answers. Here one connection is one
client, and leases end with it.
"""

from __future__ import annotations

import contextlib
import errno
import select
import socket
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from py4j import protocol

from jcollect.control.answers import (
    Answers,
    Line,
    NoReplyError,
    RefusalError,
    check_is_fine,
    decode_reply,
    decoding,
)
from jcollect.control.cancel import stopped_by
from jcollect.control.limits import Limits
from jcollect.control.network import in_network_of
from jcollect.control.remarks import problems
from jcollect.control.selected import Selected
from jcollect.errors import JcollectError
from jcollect.procfs.process import Process
from jprobe.v1 import control_pb2

ANSWER_SECONDS = 30.0

# Minimum timeout in seconds for connecting and sending: with 0 the socket would not wait at all.
_LEAST_SECONDS = 0.001

# Argument of the command `overhead` for no request (CommandExecutor.java).
_WITHDRAWN = -1

_ENTRY_POINT = "t\n"
_ADDRESS = "127.0.0.1"
_STOPPED = "it is stopped; resume it first: kill -CONT {pid}"


_Taken = TypeVar("_Taken")


class Gateway:
    """The agent's commands, until `close`. Each raises JcollectError if the agent does not execute it."""

    def __init__(
        self,
        process: Process,
        endpoint: control_pb2.ControlEndpoint,
        seconds: float = ANSWER_SECONDS,
        spent: float = 0.0,
    ) -> None:
        """Connects in the network namespace of the process. `seconds` is the limit for each command. The time
        to connect counts toward the first command, and so do the `spent` seconds before that."""
        self.process = process
        self._pid = pid = process.pid
        self._seconds = seconds
        self._left = max(_LEAST_SECONDS, seconds - spent)
        if process.is_stopped():
            raise JcollectError(f"cannot command PID {pid}: {_STOPPED.format(pid=pid)}")
        begun = time.monotonic()
        self._socket = self._connect(endpoint.port)
        self._answers = Answers(self._socket, seconds, process.owner)
        try:
            self._left -= time.monotonic() - begun
            self._authenticate(endpoint.token)
        except BaseException:
            self.close()
            raise

    def select(self, selectors: Sequence[str], leased: bool = False) -> control_pb2.ControlReply:
        """Gives probes to the methods that the selectors match; if `leased`, until this connection ends."""
        return self._call("select", ";".join(selectors), leased)

    def lease(self, selectors: Sequence[str]) -> Selected:
        """Does a leased `select`, and keeps only the part of the reply that is needed during the lease."""
        return self._take(Selected, "select", ";".join(selectors), True)

    def unselect(self, selectors: Sequence[str]) -> control_pb2.ControlReply:
        """Unselects selectors, each spelled as it was selected; all if there are none."""
        return self._call("unselect", ";".join(selectors))

    def set(self, methods: Sequence[str], settings: str) -> control_pb2.ControlReply:
        """Changes the gates of methods, each "generation:index" by the manifests."""
        return self._call("set", " ".join(methods), settings)

    def limits(self, limits: Limits, scope: str) -> control_pb2.ControlReply:
        """Changes the agent's limits. `scope` is "agent" to set its own, "selection" to raise them, or
        "client" to raise them until this connection ends."""
        return self._call("limits", str(limits), scope)

    def attached(self, number: int) -> None:
        """Reports that this process has attached to all that it wants of the libraries before this number.
        Returns when a class of the program waits for a later one, or after a second."""
        self._call("attached", number)

    def direct(self, events: str, counts: str) -> None:
        """Leases probes for the direct lane instead of those leased before: slots of stub libraries,
        "generation:first-last,…". They are armed when it returns; the lease ends with this connection."""
        self._call("direct", events, counts)

    def request_overhead(self, percent: int) -> None:
        """Requests a limit of the overhead, in percent of a core, until this connection ends; 0 requests
        none. It replaces this connection's earlier one, and the lowest of all requested limits holds."""
        self._call("overhead", percent)

    def withdraw_overhead(self) -> None:
        """Requests no limit any more."""
        self._call("overhead", _WITHDRAWN)

    def status(self) -> control_pb2.ControlReply:
        return self._call("status")

    def find(self, pattern: str, most: int) -> control_pb2.ControlReply:
        """Returns at most so many loaded classes and methods that a selector matches, or a class part."""
        return self._call("find", pattern, most)

    def explain(self, selectors: Sequence[str], seconds: float) -> list[str]:
        """Returns a sentence about each of these selectors that traces nothing: why, and what to do. Waits at
        most `seconds`."""
        self._left = min(self._left, seconds)
        return self._take(problems, "explain", ";".join(selectors))

    @property
    def is_closed(self) -> bool:
        """True if the agent has closed the connection. Never waits, as receiving with a timeout would."""
        poll = select.poll()
        try:
            poll.register(self._socket, select.POLLRDHUP)
            return bool(poll.poll(0))
        except ValueError:  # This side has closed it.
            return True

    def reset(self) -> control_pb2.ControlReply:
        """Makes the agent restore all classes and shut down; no command can follow."""
        return self._call("reset")

    def close(self) -> None:
        self._socket.close()
        self._answers.drop()

    def disconnect(self) -> None:
        """Ends the connection, also while another thread waits for an answer."""
        with contextlib.suppress(OSError):
            self._shut_down()

    def _shut_down(self) -> None:
        # Closing the socket would not wake a thread that waits for it.
        self._socket.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Gateway:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _connect(self, port: int) -> socket.socket:
        def connect() -> socket.socket:
            return socket.create_connection((_ADDRESS, port), self._left)

        try:
            connection = in_network_of(self.process, connect, self._left)
        except OSError as error:
            raise self._unreachable(port, error) from None
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def _unreachable(self, port: int, error: OSError) -> JcollectError:
        if error.filename is not None:
            return JcollectError(
                f"cannot enter the network namespace of PID {self._pid}, in which its control gateway "
                f"listens: {error.strerror}; run with sudo"
            )
        what = f"cannot connect to the control gateway of PID {self._pid} on {_ADDRESS}:{port}"
        if error.errno == errno.ENETUNREACH:
            return JcollectError(
                f"{what}: the loopback interface is down in its network namespace; "
                f"run: nsenter -t {self._pid} -n ip link set lo up"
            )
        if error.errno == errno.ECONNREFUSED:
            return JcollectError(
                f"{what}: no process listens on that port any more; the agent may have been reset"
            )
        return JcollectError(f"{what}: {error}")

    def _authenticate(self, token: str) -> None:
        try:
            return check_is_fine(self._send("authentication", f"{protocol.AUTH_COMMAND_NAME}\n{token}\n"))
        except RefusalError as refusal:
            reason = str(refusal) or "the token is not this gateway's; try again"
        finally:
            self._answers.release()
        # Outside of the handler: an error that is kept must not keep the answer by its context.
        raise JcollectError(f"the control gateway of PID {self._pid} rejects the connection: {reason}")

    def _call(self, command: str, *arguments: object) -> control_pb2.ControlReply:
        return self._take(lambda reply: reply, command, *arguments)

    def _take(
        self, take: Callable[[control_pb2.ControlReply], _Taken], command: str, *arguments: object
    ) -> _Taken:
        """Returns `take(reply)`."""
        parts = "".join(map(protocol.get_command_part, arguments))
        line = f"{protocol.CALL_COMMAND_NAME}{_ENTRY_POINT}{command}\n{parts}{protocol.END_COMMAND_PART}"
        try:
            return _taken(take, self._send(command, line))
        except RefusalError as refusal:
            problem = JcollectError(f"PID {self._pid} rejects {command}: {refusal}")
        except NoReplyError:
            problem = self._no_reply(command)
        finally:
            self._left = self._seconds
            self._answers.release()
        raise problem

    def _send(self, command: str, line: str) -> Line:
        """Returns the answered line. Raises JcollectError, after closing the connection."""
        begun = time.monotonic()
        try:
            self._socket.settimeout(max(_LEAST_SECONDS, self._left))
            with stopped_by(self._shut_down):
                self._socket.sendall(line.encode())
                answer = self._answers.readline(begun + self._left)
            self._left -= time.monotonic() - begun
        except TimeoutError:
            self.close()
            is_it = _STOPPED if self.process.is_stopped() else "it may be stopped or hanging"
            raise JcollectError(
                f"PID {self._pid} has not answered {command} within {self._seconds:g} s: "
                f"{is_it.format(pid=self._pid)}. The command may still be executed; check with: "
                f"jcollect status {self._pid}"
            ) from None
        except NoReplyError:
            raise self._no_reply(command) from None
        except OSError:
            answer = b""
        if not answer.strip():
            self.close()
            raise JcollectError(
                f"PID {self._pid} has closed the control connection instead of answering {command}; "
                f"check with: jcollect status {self._pid}"
            )
        return answer

    def _no_reply(self, command: str) -> JcollectError:
        self.close()
        return JcollectError(
            f"PID {self._pid} has sent a malformed reply to {command}; "
            "its agent and jcollect may have different versions"
        )


def _taken(take: Callable[[control_pb2.ControlReply], _Taken], answer: Line) -> _Taken:
    with decoding:
        reply = decode_reply(answer)
        if reply.error:
            raise RefusalError(reply.error)
        return take(reply)
