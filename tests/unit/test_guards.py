"""A rule that holds is always a candidate, whatever a record's fields hold."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.events.projection import Column, column_value
from detector.rules import guards
from detector.rules.filter_pattern import parse_filter_pattern
from detector.rules.guards import Atom, Classifier, guard_of
from detector.rules.oracle import holds
from detector.rules.ruleset import RuleSet
from detector.rules.syntax import (
    ALWAYS,
    NEVER,
    And,
    Condition,
    Glob,
    InText,
    Like,
    Node,
    Not,
    Selector,
    Test,
)
from tests.rules import rule_of_tree
from tests.strategies import (
    cloudwatch_tests,
    documents,
    examples,
    fewer,
    forests,
    names,
    scalars,
    sigma_tests,
    values,
)

tests_of_any_language = st.one_of(cloudwatch_tests, sigma_tests)
found_values = st.lists(st.one_of(fewer, names, scalars, values), min_size=1, max_size=8)
A = Selector(("a",))


def is_candidate(tree: Node, record: dict[str, Any]) -> bool:
    guard = guard_of(tree)
    if guard is None:
        return True
    return any(
        Classifier([(atom, 0)]).candidates(column_value(record, atom.names)) for atom in guard.atoms
    )


AS_THEY_ARE = Column(lambda value: value, True, list)


@examples(500)
@given(forests, documents())
def test_a_tree_that_holds_is_a_candidate(forest: list[Node], text: str) -> None:
    record = msgspec.json.decode(text)
    for tree in forest:
        if holds(tree, record, text):
            assert is_candidate(tree, record)
        if not holds(tree, record, text):
            assert is_candidate(Not(tree), record)


@examples(1000)
@given(st.lists(st.tuples(tests_of_any_language, st.booleans()), max_size=6), found_values)
def test_a_value_that_satisfies_a_test_makes_its_rules_candidates(
    tests: list[tuple[Test, bool]], found: list[object]
) -> None:
    atoms = [(Atom(("a",), test, negated), at) for at, (test, negated) in enumerate(tests)]
    classifier = Classifier(atoms)
    column = [column_value({"a": value}, ("a",)) for value in found]
    by_hit = dict(classifier.hits(column, AS_THEY_ARE))
    for position, value in enumerate(found):
        satisfied = {
            at
            for at, (test, negated) in enumerate(tests)
            if holds(Condition(A, test), {"a": value}, "") is not negated
        }
        assert satisfied <= set(classifier.candidates(column[position]))
        assert satisfied <= set(by_hit.get(position, ()))


@examples(200)
@given(st.lists(tests_of_any_language, min_size=1, max_size=4), found_values)
def test_a_full_memory_of_values_changes_no_answer(tests: list[Test], found: list[object]) -> None:
    atoms = [(Atom(("a",), test, negated=False), at) for at, test in enumerate(tests)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(guards, "MAX_REMEMBERED", 2)
        classifier = Classifier(atoms)
        for value in [*found, *found]:
            column = [column_value({"a": value}, ("a",))]
            fresh = Classifier(atoms).candidates(column[0])
            assert classifier.candidates(column[0]) == fresh
            assert dict(classifier.hits(column, AS_THEY_ARE)).get(0, frozenset()) == fresh


def test_one_and_true_and_one_point_nought_are_told_apart_whichever_came_first() -> None:
    patterns = ["{ $.a = 1 }", "{ $.a IS TRUE }", '{ $.a = "1*" }', "{ $.a != 1 }"]
    trees = [parse_filter_pattern(pattern) for pattern in patterns]
    rules = RuleSet([rule_of_tree(tree, str(number)) for number, tree in enumerate(trees)])
    expected: list[tuple[object, list[str]]] = [
        (1, ["0", "2"]),
        (1.0, ["0", "2"]),
        (True, ["1"]),
        ("1", ["0", "2"]),
        ("1.0", ["2", "3"]),
        (0, ["3"]),
        (False, []),
        ("0", ["3"]),
        (None, []),
    ]
    for value, ids in [*expected, *reversed(expected)]:
        assert rules.match({"a": value}) == ids


@pytest.mark.parametrize("order", [1, -1])
def test_a_number_is_found_however_it_is_spelled(order: int) -> None:
    patterns = ["{ $.a = 1e3 }", "{ $.a = 1000 }", "{ $.a = 1000.0 }", "{ $.a = 01000 }"]
    trees = [parse_filter_pattern(pattern) for pattern in patterns]
    rules = RuleSet([rule_of_tree(tree, str(number)) for number, tree in enumerate(trees)])
    for value in [1000, 1000.0][::order]:
        assert rules.match({"a": value}) == ["0", "1", "2", "3"]
    assert rules.match({"a": "1000"}) == ["1"]
    assert rules.match({"a": "1e3"}) == ["0"]


@pytest.mark.parametrize(
    ("pattern", "fields"),
    [
        ("{ $.eventName = A }", {"eventName"}),
        ("{ $.eventName = A || $.eventName = B }", {"eventName"}),
        ("{ $.eventName = A && $.errorCode = B* }", {"eventName"}),
        ("{ $.eventName != A && $.errorCode = B }", {"errorCode"}),
        ("{ $.eventName = A || $.errorCode = B }", {"eventName", "errorCode"}),
        ("{ $.a[0] = A && $.errorCode = B }", {"errorCode"}),
        ("{ $.a[0] = A || $.errorCode = B }", None),
        ("{ $.a.* = A }", None),
        ("word", None),
    ],
)
def test_a_rule_is_found_by_the_field_that_most_records_fail(
    pattern: str, fields: set[str] | None
) -> None:
    guard = guard_of(parse_filter_pattern(pattern))
    assert (guard and {".".join(atom.names) for atom in guard.atoms}) == fields


def test_what_always_holds_has_no_guard_and_what_never_holds_a_guard_of_nothing() -> None:
    assert guard_of(ALWAYS) is None
    never = guard_of(NEVER)
    assert never is not None
    assert never.atoms == ()
    assert guard_of(Not(NEVER)) is None
    contradiction = And((Not(ALWAYS), InText(Glob(("x",)))))
    assert not RuleSet([rule_of_tree(contradiction, "r")]).match({"a": "x"})


def test_the_source_of_an_event_narrows_rules_that_share_a_name() -> None:
    same = '$.eventName = "Delete"'
    rules = [
        parse_filter_pattern(f"{{ {same} && $.eventSource = iam }}"),
        parse_filter_pattern(f"{{ {same} && $.eventSource = s* }}"),
        parse_filter_pattern(f"{{ {same} && $.eventSource != iam }}"),
        parse_filter_pattern(f"{{ {same} }}"),
        And((parse_filter_pattern(f"{{ {same} }}"), Condition(SOURCE, Like(Glob(("IAM",)))))),
    ]
    together = RuleSet([rule_of_tree(tree, str(number)) for number, tree in enumerate(rules)])
    expected: list[tuple[object, list[str]]] = [
        ("iam", ["0", "3", "4"]),
        ("IAM", ["2", "3", "4"]),
        ("s3", ["1", "2", "3"]),
        (["iam"], ["3", "4"]),
        (None, ["3"]),
        (7, ["2", "3"]),
    ]
    for source, ids in [*expected, *expected]:
        assert together.match({"eventName": "Delete", "eventSource": source}) == ids
    assert together.match({"eventName": "Delete"}) == ["3"]
    assert together.match({"eventSource": "iam"}) == []


SOURCE = Selector(("eventSource",), through_lists=True)
