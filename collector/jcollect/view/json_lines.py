"""The JSON line of an event: docs/event-format.md."""

from __future__ import annotations

from jcollect.printable import json_string
from jcollect.probes.description import Described
from jcollect.probes.probe import ENTRY, KIND_NAMES, MARK, THROW
from jcollect.view.plan import Plan, PlanBuilder, shown_of
from jcollect.view.texts import Remembered
from jcollect.view.values import ValueFormat, prefix_of, render_of


class JsonLines:
    """Formats an event as a JSON object with keys in a fixed order, without a line feed."""

    second = "%Y-%m-%dT%H:%M:%S"

    def __init__(self, quotes_64_bits: bool = False) -> None:
        """With `quotes_64_bits`, 64-bit numbers are strings."""
        self._number = '"%d"' if quotes_64_bits else "%d"
        self._explanation = "explain_strings" if quotes_64_bits else "explain"
        string = Remembered(json_string, escapes_quotes=True)
        self.values = ValueFormat(
            null="null",
            unreadable='{"unreadable":true}',
            absent_null='{"absent":"null"}',
            absent_exception='{"absent":"exception"}',
            unknown='{"unknown":true}',
            truncated="",
            reference=lambda java_type: f"{json_string(java_type)[:-1]}@",
            reference_end='"',
            char=json_string,
            not_finite=json_string,
            string=string,
            class_name=string,
            quotes_64_bits=quotes_64_bits,
            stack=lambda stack: f"[{','.join(map(json_string, stack.frames))}]",
            no_stack='{"absent":"not kept"}',
        )

    def plan(self, probe: Described) -> Plan | None:
        """Returns the line of a probe's events; None if only a later version knows its kind."""
        kind = KIND_NAMES.get(probe.kind)
        if kind is None:
            return None
        shown = shown_of(probe)
        line = PlanBuilder(shown.absence)
        line.text('{"time":"').column("second", "%s").text(".").column("nanos", "%09d")
        line.constant(f'Z","pid":{probe.pid},"tid":').column("tid", "%d")
        line.text(',"thread":').column("thread", self._number)
        line.constant(
            f',"probe":{json_string(f"{probe.provider}:{probe.name}")},"class":{json_string(probe.class_name)}'
            f',"method":{json_string(probe.method)},"descriptor":{json_string(probe.method_descriptor)}'
        ).text(f',"kind":"{kind}"')
        if probe.kind in (ENTRY, MARK):
            self._add_arguments(line, probe, shown.own)
        else:
            line.text(',"duration_ns":').column("duration_nanos", self._number)
            line.text(',"start_unix_nanos":').column("start_unix_nanos", self._number)
            self._add_result(line, probe, shown.own)
        if shown.captures:
            self._add_captures(line, probe, shown.captures)
        if probe.kind not in (ENTRY, MARK):
            line.column(self._explanation, "%s")
        return line.text(',"seq":').column("seq", self._number).text("}").build()

    def _add_arguments(self, line: PlanBuilder, probe: Described, indices: tuple[int, ...]) -> None:
        line.text(',"args":[')
        for number, index in enumerate(indices):
            self._add_value(line.text("," if number else ""), probe, index)
        line.text("]").cut("args_cut", indices, [str(number) for number in range(len(indices))])

    def _add_result(self, line: PlanBuilder, probe: Described, indices: tuple[int, ...]) -> None:
        key = "exception" if probe.kind == THROW else "value"
        for index in indices:
            self._add_value(line.text(f',"{key}":'), probe, index)
            line.cut(f"{key}_cut", indices, None)
        if not indices and probe.method_descriptor.endswith(")V"):
            line.text(f',"{key}":null')

    def _add_captures(self, line: PlanBuilder, probe: Described, captures: dict[str, int]) -> None:
        line.text(',"captures":{')
        for number, (name, index) in enumerate(captures.items()):
            line.text("," if number else "").constant(f"{json_string(name)}:")
            self._add_value(line, probe, index)
        line.text("}").cut("captures_cut", tuple(captures.values()), [json_string(name) for name in captures])

    def _add_value(self, line: PlanBuilder, probe: Described, index: int) -> None:
        value = probe.values[index]
        line.value(index, render_of(value, self.values), prefix_of(value, probe.pid, self.values))
