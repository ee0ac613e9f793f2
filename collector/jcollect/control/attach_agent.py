"""A program of its own: has another JVM load an agent, by the JDK's attach API.

    python -m jcollect.control.attach_agent LIBJVM PID SOCKET UID GID JAR OPTIONS SECONDS

It prints one line: "loaded", "refused: " and the JVM's own words, or "spared: " and why it was not asked.
A process of its own, because a JVM inside jcollect would cost its memory for as long as jcollect runs and
meddle with its signals, and because this one changes its user.

HotSpot answers those whose effective user and group are its own, or root as its user namespace sees it;
and it looks for a file that such a one has made. Under the target's user it answers from inside any user
namespace. The capabilities of root stay: for /proc/PID/root, for SIGQUIT, and for files of ours.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys

import jpype

from jcollect.control.thread_limit import thread_shortage

_PR_SET_SECUREBITS = 28
_SECBIT_NO_SETUID_FIXUP = 1 << 2
_OLDEST_TARGET = 17


def main() -> None:
    libjvm, pid, socket, uid, gid, jar, options, seconds = sys.argv[1:]
    _take_user(int(uid), int(gid))
    jpype.startJVM(
        libjvm,
        # Small, quick to start, deaf to signals, leaving no files: a JVM that is deaf to signals opens its
        # attach socket at once, unless it is not to be attached to.
        "-Xmx64m",
        "-Xrs",
        "-XX:+DisableAttachMechanism",
        "-XX:+UseSerialGC",
        "-XX:TieredStopAtLevel=1",
        "-XX:-UsePerfData",
        f"-Dsun.tools.attach.attachTimeout={int(float(seconds) * 1000)}",
        convertStrings=True,
        interrupt=False,
    )
    print(_load(pid, socket, jar, options), flush=True)
    # Not by way of the JVM's shutdown, which would take longer than all the rest.
    os._exit(0)


def _take_user(uid: int, gid: int) -> None:
    if os.geteuid() != 0 or uid == 0:
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_SECUREBITS, _SECBIT_NO_SETUID_FIXUP, 0, 0, 0) != 0:
        # Without CAP_SETPCAP we stay root, which is enough outside of user namespaces.
        return
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)


def _load(pid: str, socket: str, jar: str, options: str) -> str:
    # Not before: the threads of this JVM may count for the same limit, being of the same user.
    shortage = None if os.path.exists(socket) else thread_shortage(int(pid))
    if shortage:
        return f"spared: {shortage}"
    try:
        machine = jpype.JClass("com.sun.tools.attach.VirtualMachine").attach(pid)
        try:
            version = str(machine.getSystemProperties()["java.specification.version"])
            if int(version.split(".")[-1]) < _OLDEST_TARGET:
                return (
                    f"refused: it is a JVM of Java {version}, and the agent needs {_OLDEST_TARGET} or later"
                )
            machine.loadAgent(jar, options)
        finally:
            with contextlib.suppress(jpype.JException):
                machine.detach()
    except jpype.JException as problem:
        message = problem.getMessage() or problem.getClass().getName()
        return "refused: " + " ".join(str(message).split())
    return "loaded"


if __name__ == "__main__":
    main()
