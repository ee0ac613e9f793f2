"""Prints what `jcollect find` has found."""

from __future__ import annotations

from typing import Any

from jcollect.cli.output import Json, echo, set_fields
from jcollect.console import plural, status
from jcollect.limits import MAX_SHOWN_NAME
from jcollect.shortened import shortened
from jprobe.v1 import control_pb2

_MAX_REASON = 500
_MAX_SELECTORS = 5
_LAMBDA = "$$Lambda"


def found_json(reply: control_pb2.ControlReply, json: Json) -> dict[str, Any]:
    return {
        "found": [json.message(each) for each in reply.found],
        "has_more": reply.has_more,
        "matching_classes": reply.matching_classes,
        **set_fields({"nothing_found": reply.nothing_found}),
        "took_nanos": json.number(reply.took_nanos),
    }


def echo_found(reply: control_pb2.ControlReply, pattern: str) -> None:
    """Prints one line for each class, and one for each method below its class. Hidden classes that differ
    only in their numbers share a line."""
    loaders: dict[str, set[int]] = {}
    for each in reply.found:
        loaders.setdefault(each.class_name, set()).add(each.class_loader_id)
    above: tuple[str, int] | None = None
    for each in reply.found:
        if _hidden_name(each):
            continue
        name = each.class_name, each.class_loader_id
        if not each.method or name != above:
            echo(_class_line(each, len(loaders[each.class_name]) > 1))
        above = name
        if each.method:
            echo(f"  {_method_line(each)}")
    _echo_hidden(reply)
    if reply.found:
        _print_totals(reply)
        if _may_miss_implementations(reply, pattern):
            status("for the methods that implement abstract ones, write '+' before the class")


def _echo_hidden(reply: control_pb2.ControlReply) -> None:
    hidden: dict[str, list[control_pb2.Found]] = {}
    for each in reply.found:
        if name := _hidden_name(each):
            hidden.setdefault(name, []).append(each)
    for name, group in hidden.items():
        reason = shortened(group[0].reason, _MAX_REASON)
        echo(f"{shortened(name, MAX_SHOWN_NAME)}… ({_classes(len(group))}): cannot be traced: {reason}")


def _hidden_name(found: control_pb2.Found) -> str:
    """Returns the name of a hidden class without the numbers that the JVM adds: com.acme.Orders$$Lambda.
    Empty for other classes."""
    name, slash, _ = found.class_name.partition("/")
    host, is_lambda, _ = name.partition(_LAMBDA)
    return host + is_lambda if slash else ""


def _class_line(found: control_pb2.Found, has_namesakes: bool) -> str:
    line = shortened(found.class_name, MAX_SHOWN_NAME)
    if not found.method and found.kind:
        line = f"{found.kind} {line}"
    if has_namesakes:
        line += f" (class loader {found.class_loader_id})"
    if found.method or not found.reason:
        return line
    return f"{line}: cannot be traced: {shortened(found.reason, _MAX_REASON)}"


def _method_line(found: control_pb2.Found) -> str:
    line = f"{found.kind} " if found.kind else ""
    line += shortened(signature(found), MAX_SHOWN_NAME)
    if found.reason:
        return f"{line}: cannot be traced: {shortened(found.reason, _MAX_REASON)}"
    tracing = [f"'{shortened(each)}'" for each in found.selectors[:_MAX_SELECTORS]]
    more = len(found.selectors) - _MAX_SELECTORS
    tracing += [f"{more:,} more"] if more > 0 else []
    return f"{line}: traced by {' and '.join(tracing)}" if tracing else line


def _print_totals(reply: control_pb2.ControlReply) -> None:
    methods = [each for each in reply.found if each.method]
    untraceable = sum(bool(each.reason) for each in methods)
    classes = len({(each.class_name, each.class_loader_id) for each in reply.found})
    line = f"{plural(len(methods), 'method')} in {_classes(classes)}" if methods else _classes(classes)
    if untraceable:
        line += f"; {untraceable:,} cannot be traced"
    if reply.has_more:
        of_all = _classes(reply.matching_classes)
        line += f"; there may be more, the pattern matches {of_all}: narrow it, or raise --limit"
    status(line)


def _may_miss_implementations(reply: control_pb2.ControlReply, pattern: str) -> bool:
    is_abstract = any(each.reason == "it is abstract" for each in reply.found)
    return is_abstract and not pattern.lstrip().startswith("+")


def _classes(count: int) -> str:
    return "1 class" if count == 1 else f"{count:,} classes"


def signature(found: control_pb2.Found) -> str:
    """Returns the method as a selector can name it, with the names of its arguments: "place(long id)"."""
    types, returned = types_of(found.method_descriptor)
    names = found.arguments
    named = (names[i] if i < len(names) else "" for i in range(len(types)))
    arguments = [f"{kind} {name}".rstrip() for kind, name in zip(types, named, strict=True)]
    after = "" if found.method.startswith("<") else f": {returned}"
    return f"{found.method}({', '.join(arguments)}){after}"


_PRIMITIVES = {
    "B": "byte",
    "C": "char",
    "D": "double",
    "F": "float",
    "I": "int",
    "J": "long",
    "S": "short",
    "V": "void",
    "Z": "boolean",
}


def types_of(descriptor: str) -> tuple[list[str], str]:
    """Returns the argument types and the returned type of a descriptor (JVMS 4.3.3), without packages. A
    malformed one, which the sender may have made up, is returned as it is."""
    types: list[str] = []
    at = 1
    while at < len(descriptor) and descriptor[at] != ")":
        kind, at = _type(descriptor, at)
        types.append(kind)
    if not descriptor.startswith("(") or at >= len(descriptor):
        return [], descriptor
    return types, _type(descriptor, at + 1)[0]


def _type(descriptor: str, at: int) -> tuple[str, int]:
    """Returns the type that begins there, and the position after it."""
    dimensions = 0
    while at < len(descriptor) and descriptor[at] == "[":
        at += 1
        dimensions += 1
    if at >= len(descriptor):
        return "?", at
    end = at + 1
    if descriptor[at] == "L":
        end = descriptor.find(";", at) + 1 or len(descriptor)
        name = descriptor[at + 1 : end].rstrip(";").rpartition("/")[2]
    else:
        name = _PRIMITIVES.get(descriptor[at], "?")
    return name + "[]" * min(dimensions, 255), end
