"""All rules together say of any records what the oracle says of each rule, by every way in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from detector.rules import engine
from detector.rules.filter_pattern import parse_filter_pattern
from detector.rules.oracle import holds
from detector.rules.ruleset import RuleSet
from detector.rules.syntax import Condition, Glob, Like, Node, Selector
from detector.rules.values import record_text
from tests.rules import rule_of_tree
from tests.strategies import documents, events, examples, forests
from tests.unit.verdict import ids_by_oracle, ids_of_batch, log_file_of


def check(forest: list[Node], texts: list[str]) -> None:
    rules = [rule_of_tree(tree, str(number)) for number, tree in enumerate(forest)]
    compiled = RuleSet(rules)
    records: list[dict[str, Any]] = [msgspec.json.decode(text) for text in texts]
    expected = [
        ids_by_oracle(rules, record, text) for record, text in zip(records, texts, strict=True)
    ]
    by_dict = [compiled.match(record, text) for record, text in zip(records, texts, strict=True)]
    assert by_dict == expected
    assert ids_of_batch(compiled, texts) == expected


@examples(400)
@given(forests, st.lists(documents(), min_size=1, max_size=4))
def test_a_dict_and_a_batch_get_the_oracles_word(forest: list[Node], texts: list[str]) -> None:
    check(forest, texts)


@pytest.mark.parametrize("weight", [0, 4])
@examples(150)
@given(forest=forests, texts=st.lists(documents(), min_size=1, max_size=4))
def test_which_fields_are_decoded_of_every_record_changes_the_cost_alone(
    weight: int, forest: list[Node], texts: list[str]
) -> None:
    rules = [rule_of_tree(tree, str(number)) for number, tree in enumerate(forest)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "SECOND_LOOK_WEIGHT", weight)
        patch.setattr(engine, "FIRST_PLAN_RECORDS", 1)
        compiled = RuleSet(rules)
        expected = [ids_by_oracle(rules, msgspec.json.decode(text), text) for text in texts]
        for _ in range(3):
            assert ids_of_batch(compiled, texts) == expected


@examples(150)
@given(forests, st.lists(events(), min_size=1, max_size=3))
def test_a_record_without_a_text_is_known_by_its_compact_json(
    forest: list[Node], records: list[dict[str, Any]]
) -> None:
    rules = [rule_of_tree(tree, str(number)) for number, tree in enumerate(forest)]
    compiled = RuleSet(rules)
    for record in records:
        expected = ids_by_oracle(rules, record, record_text(record))
        assert compiled.match(record) == expected
        assert ids_of_batch(compiled, [record_text(record)]) == [expected]


@examples(80)
@given(forests, st.lists(documents(), min_size=2, max_size=8))
def test_what_a_rule_set_has_seen_before_changes_nothing(
    forest: list[Node], texts: list[str]
) -> None:
    rules = [rule_of_tree(tree, str(number)) for number, tree in enumerate(forest)]
    used = RuleSet(rules)
    for _ in range(2):
        for text in texts:
            fresh = RuleSet(rules).match(msgspec.json.decode(text), text)
            assert used.match(msgspec.json.decode(text), text) == fresh
            assert ids_of_batch(used, [text]) == [fresh]


def rules_of(*patterns: str) -> RuleSet:
    trees = [parse_filter_pattern(pattern) for pattern in patterns]
    return RuleSet([rule_of_tree(tree, str(number)) for number, tree in enumerate(trees)])


def test_a_record_is_read_as_far_as_its_rules_ask() -> None:
    # More fields than are decoded of every record, and one rule that reads all of them.
    patterns = [f"{{ $.eventName = a && $.f{number} = 1 }}" for number in range(80)]
    rules = rules_of(*patterns, "{ $.* = a }", "a")
    record = {"eventName": "a", **{f"f{number}": number % 2 for number in range(80)}}
    expected = [str(number) for number in range(80) if number % 2] + ["80", "81"]
    assert rules.match(record) == expected
    assert ids_of_batch(rules, [record_text(record)]) == [expected]
    assert ids_of_batch(rules, ["{}"]) == [[]]


def test_the_last_of_two_fields_of_one_name_counts_by_every_way() -> None:
    text = '{"eventName": "a", "u": {"t": 1, "t": 2}, "eventName": "b"}'
    patterns = ["{ $.eventName = b && $.u.t = 2 }", "{ $.eventName = a }", "{ $.u.t = 1 }"]
    rules = rules_of(*patterns, "{ $.u.* = 2 && $.* = b }")
    assert ids_of_batch(rules, [text]) == [["0", "3"]]
    assert rules.match(msgspec.json.decode(text), text) == ["0", "3"]


@pytest.mark.parametrize("text", ['{"eventName": ["x"]}', '{"eventName": {"x": "x"}}', "{}"])
def test_a_record_without_a_name_reaches_a_sigma_rule_about_the_name_by_every_way(
    text: str, tmp_path: Path
) -> None:
    detection = {"s": {"eventName": ["x", '{"x":"x"}', None]}, "condition": "s"}
    document = {"title": "t", "id": "0", "detection": detection}
    (tmp_path / "a.yml").write_text(yaml.safe_dump(document))
    rules = RuleSet.load(tmp_path)
    assert ids_of_batch(rules, [text]) == [["0"]]
    assert rules.match(msgspec.json.decode(text), text) == ["0"]


def test_rules_answer_in_the_order_in_which_they_were_given() -> None:
    patterns = ["{ $.a = 1 }", "{ $.eventName = x }", "", "{ $.* = 1 }", "{ $.b = 2 }"]
    rules = rules_of(*patterns)
    record = {"eventName": "x", "a": 1, "b": 2}
    assert rules.match(record) == ["0", "1", "2", "3", "4"]
    assert ids_of_batch(rules, [record_text(record)]) == [["0", "1", "2", "3", "4"]]


def test_a_rule_set_without_rules_matches_nothing_and_still_tells_records_apart() -> None:
    rules = RuleSet([])
    assert rules.match({"eventName": "x"}) == []
    found = rules.match_batch(log_file_of(['{"eventName": "x"}', "{}", "[]", "null", '"x"']))
    assert (found.count, found.matched, found.nameless) == (5, {}, [1])
    assert found.not_records == [2, 3, 4]


@pytest.mark.parametrize("value", ["7", "null", "true", "[]", "{}", '["x"]', '{"x": "x"}', "1e5"])
def test_an_event_name_that_is_no_string_is_a_value_like_any_other(value: str) -> None:
    rules = rules_of("{ $.eventName = x }", "{ $.eventName NOT EXISTS }", "{ $.eventName IS NULL }")
    text = f'{{"eventName": {value}}}'
    expected = ["2"] if value == "null" else []
    assert ids_of_batch(rules, [text]) == [expected]
    assert rules.match(msgspec.json.decode(text)) == expected


def test_what_is_no_record_among_records_moves_no_other_ones_verdict() -> None:
    rules = rules_of("{ $.eventName = x }", "x")
    texts = ["[]", '{"eventName": "x"}', "7", '{"eventName": "y"}', "null", '{"y": "x"}']
    found = rules.match_batch(log_file_of(texts))
    assert found.not_records == [0, 2, 4]
    assert {at: [rule.id for rule in hits] for at, hits in found.matched.items()} == {
        1: ["0", "1"],
        5: ["1"],
    }


def test_a_tuple_stands_for_a_list_where_a_record_was_not_made_from_json() -> None:
    # A caller of the library may hold one; JSON never does.
    tree = Condition(Selector(("a", "b"), through_lists=True), Like(Glob(("x",))))
    record = {"a": ({"b": "x"},)}
    assert holds(tree, record, "")
    assert RuleSet([rule_of_tree(tree, "r")]).match(record) == ["r"]


def test_a_lone_surrogate_is_a_character_that_no_rule_names() -> None:
    rules = rules_of('{ $.a = "x*" }', "{ $.a = %^x.$% }", "{ $.a != y }")
    assert rules.match({"a": "x\ud800"}) == ["0", "1", "2"]
    assert ids_of_batch(rules, ['{"a": "x\\ud800"}']) == [["0", "1", "2"]]
