"""Loads an agent into another JVM by the JDK's attach API. A separate program.

    python -m jcollect.control.attach_agent PARENT LIBJVM PID PIDFD UID GID JAR OPTIONS

It prints one line: "loaded", "refused: " and the JVM's message, or "unfit: " or "spared: " and the reason why
the JVM was not asked. It is a separate process because a JVM inside jcollect would use memory for as long as
jcollect runs and interfere with its signals, and because it becomes another user.

HotSpot answers clients that have its own effective user and group, or are root in its user namespace. The
target's user may end this process. Of root's rights, it keeps CAP_SYS_PTRACE, which is needed to walk
/proc/PID/root of other user namespaces. If the target's user may not read the Java runtime or JPype, for
instance in a home directory, it also keeps CAP_DAC_READ_SEARCH until its JVM has started. This thread drops
that before it touches anything of the target's. The JVM's own threads keep it, but touch nothing of the
target's.
"""

from __future__ import annotations

import contextlib
import os
import stat
import sys
from collections.abc import Iterator
from typing import Any

from jcollect.control.attach_socket import served_by, socket_name
from jcollect.control.thread_limit import users_thread_shortage
from jcollect.procfs.capabilities import DAC_READ_SEARCH, SYS_PTRACE, keep_in_thread
from jcollect.procfs.files import open_directory
from jcollect.procfs.identity import Identity, become
from jcollect.procfs.status import check_alive, read_status
from jcollect.trusted_files import is_readable_by_all

# JPype imports numpy if it is installed. Numpy starts threads, each with its own identity.
sys.modules["numpy"] = None  # type: ignore[assignment]
import jpype  # noqa: E402

_OLDEST_TARGET = 17
# JDK 17.0.15 looks for the socket in its own /tmp unless the target has a PID namespace of its own.
_FINDS_PRIVATE_TMP = 25


def main() -> None:
    parent, libjvm, pid, pidfd, uid, gid, jar, options = sys.argv[1:]
    # JPype's jar is beside its package.
    needed = (libjvm, jpype.__file__, os.path.dirname(os.path.dirname(jpype.__file__)))
    reading = () if all(map(is_readable_by_all, needed)) else (DAC_READ_SEARCH,)
    become(Identity(int(uid), int(gid)), (SYS_PTRACE, *reading), parent=int(parent))
    _start_jvm(libjvm)
    keep_in_thread((SYS_PTRACE,))
    # The threads of this JVM count toward the same limit of the user, and the agent needs some.
    shortage = users_thread_shortage(int(pid))
    print(f"spared: {shortage}" if shortage else _load(pid, int(pidfd), jar, options), flush=True)
    # The JVM's shutdown would take longer than all the rest.
    os._exit(0)


def _start_jvm(libjvm: str) -> None:
    jpype.startJVM(
        libjvm,
        # The JVM is small, starts quickly, ignores signals and leaves no files, even if a signal ends it. A
        # target that ignores signals opens its attach socket at once, unless attaching is disabled.
        "-Xmx64m",
        "-Xrs",
        "-XX:+DisableAttachMechanism",
        "-XX:+UseSerialGC",
        "-XX:TieredStopAtLevel=1",
        "-XX:-UsePerfData",
        "-XX:-CreateCoredumpOnCrash",
        "-XX:ErrorFile=/dev/null",
        "--add-opens=jdk.attach/sun.tools.attach=ALL-UNNAMED",
        convertStrings=True,
        interrupt=False,
    )


class _NoLinkError(OSError):
    """No link to the socket can be created."""


@contextlib.contextmanager
def _findable(pid: int, path: str) -> Iterator[None]:
    """Lets the API of any runtime find the socket of a JVM whose /tmp is not that of this process, such as a
    systemd service with PrivateTmp: by a link of that name. Otherwise the API would signal the JVM, which
    prints its threads then.

    Nothing is sent to the link's target (`_direct_to`). Raises _NoLinkError.
    """
    if not _is_sought_here(pid):
        yield
        return
    link = f"/tmp/{socket_name(pid)}"
    try:
        # A killed jcollect may have left one. No other JVM has this PID.
        with contextlib.suppress(FileNotFoundError):
            about = os.lstat(link)
            if stat.S_ISLNK(about.st_mode) and about.st_uid == os.geteuid():
                os.unlink(link)
        os.symlink(path, link)
    except OSError as error:
        raise _NoLinkError(error.errno, error.strerror, link) from None
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            os.unlink(link)


def _is_sought_here(pid: int) -> bool:
    """Returns true if the API would look for the JVM's socket in the /tmp of this process, and that is not
    the JVM's."""
    runtime = str(jpype.java.lang.System.getProperty("java.specification.version"))
    if int(runtime) >= _FINDS_PRIVATE_TMP or read_status(pid).inner_pid != pid:
        return False
    return not os.path.samestat(os.stat("/tmp"), os.stat(f"/proc/{pid}/root/tmp"))


def _leads_elsewhere(pid: int) -> bool:
    """Returns true if the API would mistake a socket in another /tmp for the JVM's.

    The API follows /proc/PID/root/tmp from the root of this process. If that is an absolute link, it leads
    to a /tmp that is not the JVM's.
    """
    tmp = open_directory(pid, "/tmp")
    try:
        return not os.path.samestat(os.fstat(tmp), os.stat(f"/proc/{pid}/root/tmp"))
    finally:
        os.close(tmp)


def _direct_to(path: str, machine: Any) -> None:
    """Makes the API send its commands to the socket at `path`: its own path may lead to another one now."""
    field = machine.getClass().getDeclaredField("socket_path")
    field.setAccessible(True)
    field.set(machine, path)


def _load(pid: str, pidfd: int, jar: str, options: str) -> str:
    if _leads_elsewhere(int(pid)):
        return "unfit: its /tmp is a symbolic link, which the attach API follows in jcollect's file system"
    try:
        with served_by(int(pid)) as path:
            # The socket is that of the process which was checked, and not of a later one with its PID.
            check_alive(pidfd)
            with _findable(int(pid), path):
                return _load_through(path, pid, jar, options)
    except _NoLinkError as error:
        return (
            "unfit: its /tmp is another one than jcollect's, this Java runtime looks for its attach socket "
            f"in jcollect's, and no link can be created there ({error.filename}: {error.strerror}); set "
            f"JAVA_HOME to a runtime of Java {_FINDS_PRIVATE_TMP} or later"
        )
    except OSError as error:
        return f"unfit: its attach socket cannot be used: {error.strerror or error}"


def _load_through(path: str, pid: str, jar: str, options: str) -> str:
    try:
        machine = jpype.JClass("com.sun.tools.attach.VirtualMachine").attach(pid)
        _direct_to(path, machine)
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
