"""Cases of the filter-pattern language: AWS's own examples, and others' readings of them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from detector.errors import PatternError
from detector.rules.filter_pattern import parse_filter_pattern
from tests.unit.verdict import tree_holds

pytestmark = pytest.mark.conformance

DECISIONS = {
    "fp072": (
        "the guide of 2018 reads a * in the middle of a value literally; the live service took it"
        " for a wildcard in 2026 (azul PR 8228, our vector V36), and so do we"
    ),
}
"""Cases that we answer otherwise than they say, and why. Every other case must come out right."""

RIGHT = {"match": "holds", "no-match": "fails", "reject": "refused"}


@dataclass(frozen=True)
class Case:
    """A pattern, a message if there is one, and what should come of them."""

    id: str
    pattern: str
    message: str | None
    expected: str


@pytest.fixture(scope="module")
def vectors(reference: Path) -> list[Case]:
    items = json.loads((reference / "spec" / "filter-pattern-vectors.json").read_text())
    return [Case(it["id"], it["pattern"], it["event"], RIGHT[it["expect"]]) for it in items]


@pytest.fixture(scope="module")
def documented(reference: Path) -> list[Case]:
    words = {True: "holds", False: "fails", "parse_error": "refused", "parse_ok": "understood"}
    lines = (reference / "data" / "filter-pattern-cases.jsonl").read_text().splitlines()
    items = map(json.loads, lines)
    return [Case(it["id"], it["pattern"], it["message"], words[it["expected"]]) for it in items]


def outcome(case: Case) -> str:
    """Return what comes of a case; the oracle and all ways into the engine must agree on it."""
    try:
        tree = parse_filter_pattern(case.pattern)
    except PatternError as error:
        assert 0 <= error.offset <= len(case.pattern)
        return "refused"
    if case.message is None:
        return "understood"
    record = record_of(case.message)
    if record is None and case.pattern.lstrip().startswith("{"):
        return "fails"  # what is no JSON object is no record, and never comes before a rule
    return "holds" if tree_holds(tree, record or {}, case.message) else "fails"


def record_of(message: str) -> dict[str, Any] | None:
    try:
        found = json.loads(message)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def disagreements(cases: list[Case]) -> dict[str, str]:
    found = {case.id: (case, outcome(case)) for case in cases}
    assert len(found) == len(cases)
    return {
        identity: f"{case.pattern} on {case.message}: {result}, not {case.expected}"
        for identity, (case, result) in found.items()
        if result != case.expected
    }


def test_all_98_vectors_of_our_own_specification_come_out_right(vectors: list[Case]) -> None:
    assert len(vectors) == 98
    assert disagreements(vectors) == {}


def test_all_261_cases_come_out_right_but_for_what_was_decided(documented: list[Case]) -> None:
    assert len(documented) == 261
    assert disagreements(documented).keys() == DECISIONS.keys()


def test_every_kind_of_outcome_occurs_often(vectors: list[Case], documented: list[Case]) -> None:
    outcomes = [case.expected for case in vectors + documented]
    counts = {word: outcomes.count(word) for word in set(outcomes)}
    assert counts == {"holds": 176, "fails": 97, "refused": 40, "understood": 46}
