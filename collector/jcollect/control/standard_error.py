"""Determines whether loading an agent would block a JVM on whoever reads its standard error.

JDK 21 and later print a warning there when they load an agent (JEP 451), and JDK 24 and later another one for
its native code. If no process reads it, the thread through which every tool attaches waits forever.
"""

from __future__ import annotations

from collections.abc import Sequence

from jcollect.control import standard_stream
from jcollect.control.target import Target
from jcollect.procfs.apart import apart
from jcollect.procfs.jvm import command_line, describe_jvm, is_libjvm, is_perfdata
from jcollect.procfs.maps import Mapping

_WARNS_SINCE = 21
_SILENCED_BY = "-XX:+EnableDynamicAgentLoading"


def would_wait(target: Target, mappings: Sequence[Mapping]) -> bool:
    """Returns true if the JVM would wait; false if that cannot be determined."""
    if not _warns(target, mappings):
        return False
    stream = standard_stream.STANDARD_ERROR
    try:
        return bool(apart(target.pid, standard_stream.is_full, target.pid, stream, user=target.user).content)
    except OSError:
        return False


def _warns(target: Target, mappings: Sequence[Mapping]) -> bool:
    libjvm = next((mapping for mapping in mappings if is_libjvm(mapping)), None)
    if libjvm is None:
        return False
    perfdata = next((mapping for mapping in mappings if is_perfdata(mapping)), None)
    feature = describe_jvm(target.pid, target.user, libjvm, perfdata).jdk.split(".")[0].split("-")[0]
    return (
        feature.isdecimal() and int(feature) >= _WARNS_SINCE and _SILENCED_BY not in command_line(target.pid)
    )
