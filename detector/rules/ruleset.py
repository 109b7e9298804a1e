"""All rules together, compiled: which of them match a record, at the least cost.

A record is screened first: only eventName and the fields of the rules that name no eventName are
decoded, for a whole batch in one go. A table look-up then says which rules could match at all;
what else those read is decoded for such records only.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from detector import lenient_json
from detector.envelopes.types import RecordBatch
from detector.events.projection import Projection
from detector.rules.compiler import EVENT_NAME, Matcher, Values, compile_tree, event_names
from detector.rules.loader import load_rules
from detector.rules.rule import Rule
from detector.rules.syntax import Selector, selectors


@dataclass(frozen=True, slots=True)
class _Compiled:
    rule: Rule
    screen: Matcher | None
    """Set where the screened fields are all that the rule reads."""
    full: Matcher


class RuleSet:
    """The rules in force. Immutable: new rules are a new set."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        self.rules: Mapping[str, Rule] = {rule.id: rule for rule in rules}
        names = {rule.id: event_names(rule.tree) for rule in self.rules.values()}
        residual = [rule for rule in self.rules.values() if names[rule.id] is None]
        self._screen = Projection([EVENT_NAME, *_fields(residual)])
        self._full = Projection([EVENT_NAME, *_fields(self.rules.values())])
        self._name_attribute = self._screen.attribute("eventName")
        self._all: list[_Compiled] = []
        self._residual: list[_Compiled] = []
        self._by_name: dict[str, list[_Compiled]] = {}
        for rule in self.rules.values():
            compiled = self._compile(rule)
            self._all.append(compiled)
            rule_names = names[rule.id]
            if rule_names is None:
                self._residual.append(compiled)
            else:
                for name in rule_names:
                    self._by_name.setdefault(name, []).append(compiled)

    @classmethod
    def load(cls, path: str | Path) -> RuleSet:
        """Return the rules of a file or folder.

        Raises:
            RuleError: a rule is wrong; the first one, with its place.
        """
        loaded = load_rules([Path(path)])
        if loaded.errors:
            raise loaded.errors[0]
        return cls(loaded.rules)

    def match(self, event: Mapping[str, Any]) -> list[str]:
        """Return the ids of the rules that match one CloudTrail record."""
        values = self._full.values_of_dict(event)
        name = values[self._full.slots[EVENT_NAME]]
        return [item.rule.id for item in self._candidates(name) if item.full(values)]

    def match_batch(self, batch: RecordBatch) -> BatchMatches:
        """Return which of a batch's records match, and which are no records at all.

        Raises:
            PayloadError: the batch cannot be read as a whole.
        """
        records = batch.decode(self._screen.record_type)
        result = BatchMatches(len(records))
        reader = _BatchReader(batch, records, self._screen, self._full)
        for index, name in self._screened_names(records, result):
            rules = [item.rule for item in self._candidates(name) if reader.matches(item, index)]
            if rules:
                result.matched[index] = rules
        return result

    def _screened_names(
        self, records: Sequence[object], result: BatchMatches
    ) -> Iterator[tuple[int, object]]:
        """Yield the records that some rule could match, with their eventName."""
        by_name = self._by_name
        everything = bool(self._residual)
        attribute = self._name_attribute
        record_type = self._screen.record_type
        for index, record in enumerate(records):
            if record.__class__ is not record_type:
                result.not_records.append(index)
                continue
            name = getattr(record, attribute)
            if name.__class__ is str:
                if everything or name in by_name:
                    yield index, name
            else:
                if name is msgspec.UNSET:
                    result.nameless.append(index)
                yield index, name

    def _candidates(self, name: object) -> Iterable[_Compiled]:
        if isinstance(name, str):
            return [*self._by_name.get(name, ()), *self._residual]
        return self._all  # what a number or an absent name matches is for the rules to say

    def _compile(self, rule: Rule) -> _Compiled:
        fields = set(selectors(rule.tree))
        is_screened = fields <= self._screen.slots.keys()
        return _Compiled(
            rule,
            compile_tree(rule.tree, self._screen.slots) if is_screened else None,
            compile_tree(rule.tree, self._full.slots),
        )


class _BatchReader:
    """The values of one batch's records, each decoded no further than a rule asks."""

    def __init__(
        self, batch: RecordBatch, records: Sequence[Any], screen: Projection, full: Projection
    ) -> None:
        self._batch = batch
        self._records = records
        self._screen = screen
        self._full = full
        self._raw: Sequence[msgspec.Raw] | None = None
        self._index = -1
        self._screened: Values | None = None
        self._values: Values | None = None

    def matches(self, item: _Compiled, index: int) -> bool:
        """Return whether a rule matches a record; records are asked for one after the other."""
        if index != self._index:
            self._index, self._screened, self._values = index, None, None
        if item.screen is not None:
            if self._screened is None:
                self._screened = self._screen.values_of_record(self._records[index])
            return item.screen(self._screened)
        if self._values is None:
            if self._raw is None:
                self._raw = self._batch.raw()
            record = lenient_json.decode(self._full.decoder, self._raw[index])
            self._values = self._full.values_of_record(record)
        return item.full(self._values)


class BatchMatches:
    """What the rules said of one batch, by the records' positions in it."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.matched: dict[int, list[Rule]] = {}
        self.not_records: list[int] = []
        """Positions of what is no JSON object."""
        self.nameless: list[int] = []
        """Positions of records without an eventName: Insights events have none."""


def _fields(rules: Iterable[Rule]) -> Iterator[Selector]:
    for rule in rules:
        yield from selectors(rule.tree)
