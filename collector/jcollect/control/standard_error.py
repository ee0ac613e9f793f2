"""Tells if loading an agent would have a JVM wait for whoever reads its standard error.

JDK 21 and later write a warning there as they load an agent (JEP 451), JDK 24 and later another one for its
native code. Where nobody reads, the thread that every tool attaches by waits for ever.
"""

from __future__ import annotations

from collections.abc import Sequence

from jcollect.control import standard_stream
from jcollect.control.target import Target
from jcollect.discovery.jvm import command_line, describe_jvm, is_libjvm, is_perfdata
from jcollect.discovery.maps import Mapping
from jcollect.procfs.apart import apart

_WARNS_SINCE = 21
_SILENCED_BY = "-XX:+EnableDynamicAgentLoading"


def would_wait(target: Target, mappings: Sequence[Mapping]) -> bool:
    """Returns true if the JVM would wait. What cannot be found out counts as no."""
    if not _warns(target.pid, mappings):
        return False
    stream = standard_stream.STANDARD_ERROR
    try:
        return bool(apart(target.pid, standard_stream.is_full, target.pid, stream, user=target.user).content)
    except OSError:
        return False


def _warns(pid: int, mappings: Sequence[Mapping]) -> bool:
    libjvm = next((mapping for mapping in mappings if is_libjvm(mapping)), None)
    if libjvm is None:
        return False
    perfdata = next((mapping for mapping in mappings if is_perfdata(mapping)), None)
    feature = describe_jvm(pid, libjvm, perfdata).jdk.split(".")[0].split("-")[0]
    return feature.isdecimal() and int(feature) >= _WARNS_SINCE and _SILENCED_BY not in command_line(pid)
