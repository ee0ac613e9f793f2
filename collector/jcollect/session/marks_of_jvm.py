"""The kinds of events that HotSpot's own USDT probes report. Imports nothing that is slow to import."""

from __future__ import annotations

from typing import Final, NamedTuple


class JvmEvents(NamedTuple):
    """The probes of one kind as globs of "provider:name", and the flags without which they do not fire: of
    JDK 17, and of later ones."""

    globs: tuple[str, ...]
    flag: str = ""
    later_flag: str = ""


JVM_EVENTS: Final = {
    "gc": JvmEvents(("hotspot:gc__*", "hotspot:mem__pool__gc__*")),
    "safepoint": JvmEvents(("hs_private:safepoint__*",)),
    "compile": JvmEvents(("hotspot:method__compile__*",)),
    "monitor": JvmEvents(("hotspot:monitor__*",), "ExtendedDTraceProbes", "DTraceMonitorProbes"),
    "thread": JvmEvents(("hotspot:thread__st*",)),
    "class": JvmEvents(("hotspot:class__loaded", "hotspot:class__unloaded")),
    "alloc": JvmEvents(("hotspot:object__alloc",), "ExtendedDTraceProbes", "DTraceAllocProbes"),
    "vmops": JvmEvents(("hotspot:vmops__begin", "hotspot:vmops__end")),
}
# Kinds that make up the pauses of calls.
PAUSES: Final = ("safepoint", "vmops")
