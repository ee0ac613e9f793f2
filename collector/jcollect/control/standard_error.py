"""Determines whether loading an agent would block a JVM because no process reads its standard error.

JDK 21 and later print a warning there when they load an agent (JEP 451), and JDK 24 and later another one for
its native code. If the pipe is full, the thread that serves all attaching tools waits forever.
"""

from __future__ import annotations

from jcollect.control import standard_stream
from jcollect.procfs.apart import apart
from jcollect.procfs.jvm import Jvm, command_line
from jcollect.procfs.process import Process

_WARNS_SINCE = 21
_SILENCED_BY = "-XX:+EnableDynamicAgentLoading"


def would_block(process: Process, jvm: Jvm) -> bool:
    """Returns true if the JVM would wait; false if that cannot be determined."""
    if not _warns(process, jvm):
        return False
    stream = standard_stream.STANDARD_ERROR
    try:
        answer = apart(
            process, standard_stream.is_full, stream, user=process.user, descriptors=(process.pidfd,)
        )
    except OSError:
        return False
    return bool(answer.content)


def _warns(process: Process, jvm: Jvm) -> bool:
    feature = jvm.jdk.split(".")[0].split("-")[0]
    return feature.isdecimal() and int(feature) >= _WARNS_SINCE and _SILENCED_BY not in command_line(process)
