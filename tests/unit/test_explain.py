"""Explanations: never another outcome than the oracle's, and in words that help."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
import yaml
from hypothesis import assume, given
from hypothesis import strategies as st

from detector.document import parse
from detector.errors import RuleError
from detector.rules import oracle
from detector.rules.exception import FilterFile, RuleFilter, with_exceptions
from detector.rules.explain import (
    MAX_SHOWN,
    Explanation,
    decisive,
    exceptions_of,
    explain,
    explanation_json,
    reason,
    spelled,
)
from detector.rules.filter_pattern import parse_filter_pattern
from detector.rules.loader import load_rules, rule_of
from detector.rules.syntax import (
    And,
    Before,
    Columns,
    Condition,
    FieldsAlike,
    InText,
    Node,
    Not,
    NullOrMissing,
    NumberLike,
    Or,
    Order,
    Ordered,
    Overlap,
    Selector,
    Test,
)
from detector.rules.values import record_text
from tests.rules import rule, rule_text
from tests.strategies import (
    PATHS,
    documents,
    examples,
    globs,
    pattern_conditions,
    regexes,
    sigma_tests,
    trees,
)


def parts_of(explanation: Explanation) -> Iterator[Explanation]:
    yield explanation
    if not isinstance(explanation.node, Columns):  # conditions of columns look at no record
        for part in explanation.parts:
            yield from parts_of(part)


def of_pattern(pattern: str, record: dict[str, Any]) -> Explanation:
    return explain(parse_filter_pattern(pattern), record, json.dumps(record))


def of_detection(selection: Any, record: dict[str, Any], condition: str = "s") -> Explanation:
    tree = rule(pattern=..., detection={"s": selection, "condition": condition}).tree
    return explain(tree, record, json.dumps(record))


@examples(200)
@given(trees, documents())
def test_no_part_of_an_explanation_ever_disagrees_with_the_oracle(tree: Node, text: str) -> None:
    record = msgspec.json.decode(text)
    explanation = explain(tree, record, text)
    assert explanation.holds == oracle.holds(tree, record, text)
    for part in parts_of(explanation):
        assert part.holds == oracle.holds(part.node, record, text)


@examples(200)
@given(trees, documents())
def test_what_is_said_to_decide_has_the_outcome_that_it_explains(tree: Node, text: str) -> None:
    explanation = explain(tree, msgspec.json.decode(text), text)
    assert decisive(explanation).holds == explanation.holds
    assert reason(explanation)


@given(trees, documents())
def test_an_explanation_of_any_record_can_be_written_as_json(tree: Node, text: str) -> None:
    data = explanation_json(explain(tree, msgspec.json.decode(text), text))
    assert msgspec.json.decode(msgspec.json.encode(data))["holds"] == data["holds"]


@examples(200)
@given(pattern_conditions)
def test_a_condition_of_a_filter_pattern_is_spelled_so_that_it_can_be_read_again(
    condition: Condition,
) -> None:
    pattern = f"{{ {spelled(condition)} }}"
    assume(len(pattern) <= 1024)
    assert parse_filter_pattern(pattern) == condition


def reread(spelling: str) -> Node:
    text = f"title: t\ndetection:\n  condition: s\n  s:\n    {spelling}\n"
    return rule_of(parse(text, "r.yml", RuleError)).tree


def is_said_by_sigma(test: Test) -> bool:
    """Whether pySigma can read a test: it has no word for an end, and makes doubles of numbers."""
    return not isinstance(test, Before | NumberLike) or (
        isinstance(test, NumberLike) and abs(test.number) < 2**53
    )


said_in_sigma = st.sampled_from(
    [path for path in PATHS if all(step and "." not in step for step in path)]
).map(lambda path: Selector(path, through_lists=True))
sigma_conditions = st.builds(
    Condition,
    said_in_sigma,
    st.one_of(
        sigma_tests.filter(is_said_by_sigma),
        st.builds(Ordered, st.sampled_from(Order), st.integers(-9, 9), st.just(True)),
    ),
)


@examples(200)
@given(sigma_conditions)
def test_a_condition_of_sigma_is_spelled_so_that_it_can_be_read_again(
    condition: Condition,
) -> None:
    spelling = spelled(condition)
    assume("\n" not in spelling)
    assert reread(spelling) == condition


@given(st.sampled_from(Overlap), said_in_sigma, said_in_sigma)
def test_a_comparison_of_two_fields_is_spelled_so_that_it_can_be_read_again(
    overlap: Overlap, selector: Selector, other: Selector
) -> None:
    leaf = FieldsAlike(selector, other, overlap)
    assert reread(spelled(leaf)) == leaf


@given(st.one_of(globs, regexes), st.booleans())
def test_what_is_sought_in_the_text_is_always_spelled_somehow(sought: Any, cased: bool) -> None:
    assert spelled(InText(sought, cased))


@pytest.mark.parametrize(
    ("pattern", "record", "says"),
    [
        ("{ $.a = x }", {}, '$.a = "x" fails, the field is missing'),
        ("{ $.a = x }", {"a": None}, '$.a = "x" fails, saw null'),
        ("{ $.a = x }", {"a": "y"}, '$.a = "x" fails, saw "y"'),
        ("{ $.a = x }", {"a": "x"}, '$.a = "x" holds, saw "x"'),
        ("{ $.a = 3 && $.b > 4 }", {"a": 3, "b": 4.0}, "$.b > 4 fails, saw 4.0"),
        ("{ $.a[*] > 4 }", {"a": [1, 2]}, "$.a[*] > 4 fails, saw 2 values: 1, 2"),
        ("{ $.a NOT EXISTS }", {"a": {}}, "$.a NOT EXISTS fails, saw {}"),
        ("{ $.a IS TRUE }", {"a": "true"}, '$.a IS TRUE fails, saw "true"'),
        ("{ $.a = b || $.a = c }", {"a": "d"}, '$.a satisfies none of 2 conditions, saw "d"'),
        (
            "{ ($.a = b && $.b = c) || $.c = d }",
            {"a": "b"},
            'none of 2 alternatives holds; the first: $.b = "c" fails, the field is missing',
        ),
        ("{ $.a = b && $.b = c }", {"a": "b", "b": "c"}, "all of 2 conditions hold"),
        ("", {}, "it matches every record"),
        ("AccessDenied", {}, '"AccessDenied" fails, not found in the record\'s text'),
        ("-a", {"a": 1}, 'excluded: "a" holds, found in the record\'s text'),
        ("-b", {"a": 1}, 'nothing excluded was found: "b" fails, not found in the record\'s text'),
        ("[a, b, c]", {"a": 1}, "[a, b, c] fails, the line has too few columns"),
        ("[a, b=2]", {"a": 1}, 'b = 2 fails, saw "1}"'),
    ],
)
def test_the_reason_of_a_filter_pattern_is_the_first_condition_that_failed(
    pattern: str, record: dict[str, Any], says: str
) -> None:
    assert reason(of_pattern(pattern, record)) == says


@pytest.mark.parametrize(
    ("selection", "record", "says"),
    [
        ({"a.b": "x*"}, {"a": [{"b": "y"}]}, "a.b: 'x*' fails, saw \"y\""),
        ({"a|contains": "x"}, {"a": "b"}, "a: '*x*' fails, saw \"b\""),
        ({"a|cased": "X"}, {"a": "x"}, 'a|cased: X fails, saw "x"'),
        ({"a|cidr": "10.0.0.0/8"}, {"a": "1.1.1.1"}, 'a|cidr: 10.0.0.0/8 fails, saw "1.1.1.1"'),
        ({"a|re|i": "^x"}, {"a": "y"}, "a|re|i: '^x' fails, saw \"y\""),
        ({"a|exists": True}, {}, "a|exists: true fails, the field is missing"),
        ({"a|gte": 5}, {"a": "4"}, 'a|gte: 5 fails, saw "4"'),
        ({"a": None}, {"a": 1}, "a: null fails, saw 1"),
        ({"a": "it's"}, {"a": 1}, "a: 'it''s' fails, saw 1"),
        ({"a|fieldref": "b"}, {"a": 1, "b": 2}, "a|fieldref: b fails, saw 1 and saw 2"),
        (["word"], {"a": 1}, "keyword word fails, not found in the record's text"),
    ],
)
def test_the_reason_of_a_sigma_rule_is_in_sigmas_words(
    selection: Any, record: dict[str, Any], says: str
) -> None:
    assert reason(of_detection(selection, record)) == says


def test_what_was_excluded_is_named_with_the_value_that_did_it() -> None:
    explanation = of_detection({"a": "x"}, {"a": "X"}, "not s")
    assert not explanation.holds
    assert reason(explanation) == 'excluded: a: x holds, saw "X"'


def test_a_long_value_is_cut_for_people_and_whole_for_machines() -> None:
    explanation = of_pattern("{ $.a = x }", {"a": "y" * 5000})
    assert len(reason(explanation)) < MAX_SHOWN + 40
    assert "y…" in reason(explanation)
    assert explanation_json(explanation)["seen"] == [{"field": "$.a", "values": ["y" * 5000]}]


def test_a_value_that_no_json_can_hold_is_named_by_its_kind() -> None:
    tree = parse_filter_pattern("{ $.a = x }")
    explanation = explain(tree, {"a": datetime(2026, 1, 1, tzinfo=UTC), "b": 1}, "")
    assert "fails" in reason(explanation)
    assert "object that no JSON" in reason(explain(tree, {"a": object()}, ""))


def test_every_operand_is_explained_even_where_the_outcome_is_known_already() -> None:
    explanation = of_pattern("{ $.a = b && $.b = c && $.c = d }", {"c": "d"})
    assert [part.holds for part in explanation.parts] == [False, False, True]


EXCEPTION = {
    "title": "The backup role may do it",
    "reason": "ticket 4711",
    "expires": "2027-01-01",
    "filter": {
        "rules": "any",
        "backup": {"userIdentity.userName": "backup"},
        "condition": "backup",
    },
}


def excepted_by(data: dict[str, Any], record: dict[str, Any]) -> Explanation:
    document = parse(yaml.safe_dump(data), "backup.yml", RuleError)
    file = msgspec.convert(data, FilterFile)
    excepting = rule(
        pattern=..., detection={k: v for k, v in data["filter"].items() if k != "rules"}
    )
    item = RuleFilter(file, excepting.tree, "backup.yml", document)
    excepted = rule()
    tree = with_exceptions(excepted.tree, [item])
    return explain(tree, record, record_text(record), exceptions_of(excepted, [item]))


def test_an_exception_that_applies_is_named_with_its_reason_and_its_end() -> None:
    record = {
        "eventName": "PutUserPolicy",
        "eventTime": "2026-09-16T12:00:00Z",
        "userIdentity": {"userName": "backup"},
    }
    explanation = excepted_by(EXCEPTION, record)
    assert not explanation.holds
    assert reason(explanation) == (
        "the exception The backup role may do it (backup.yml, until 2027-01-01): ticket 4711"
        " applies"
    )
    assert isinstance(explanation.node, And)
    kinds = [part["kind"] for part in explanation_json(explanation)["parts"]]  # type: ignore[attr-defined]
    assert kinds == ["condition", "exception"]


def test_an_exception_that_has_ended_shows_its_end_as_what_failed() -> None:
    record = {
        "eventName": "PutUserPolicy",
        "eventTime": "2027-09-16T12:00:00Z",
        "userIdentity": {"userName": "backup"},
    }
    explanation = excepted_by(EXCEPTION, record)
    assert explanation.holds
    (_, exception) = explanation.parts
    assert isinstance(exception.node, Not)
    assert reason(exception.parts[0]) == (
        '$.eventTime before 2027-01-01T00:00:00Z fails, saw "2027-09-16T12:00:00Z"'
    )


def test_filters_about_other_rules_are_no_exceptions(tmp_path: Any) -> None:
    other = {**EXCEPTION, "filter": {**EXCEPTION["filter"], "rules": ["another"]}}  # type: ignore[dict-item]
    (tmp_path / "filter.yml").write_text(yaml.safe_dump(other))
    (tmp_path / "rule.yml").write_text(rule_text())
    loaded = load_rules([tmp_path])
    assert exceptions_of(loaded.rules[0], loaded.filters) == {}


def test_null_and_missing_are_told_apart_where_the_rule_does_not() -> None:
    condition = Condition(rule(pattern=..., detection=SOME).tree.selector, NullOrMissing())  # type: ignore[union-attr]
    tree = Or((condition, condition))
    assert reason(explain(tree, {}, "{}")) == "a: null holds, the field is missing"
    assert reason(explain(tree, {"a": None}, "{}")) == "a: null holds, saw null"


SOME = {"s": {"a": 1}, "condition": "s"}
