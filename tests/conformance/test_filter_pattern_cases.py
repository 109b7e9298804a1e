"""Cases of the filter-pattern language: what is understood is right, and the rest is refused."""

import json
from pathlib import Path
from typing import Any

import pytest

from detector.errors import PatternError
from detector.events.projection import Projection
from detector.rules.compiler import compile_tree
from detector.rules.filter_pattern import parse_filter_pattern
from detector.rules.syntax import Node, selectors

pytestmark = pytest.mark.conformance


def parsed(pattern: str) -> Node | None:
    try:
        return parse_filter_pattern(pattern)
    except PatternError:
        return None


def holds(tree: Node, event: Any) -> bool:
    projection = Projection(selectors(tree))
    return compile_tree(tree, projection.slots)(projection.values_of_dict(event))


def wrong_verdicts(cases: list[tuple[str, str, str, bool]]) -> tuple[int, list[str]]:
    """Return how many cases were understood, and which of those came out wrong."""
    understood = 0
    wrong = []
    for name, pattern, event, expected in cases:
        tree = parsed(pattern)
        if tree is not None:
            understood += 1
            if holds(tree, json.loads(event)) != expected:
                wrong.append(f"{name}: {pattern} on {event}")
    return understood, wrong


def test_the_vectors_of_the_specification_come_out_right(reference: Path) -> None:
    vectors = json.loads((reference / "spec" / "filter-pattern-vectors.json").read_text())
    cases = [
        (item["id"], item["pattern"], item["event"], item["expect"] == "match")
        for item in vectors
        if item["expect"] != "reject" and item["event"].startswith("{")  # records are JSON
    ]
    understood, wrong = wrong_verdicts(cases)
    assert wrong == []
    assert understood >= 30
    refused = [item["pattern"] for item in vectors if item["expect"] == "reject"]
    assert [pattern for pattern in refused if parsed(pattern) is not None] == []


MIDDLE_STAR = "fp072"
"""The oldest edition of the documentation reads a `*` in the middle of a value literally; the live
service takes it for a wildcard."""


def test_the_documentations_cases_come_out_right(reference: Path) -> None:
    lines = (reference / "data" / "filter-pattern-cases.jsonl").read_text().splitlines()
    documented = [
        item
        for item in map(json.loads, lines)
        if (item["kind"], item["authority"]) == ("json", "aws_doc") and item["id"] != MIDDLE_STAR
    ]
    cases = [
        (item["id"], item["pattern"], item["message"], item["expected"])
        for item in documented
        if isinstance(item["expected"], bool)
    ]
    understood, wrong = wrong_verdicts(cases)
    assert wrong == []
    assert understood >= 10
