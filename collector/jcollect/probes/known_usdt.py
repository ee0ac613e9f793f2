"""The meaning of the arguments of well-known USDT probes, which their notes do not tell.

Sources: hotspot.d and hs_private.d in the sources of OpenJDK, and CPython's Doc/howto/instrumentation.rst.
"""

from __future__ import annotations

from typing import Final, NamedTuple

# A string, whose length is the argument after its address; and one that ends with a NUL.
LENGTH_STRING, STRING, NUMBER = "text", "string", "number"


class Argument(NamedTuple):
    """A name, and LENGTH_STRING, STRING or NUMBER."""

    name: str
    kind: str = NUMBER

    @property
    def operands(self) -> int:
        """Number of arguments of the note that belong to it."""
        return 2 if self.kind == LENGTH_STRING else 1


def _arguments(text: str) -> tuple[Argument, ...]:
    """Returns arguments given as "name:text thread_id"."""
    pairs = (word.partition(":") for word in text.split())
    return tuple(Argument(name, kind or NUMBER) for name, _, kind in pairs)


_METHOD: Final = "class:text method:text descriptor:text"
_CLASS: Final = "class:text loader_id shared"
_INITIALIZED: Final = "class:text loader_id thread_type"
_MONITOR: Final = "thread_id monitor_id class:text"
_POOL: Final = "manager:text pool:text initial used committed maximum"
_THREAD: Final = "name:text thread_id native_id daemon"
_VM_OPERATION: Final = "operation:text mode"
_HOTSPOT: Final = {
    "gc__begin": "full",
    "gc__end": "",
    "mem__pool__gc__begin": _POOL,
    "mem__pool__gc__end": _POOL,
    "method__compile__begin": f"compiler:text {_METHOD}",
    "method__compile__end": f"compiler:text {_METHOD} success",
    "compiled__method__load": f"{_METHOD} code size",
    "compiled__method__unload": _METHOD,
    "method__entry": f"thread_id {_METHOD}",
    "method__return": f"thread_id {_METHOD}",
    "object__alloc": "thread_id class:text bytes",
    "monitor__contended__enter": _MONITOR,
    "monitor__contended__entered": _MONITOR,
    "monitor__contended__exit": _MONITOR,
    "monitor__notify": _MONITOR,
    "monitor__notifyAll": _MONITOR,
    "monitor__wait": f"{_MONITOR} millis",
    "monitor__waited": _MONITOR,
    "thread__start": _THREAD,
    "thread__stop": _THREAD,
    "thread__sleep__begin": "nanos",
    "thread__sleep__end": "interrupted",
    "thread__park__begin": "parker absolute time",
    "thread__park__end": "parker",
    "thread__unpark": "parker",
    "class__loaded": _CLASS,
    "class__unloaded": _CLASS,
    "class__initialization__required": _INITIALIZED,
    **{
        f"class__initialization__{what}": f"{_INITIALIZED} wait"
        for what in ("recursive", "concurrent", "erroneous", "super__failed", "clinit", "error", "end")
    },
    "vmops__request": _VM_OPERATION,
    "vmops__begin": _VM_OPERATION,
    "vmops__end": _VM_OPERATION,
}
_FUNCTION: Final = "file:string function:string line"
_PYTHON: Final = {
    "function__entry": _FUNCTION,
    "function__return": _FUNCTION,
    "line": _FUNCTION,
    "gc__start": "generation",
    "gc__done": "collected",
    "import__find__load__start": "module:string",
    "import__find__load__done": "module:string found",
    "audit": "event:string tuple",
}
_KNOWN: Final = {
    (provider, name): _arguments(text)
    for provider, probes in (("hotspot", _HOTSPOT), ("python", _PYTHON))
    for name, text in probes.items()
}


def known_arguments(provider: str, name: str, count: int) -> tuple[Argument, ...] | None:
    """Returns the arguments of a probe whose note has `count`; None if they are not known."""
    known = _KNOWN.get((provider, name))
    if known is None or sum(argument.operands for argument in known) != count:
        return None
    return known
