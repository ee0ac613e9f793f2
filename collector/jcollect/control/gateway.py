"""One connection to the agent's control gateway (proto/jprobe/v1/control.proto), by Py4J's protocol.

Of Py4J's client it uses the connection and the encoding of arguments and answers, and not JavaGateway:
that one opens connections as it likes, tries commands again, and tells the other side what it has
garbage-collected. Here one connection is one client, which leases end with.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Sequence

from google.protobuf.message import DecodeError
from py4j import protocol
from py4j.java_gateway import GatewayConnection, GatewayParameters

from jcollect.control.answers import Answers
from jcollect.control.network import in_network_of
from jcollect.discovery.process import is_stopped
from jcollect.errors import JcollectError
from jprobe.v1 import control_pb2

ANSWER_SECONDS = 30.0

_ENTRY_POINT = "t\n"
_ADDRESS = "127.0.0.1"
_STOPPED = "it is stopped; let it go on first: kill -CONT {pid}"


class Gateway:
    """The agent's commands, until `close`. Each raises JcollectError where the agent refuses or is silent."""

    def __init__(
        self, pid: int, endpoint: control_pb2.ControlEndpoint, seconds: float = ANSWER_SECONDS
    ) -> None:
        """Connects in the network namespace of the process. `seconds` is the limit for each answer."""
        self.pid = pid
        self._seconds = seconds
        if is_stopped(pid):
            raise JcollectError(f"cannot command PID {pid}: {_STOPPED.format(pid=pid)}")
        self._connection = self._connect(endpoint.port)
        self._authenticate(endpoint.token)

    def select(self, selectors: Sequence[str], leased: bool = False) -> control_pb2.ControlReply:
        """Gives probes to what the selectors mean; leased: until this connection ends."""
        return self._call("select", ";".join(selectors), leased)

    def unselect(self, selectors: Sequence[str]) -> control_pb2.ControlReply:
        """Takes back selectors, each as it was selected; all of them if there are none."""
        return self._call("unselect", ";".join(selectors))

    def set(self, methods: Sequence[str], settings: str) -> control_pb2.ControlReply:
        """Changes the gates of methods, each "generation:index" by the manifests."""
        return self._call("set", " ".join(methods), settings)

    def status(self) -> control_pb2.ControlReply:
        return self._call("status")

    def reset(self) -> control_pb2.ControlReply:
        """Has the agent restore everything and end; no command can follow."""
        return self._call("reset")

    def close(self) -> None:
        self._connection.close()

    def __enter__(self) -> Gateway:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _connect(self, port: int) -> GatewayConnection:
        # Without the token, so that it does not authenticate before answers have a limit.
        parameters = GatewayParameters(address=_ADDRESS, port=port, read_timeout=self._seconds)

        def connect() -> GatewayConnection:
            connection = GatewayConnection(parameters)
            connection.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                connection.start()
            except protocol.Py4JNetworkError:
                connection.socket.close()
                raise
            return connection

        try:
            connection = in_network_of(self.pid, connect, self._seconds)
        except protocol.Py4JNetworkError as error:
            raise self._unreachable(port, error.cause) from None
        except OSError as error:
            raise JcollectError(
                f"cannot enter the network namespace of PID {self.pid}, in which its control gateway "
                f"listens: {error.strerror}; run with sudo"
            ) from None
        connection.stream = Answers(connection.socket, self._seconds)
        return connection

    def _unreachable(self, port: int, cause: object) -> JcollectError:
        place = f"cannot connect to the control gateway of PID {self.pid} on {_ADDRESS}:{port}"
        number = cause.errno if isinstance(cause, OSError) else None
        if number == errno.ENETUNREACH:
            return JcollectError(
                f"{place}: the loopback interface is down in its network namespace; "
                f"run: nsenter -t {self.pid} -n ip link set lo up"
            )
        if number == errno.ECONNREFUSED:
            return JcollectError(f"{place}: nothing listens there any more; has the agent been reset?")
        return JcollectError(f"{place}: {cause}")

    def _authenticate(self, token: str) -> None:
        answer = self._send("authentication", f"{protocol.AUTH_COMMAND_NAME}\n{token}\n")
        is_refused, why = protocol.get_error_message(answer)
        if is_refused:
            self.close()
            reason = why or "the token is not its own; try again"
            raise JcollectError(f"the control gateway of PID {self.pid} refuses us: {reason}")

    def _call(self, command: str, *arguments: object) -> control_pb2.ControlReply:
        parts = "".join(map(protocol.get_command_part, arguments))
        answer = self._send(
            command,
            f"{protocol.CALL_COMMAND_NAME}{_ENTRY_POINT}{command}\n{parts}{protocol.END_COMMAND_PART}",
        )
        _, why = protocol.get_error_message(answer)
        if why:
            raise JcollectError(f"PID {self.pid} refuses to {command}: {why}")
        try:
            content = protocol.get_return_value(answer, None, "t", command)
            reply = control_pb2.ControlReply.FromString(bytes(content))
        # Of whatever kind: the other side may send what it likes.
        except (protocol.Py4JError, DecodeError, ValueError, TypeError, LookupError, AttributeError):
            self.close()
            raise JcollectError(
                f"PID {self.pid} has answered {command} with what is no reply; "
                "do its agent and jcollect have the same version?"
            ) from None
        if reply.error:
            raise JcollectError(f"PID {self.pid} refuses to {command}: {reply.error}")
        return reply

    def _send(self, command: str, line: str) -> str:
        try:
            # What an answer has left of its time is not the limit for sending.
            self._connection.socket.settimeout(self._seconds)
            answer: str = self._connection.send_command(line)
        except protocol.Py4JNetworkError as error:
            self.close()
            if isinstance(error.cause, TimeoutError):
                is_it = _STOPPED if is_stopped(self.pid) else "it may be stopped, or hang"
                raise JcollectError(
                    f"PID {self.pid} has not answered {command} within {self._seconds:g} s: "
                    f"{is_it.format(pid=self.pid)}. The command may be carried out nonetheless; look with: "
                    f"jcollect status {self.pid}"
                ) from None
            raise JcollectError(
                f"PID {self.pid} has closed the control connection instead of answering {command}; "
                f"look with: jcollect status {self.pid}"
            ) from None
        return answer
