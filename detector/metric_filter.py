"""What a CloudWatch metric filter makes of log messages: TestMetricFilter, offline.

Source for the answer's form: Amazon CloudWatch Logs API Reference, "TestMetricFilter". It shows
event numbers from 0; the service counts them from 1, and so does this.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from detector import lenient_json
from detector.rules.explain import json_text
from detector.rules.filter_pattern import parse_filter_pattern
from detector.rules.oracle import selected
from detector.rules.rule import Rule, RuleFile
from detector.rules.ruleset import RuleSet
from detector.rules.syntax import ALWAYS, Columns, selectors
from detector.rules.values import columns_of, is_number, number_text


@dataclass(frozen=True, slots=True)
class MetricFilterMatch:
    """A message that matches; its number counts all messages, from 1.

    `values` are by selector for a JSON pattern (`$.eventName`), by column for a pattern of columns
    (`$name`, and `$4` for the fourth where a `...` stands), and empty for terms.
    """

    number: int
    message: str
    values: dict[str, str]

    def as_json(self) -> dict[str, object]:
        """Return the match as TestMetricFilter does."""
        return {
            "eventNumber": self.number,
            "eventMessage": self.message,
            "extractedValues": self.values,
        }


class MetricFilter:
    """A filter pattern, compiled as a rule's pattern is."""

    def __init__(self, pattern: str) -> None:
        """Compile a pattern.

        Raises:
            PatternError: the text is no pattern.
        """
        self._tree = parse_filter_pattern(pattern)
        self._is_json = pattern.lstrip().startswith("{")
        file = RuleFile(title="metric filter", pattern=pattern)
        self._rules = RuleSet([Rule(file, self._tree, (), "metric filter")])

    def matches(self, messages: Iterable[str]) -> Iterator[MetricFilterMatch]:
        """Yield the matches among messages."""
        for number, message in enumerate(messages, 1):
            record = _record(message) if self._is_json else {}
            if record is not None and self._rules.match(record, message):
                yield MetricFilterMatch(number, message, self._values(record, message))

    def _values(self, record: dict[str, Any], message: str) -> dict[str, str]:
        if isinstance(self._tree, Columns):
            return _column_values(message, self._tree)
        values = {}
        for selector in selectors(self._tree):
            found = selected(record, selector)
            if found:
                values[str(selector)] = _text(found if selector.wildcards else found[0])
        return values


def _record(message: str) -> dict[str, Any] | None:
    """Return the JSON object that a message is, or None where it is something else."""
    try:
        return lenient_json.decode(_OBJECT, message.encode("utf-8", "replace"))
    except (msgspec.DecodeError, RecursionError):
        return None


_OBJECT = msgspec.json.Decoder(dict[str, Any])


def _column_values(message: str, columns: Columns) -> dict[str, str]:
    named = columns_of(message, columns) or {}
    if None not in columns.names:
        return {f"${name}": value for name, value in named.items()}
    words = _words(message)
    start = columns.names.index(None)
    end = len(words) - (len(columns.names) - start - 1)
    names = [
        *columns.names[:start],
        *(str(position + 1) for position in range(start, end)),
        *columns.names[start + 1 :],
    ]
    return {f"${name}": word for name, word in zip(names, words, strict=True)}


def _words(message: str) -> list[str]:
    """Return all columns of a line, as many as it has."""

    def first(count: int) -> dict[str, str] | None:
        names = [str(position) for position in range(count)]
        return columns_of(message, Columns((*names, None), ALWAYS))

    counts = range(1, len(message) + 1)
    return [*(first(bisect(counts, False, key=lambda count: first(count) is None)) or {}).values()]


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    return number_text(value) if is_number(value) else json_text(value)
