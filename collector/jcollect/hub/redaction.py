"""Removes secrets from captured strings before events are published: no subscriber, file or terminal gets
them.

Conditions of subscriptions see the redacted values too, so that nobody can guess a secret with a filter.
The traced program chooses the strings. So RE2 matches the patterns, in linear time, and each process has a
limited share of the time of the thread that reads all events: beyond it, its strings are replaced as a whole.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
import numpy.typing as npt
import re2

from jcollect.console import warn
from jcollect.errors import InvalidCommandError
from jcollect.hub.redaction_rules import RedactionRules
from jcollect.hub.secrets import CARD_PATTERN, SECRET_NAMES, SECRET_PATTERNS, is_card
from jcollect.probes.description import Described
from jcollect.sources.columns import U64, Batch
from jprobe.v1 import probe_pb2

_LENGTH = np.uint64(0xFFFFFFFF)
_MARK = "***"
# Strings that occur again need not be matched again.
_REMEMBERED = 65_536
# Replacing each match costs a call of Python: a string with more matches is replaced as a whole.
_MOST_MATCHES = 32
# Share of a CPU that the strings of one process may take, and the time in s that it can save up.
_SHARE, _SAVED_SECONDS = 0.2, 0.5
# Maximum number of processes that are reported.
_MOST_REPORTED = 100
_Positions = npt.NDArray[np.int64]


class _Time:
    """The time that the strings of one process may still take, in s: at most what is saved up."""

    def __init__(self) -> None:
        self._left = _SAVED_SECONDS
        self._at = time.perf_counter()

    def has_some(self, now: float) -> bool:
        self._left = min(_SAVED_SECONDS, self._left + _SHARE * (now - self._at))
        self._at = now
        return self._left > 0

    def spend(self, seconds: float) -> None:
        self._left -= seconds


class Redaction:
    """Applies rules to batches, in the reader's thread. `describe` may run in another one."""

    def __init__(self, rules: RedactionRules) -> None:
        """Raises InvalidCommandError if a pattern is malformed."""
        # Each with what it keeps of a match.
        self._patterns: list[tuple[Any, Callable[[Any], str]]] = [
            (_compiled(pattern), lambda _: _MARK) for pattern in rules.patterns
        ]
        self._types = rules.types
        self._names: list[Any] = []
        every = list(rules.patterns)
        if rules.secrets:
            self._names = [_compiled(pattern) for pattern in SECRET_NAMES]
            self._patterns += [(_compiled(pattern), _keep_groups) for pattern in SECRET_PATTERNS]
            self._patterns.append((_compiled(CARD_PATTERN), _card))
            every += [*SECRET_PATTERNS, CARD_PATTERN]
        # Most strings match none: one search then instead of one for each pattern.
        self._any = _compiled("|".join(f"(?:{pattern})" for pattern in every)) if every else None
        self._redacted: dict[bytes, bytes] = {}
        # By probe ID: the indices of its strings, those that are replaced as a whole, and its process.
        self._strings: dict[int, tuple[_Positions, frozenset[int], int]] = {}
        self._times: dict[int, _Time] = {}
        self._reported: set[int] = set()

    def describe(self, probes: Sequence[Described]) -> None:
        """Takes note of probes before their first events."""
        for probe in probes:
            strings = [
                at for at, value in enumerate(probe.values) if value.type == probe_pb2.VALUE_TYPE_STRING
            ]
            whole = frozenset(at for at in strings if self._is_whole(probe, probe.values[at]))
            self._strings[probe.id] = (np.array(strings, np.int64), whole, probe.pid)

    def _is_whole(self, probe: Described, value: probe_pb2.Value) -> bool:
        if any(fnmatchcase(value.java_type, glob) for glob in self._types):
            return True
        names = {value.name, value.path.removesuffix("()").rpartition(".")[2]}
        if value.name == "return":
            names.add(probe.method)
        return any(pattern.fullmatch(name) for pattern in self._names for name in names if name)

    def apply(self, batch: Batch) -> Batch:
        """Returns the batch with redacted strings."""
        if not batch.columns.text:
            return batch
        positions, events, whole, pids = self._found(batch)
        words = batch.columns.values
        lengths = (words[positions] & _LENGTH).astype(np.int64)
        ends = np.cumsum(lengths)
        text = batch.columns.text
        parts = [text[a:b] for a, b in zip((ends - lengths).tolist(), ends.tolist(), strict=True)]
        kept = [
            _all_of(part) if is_whole else self._remembered(part, pid)
            for part, is_whole, pid in zip(parts, whole, pids, strict=True)
        ]
        if kept == parts:
            return batch
        return _with_texts(batch, positions, events, kept)

    def _found(self, batch: Batch) -> tuple[_Positions, _Positions, list[bool], list[int]]:
        """Returns the indices of all strings in `values`, in order, those of their events, whether they are
        replaced as a whole, and their processes."""
        counts = batch.value_counts.astype(np.int64)
        starts = np.cumsum(counts) - counts
        probes = batch.columns.probe
        positions, owners, flags, pids = [], [], [], []
        for probe in np.unique(probes).tolist():
            strings, whole, pid = self._strings[probe]
            events = np.flatnonzero(probes == probe)
            positions.append((starts[events, None] + strings).ravel())
            owners.append(np.repeat(events, len(strings)))
            flags.append(np.tile([at in whole for at in strings.tolist()], len(events)).astype(np.bool_))
            pids.append(np.full(len(events) * len(strings), pid, np.int64))
        every = np.concatenate(positions)
        order = np.argsort(every, kind="stable")
        return (
            every[order],
            np.concatenate(owners)[order],
            np.concatenate(flags)[order].tolist(),
            np.concatenate(pids)[order].tolist(),
        )

    def _remembered(self, content: bytes, pid: int) -> bytes:
        """Returns a redacted string of a process, which pays for the time if the string is new."""
        if not content or self._any is None:
            return content
        known = self._redacted.get(content)
        if known is not None:
            return known
        spent = self._times.get(pid)
        if spent is None:
            spent = self._times[pid] = _Time()
        begun = time.perf_counter()
        if not spent.has_some(begun):
            self._report(pid)
            return _all_of(content)
        redacted = self._replaced(content)
        if len(self._redacted) >= _REMEMBERED:
            self._redacted.clear()
        self._redacted[content] = redacted
        spent.spend(time.perf_counter() - begun)
        return redacted

    def _report(self, pid: int) -> None:
        if pid not in self._reported and len(self._reported) < _MOST_REPORTED:
            self._reported.add(pid)
            warn(
                f"strings of PID {pid} are replaced as a whole from time to time: they are too many to be "
                "searched for secrets; capture fewer strings"
            )

    def _replaced(self, content: bytes) -> bytes:
        """Returns a string without what the patterns match, never longer than it was."""
        assert self._any is not None
        text = content.decode(errors="replace")
        if not self._any.search(text):
            return content
        result = text
        for pattern, kept in self._patterns:
            if pattern.search(result):
                result, matches = pattern.subn(kept, result, _MOST_MATCHES)
                if matches == _MOST_MATCHES:
                    return _all_of(content)
        if result == text:
            return content
        redacted = result.encode()
        return redacted if len(redacted) <= len(content) else _all_of(content)


def _with_texts(batch: Batch, positions: _Positions, events: _Positions, texts: list[bytes]) -> Batch:
    """Returns the batch with other texts of its strings, none longer than before."""
    lengths = np.array([len(each) for each in texts], np.uint64)
    values: U64 = batch.columns.values.copy()
    values[positions] = (values[positions] & ~_LENGTH) | lengths
    sizes = np.bincount(events, weights=lengths, minlength=len(batch)).astype(np.uint32)
    return replace(
        batch, columns=replace(batch.columns, values=values, text=b"".join(texts)), text_sizes=sizes
    )


def _all_of(content: bytes) -> bytes:
    return _MARK.encode()[: len(content)]


def _keep_groups(match: Any) -> str:
    return "".join(match.groups()) + _MARK


def _card(match: Any) -> str:
    found: str = match.group()
    return _MARK if is_card(found) else found


def _compiled(pattern: str) -> Any:
    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        reason = error.args[0].decode(errors="replace") if error.args else "it is malformed"
        raise InvalidCommandError(
            f"cannot redact by '{pattern}': {reason}; the syntax is that of RE2, without look-around and "
            "back-references"
        ) from None
