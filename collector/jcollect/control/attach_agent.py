"""A program of its own: has another JVM load an agent, by the JDK's attach API.

    python -m jcollect.control.attach_agent PARENT LIBJVM PID UID GID JAR OPTIONS

It prints one line: "loaded", "refused: " and the JVM's own words, or "unfit: " or "spared: " and why it was
not asked. A process of its own, because a JVM inside jcollect would cost its memory for as long as jcollect
runs and meddle with its signals, and because this one becomes another user.

HotSpot answers those whose effective user and group are its own, or root as its user namespace sees it. The
target's user may end this process. Of root it has CAP_SYS_PTRACE, by which /proc/PID/root of other user
namespaces can be walked. Where the target's user may not read the Java runtime or JPype, as in a home, it has
CAP_DAC_READ_SEARCH as well until its JVM has started. What is the target's is not touched before this thread
has given that up. The JVM's own threads, which have it, touch nothing of the target's.
"""

from __future__ import annotations

import contextlib
import os
import sys

from jcollect.control.thread_limit import thread_shortage
from jcollect.procfs.capabilities import DAC_READ_SEARCH, SYS_PTRACE, keep_in_thread
from jcollect.procfs.files import open_directory
from jcollect.procfs.identity import Identity, become
from jcollect.trusted_files import is_open_to_all

# JPype imports it if it is there, and it starts threads: each would have an identity of its own.
sys.modules["numpy"] = None  # type: ignore[assignment]
import jpype  # noqa: E402

_OLDEST_TARGET = 17


def main() -> None:
    parent, libjvm, pid, uid, gid, jar, options = sys.argv[1:]
    # Its jar lies beside its package.
    ours = (libjvm, jpype.__file__, os.path.dirname(os.path.dirname(jpype.__file__)))
    reading = () if all(map(is_open_to_all, ours)) else (DAC_READ_SEARCH,)
    become(Identity(int(uid), int(gid)), (SYS_PTRACE, *reading), parent=int(parent))
    _start_jvm(libjvm)
    keep_in_thread((SYS_PTRACE,))
    # The threads of this JVM count for the same limit of the user's, and the agent will need some.
    shortage = thread_shortage(int(pid))
    print(f"spared: {shortage}" if shortage else _load(pid, jar, options), flush=True)
    # Not by way of the JVM's shutdown, which would take longer than all the rest.
    os._exit(0)


def _start_jvm(libjvm: str) -> None:
    jpype.startJVM(
        libjvm,
        # Small, quick to start, deaf to signals, leaving no files, also when one of them ends it. A JVM that
        # is deaf to signals opens its attach socket at once, unless it is not to be attached to.
        "-Xmx64m",
        "-Xrs",
        "-XX:+DisableAttachMechanism",
        "-XX:+UseSerialGC",
        "-XX:TieredStopAtLevel=1",
        "-XX:-UsePerfData",
        "-XX:-CreateCoredumpOnCrash",
        "-XX:ErrorFile=/dev/null",
        convertStrings=True,
        interrupt=False,
    )


def _leads_elsewhere(pid: int) -> bool:
    """Returns true if the API would take a socket for the JVM's that is in another /tmp.

    It follows /proc/PID/root/tmp with our root: be it an absolute link, it leads to a /tmp of ours.
    """
    tmp = open_directory(pid, "/tmp")
    try:
        return not os.path.samestat(os.fstat(tmp), os.stat(f"/proc/{pid}/root/tmp"))
    finally:
        os.close(tmp)


def _load(pid: str, jar: str, options: str) -> str:
    if _leads_elsewhere(int(pid)):
        return "unfit: its /tmp is a symbolic link, which the attach API follows in our file system"
    try:
        machine = jpype.JClass("com.sun.tools.attach.VirtualMachine").attach(pid)
        try:
            version = str(machine.getSystemProperties()["java.specification.version"])
            if int(version.split(".")[-1]) < _OLDEST_TARGET:
                return f"unfit: it is a JVM of Java {version}, and the agent needs {_OLDEST_TARGET} or later"
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
