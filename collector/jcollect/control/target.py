"""What /proc says of the process that is to be commanded: whose it is, and whether it runs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from jcollect.discovery.process import check_exists, is_stopped
from jcollect.errors import JcollectError

_SIGQUIT = 3


@dataclass(frozen=True)
class Target:
    """A process at one moment; `uid` and `gid` are the effective ones, as seen from here.

    `inner_pid` is the one in the innermost PID namespace. `catches_quit`: whether SIGQUIT, by which
    the JVM is asked to open its attach socket, would not end it.
    """

    pid: int
    inner_pid: int
    uid: int
    gid: int
    is_stopped: bool
    catches_quit: bool

    @property
    def attach_socket(self) -> str:
        """Where its JVM opens the socket by which it is attached to, as seen from here."""
        return f"/proc/{self.pid}/root/tmp/.java_pid{self.inner_pid}"


def read_target(pid: int) -> Target:
    """Raises JcollectError when there is no such process."""
    check_exists(pid)
    try:
        status = Path(f"/proc/{pid}/status").read_text(errors="replace")
    except OSError:
        raise JcollectError(f"PID {pid} has exited") from None
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    return Target(
        pid=pid,
        inner_pid=int(fields.get("NSpid", str(pid)).split()[-1]),
        uid=int(fields["Uid"].split()[1]),
        gid=int(fields["Gid"].split()[1]),
        is_stopped=is_stopped(pid),
        catches_quit=bool(int(fields["SigCgt"], 16) >> _SIGQUIT - 1 & 1),
    )
