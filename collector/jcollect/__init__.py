"""jcollect: finds the probes of a traced JVM, attaches to them, streams their events over gRPC.

Packages import only from packages to their right: commands → cli → rpc → sinks → session → view → hub →
sources → control → probes → procfs. All may import the modules of this package.

Programs import the client from here: jcollect.Client and jcollect.AsyncClient (docs/clients.md). It is
loaded when it is first used, because the commands must not pay for it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jcollect.errors import JcollectError as JcollectError
    from jcollect.rpc.public.async_client import AsyncClient as AsyncClient
    from jcollect.rpc.public.batch import Batch as Batch
    from jcollect.rpc.public.client import Client as Client
    from jcollect.rpc.public.event import Event as Event
    from jcollect.rpc.public.event import Missing as Missing
    from jcollect.rpc.public.event import ObjectText as ObjectText
    from jcollect.rpc.public.event import TruncatedText as TruncatedText
    from jcollect.rpc.public.interval import Interval as Interval
    from jcollect.rpc.public.items import Cursor as Cursor
    from jcollect.rpc.public.items import Gap as Gap
    from jcollect.rpc.public.items import GapReason as GapReason
    from jcollect.rpc.public.items import Lost as Lost
    from jcollect.rpc.public.items import Reconnect as Reconnect
    from jcollect.rpc.public.probe import Probe as Probe

__version__ = "0.1.0"

_MODULES = {
    "errors": ("JcollectError",),
    "rpc.public.async_client": ("AsyncClient",),
    "rpc.public.batch": ("Batch",),
    "rpc.public.client": ("Client",),
    "rpc.public.event": ("Event", "Missing", "ObjectText", "TruncatedText"),
    "rpc.public.interval": ("Interval",),
    "rpc.public.items": ("Cursor", "Gap", "GapReason", "Lost", "Reconnect"),
    "rpc.public.probe": ("Probe",),
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'jcollect' has no attribute '{name}'")
    found = getattr(importlib.import_module(f"jcollect.{_HOMES[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
