"""What rules say of a record: the oracle's word, once all ways into the engine say the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from detector.envelopes.log_file import LogFile
from detector.rules.filter_pattern import parse_filter_pattern
from detector.rules.oracle import holds
from detector.rules.rule import Rule
from detector.rules.ruleset import RuleSet
from detector.rules.syntax import Node
from detector.rules.values import record_text
from tests.rules import rule_of_tree


def pattern_holds(pattern: str, event: Mapping[str, Any], text: str | None = None) -> bool:
    """Return whether a filter pattern matches a record."""
    return tree_holds(parse_filter_pattern(pattern), event, text)


def tree_holds(tree: Node, event: Mapping[str, Any], text: str | None = None) -> bool:
    """Return whether a tree holds for a record; `text` need not be the record's JSON."""
    expected = holds(tree, event, record_text(event) if text is None else text)
    rules = RuleSet([rule_of_tree(tree, "r")])
    assert bool(rules.match(event, text)) is expected
    if text is None or _is_json_of(text, event):
        document = record_text(event) if text is None else text
        found = rules.match_batch(log_file_of([document]))
        assert found.unreadable == {}
        assert bool(found.matched) is expected
    return expected


def ids_of_batch(rules: RuleSet, texts: Sequence[str]) -> list[list[str]]:
    """Return the ids of the rules that match each record of a log file of these JSON texts."""
    found = rules.match_batch(log_file_of(texts))
    assert (found.count, found.not_records, found.unreadable) == (len(texts), [], {})
    return [[rule.id for rule in found.matched.get(index, ())] for index in range(len(texts))]


def ids_by_oracle(rules: Sequence[Rule], event: Mapping[str, Any], text: str) -> list[str]:
    """Return the ids of the rules that hold of a record, by the oracle."""
    return [rule.id for rule in rules if holds(rule.tree, event, text)]


def log_file_of(texts: Sequence[str]) -> LogFile:
    """Return a log file of records that are JSON texts, as they are."""
    return LogFile(('{"Records": [' + " , ".join(texts) + "]}").encode())


def _is_json_of(text: str, event: Mapping[str, Any]) -> bool:
    try:
        return bool(msgspec.json.decode(text) == event)
    except (msgspec.DecodeError, RecursionError):
        return False
