"""Texts of the values of events, for people."""

from __future__ import annotations

from jcollect.printable import printable, quoted_text
from jcollect.rpc.public.event import Event, Missing, ObjectText, TruncatedText, Value
from jcollect.view.stack_text import short_frame

# A captured path that has the message of an exception: `exception.message` and other spellings of it.
_MESSAGES = frozenset(("exception.message", "exception.message()", "exception.getMessage()"))
_MOST_CHARACTERS = 200


def value_text(value: Value, most: int = _MOST_CHARACTERS) -> str:
    """Returns the printable text of a value, as the compact line has it, with at most so many characters."""
    if value is None:
        return "null"
    if isinstance(value, Missing):
        return f"<{value.value}>"
    if isinstance(value, tuple):
        return shortened(printable(" < ".join(map(short_frame, value))), most)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, ObjectText):
        return shortened(printable(value), most)
    if isinstance(value, str):
        cut = "…" if isinstance(value, TruncatedText) or len(value) > most else ""
        return quoted_text(value[:most]) + cut
    return str(value)


def shortened(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most]}…"


def exception_class(event: Event) -> str:
    """Returns the class of the exception of a throw event; empty for other events."""
    if event.probe.kind != "throw":
        return ""
    for value in event.probe.values:
        if not value.path:
            found = event.values.get(value.name)
            return found if isinstance(found, str) else ""
    return ""


def exception_message(event: Event) -> Value:
    """Returns the message of the exception, if the probe captures it; otherwise Missing.UNKNOWN."""
    for value in event.probe.values:
        if value.path in _MESSAGES:
            return event.values.get(value.name)
    return Missing.UNKNOWN


def stack_of(event: Event) -> tuple[str, ...]:
    """Returns the frames of the captured stack, the innermost first; none if there is no stack."""
    return next((each for each in event.values.values() if isinstance(each, tuple)), ())


def outcome_text(event: Event, with_values: bool = False) -> str:
    """Returns how a call ended: the exception and its message, and all values if asked for."""
    parts = []
    message = exception_message(event)
    if event.probe.kind == "throw":
        name = printable(exception_class(event)) or "an exception"
        known = isinstance(message, str)
        parts.append(f"{name}: {shortened(printable(str(message)), _MOST_CHARACTERS)}" if known else name)
    if with_values:
        for value in event.probe.values:
            if (
                isinstance(event.values.get(value.name), tuple)
                or value.path in _MESSAGES
                or (event.probe.kind == "throw" and not value.path)
            ):
                continue
            parts.append(f"{printable(value.name)}={value_text(event.values.get(value.name))}")
    return " ".join(parts)
