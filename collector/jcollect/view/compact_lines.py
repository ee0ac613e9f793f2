"""The compact line of an event, for people: docs/event-format.md."""

from __future__ import annotations

from jcollect.printable import printable, quoted_text
from jcollect.probes.description import Described
from jcollect.probes.probe import ENTRY, KIND_NAMES, MARK, THROW
from jcollect.view.formats import location_text
from jcollect.view.plan import Plan, PlanBuilder, shown_of
from jcollect.view.shortening import name_in_event
from jcollect.view.stack_text import short_stack
from jcollect.view.texts import Remembered
from jcollect.view.values import ValueFormat, class_name, prefix_of, render_of
from jprobe.v1 import probe_pb2

_STRING = probe_pb2.VALUE_TYPE_STRING


class CompactLines:
    """Formats an event for people, escaped for a terminal: UTC time of day, thread, method, kind and
    values."""

    second = "%H:%M:%S"

    def __init__(self, columns: int | None = None) -> None:
        """On a terminal with that many `columns`, names of methods are shortened."""
        self._columns = columns
        self.values = ValueFormat(
            null="null",
            unreadable="<unreadable>",
            absent_null="<absent: null>",
            absent_exception="<absent: exception>",
            unknown="<unknown>",
            truncated="…",
            reference=lambda java_type: f"{printable(java_type)}@",
            reference_end="",
            char=lambda text: f"'{printable(text)}'",
            not_finite=str,
            string=Remembered(quoted_text, escapes_quotes=True),
            class_name=Remembered(printable, escapes_quotes=False, quote=""),
            stack=short_stack,
            no_stack="<absent: not kept>",
        )

    def plan(self, probe: Described) -> Plan | None:
        """Returns the line of a probe's events; None if only a later version knows its kind."""
        if probe.kind not in KIND_NAMES:
            return None
        shown = shown_of(probe)
        line = PlanBuilder(shown.absence)
        line.column("second", "%s").text(".").column("micros", "%06d").text(" ")
        line.column("tid", "%d").text("/").column("thread", "%d").text(" ")
        line.constant(name_in_event(printable(location_text(probe)), self._columns))
        if probe.kind != MARK:
            line.text(f" {KIND_NAMES[probe.kind]}")
        if probe.kind in (ENTRY, MARK):
            line.text(" (")
            between = ""
            for index in shown.own:
                self._add_value(line.text(between), probe, index)
                between = ", "
            for name, index in shown.captures.items():
                self._add_value(line.text(between).constant(f"{printable(name)}="), probe, index)
                between = ", "
            return line.text(")").build()
        line.text(" ").column("duration", "%s")
        for index in shown.own:
            self._add_value(line.text(" "), probe, index)
        for name, index in shown.captures.items():
            self._add_value(line.text(" ").constant(f"{printable(name)}="), probe, index)
        return line.column("explained", "%s").build()

    def _add_value(self, line: PlanBuilder, probe: Described, index: int) -> None:
        value = probe.values[index]
        render = render_of(value, self.values)
        if probe.kind == THROW and not value.path and value.type == _STRING:
            render = class_name
        line.value(index, render, prefix_of(value, probe.pid, self.values))
