"""Sigma detections: what each word of the specification means on a record."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from detector.document import parse
from detector.errors import RuleError
from detector.rules.loader import rule_of
from detector.rules.sigma import MAX_CONDITION_CHARACTERS, MAX_CONDITION_NESTING, Placeholders
from detector.rules.syntax import Node
from detector.rules.values import record_text
from tests.rules import rule_text
from tests.strategies import examples
from tests.unit.verdict import tree_holds

HEAD = "title: t\nid: t\nlevel: low\ndetection:\n"
"""What stands above a detection that begins in line 5."""


def tree_of(detection: Any, placeholders: Placeholders | None = None) -> Node:
    text = rule_text(pattern=..., detection=detection)
    return rule_of(parse(text, "rule.yml", RuleError), placeholders).tree


def detects(detection: Any, event: Mapping[str, Any], text: str | None = None) -> bool:
    return tree_holds(tree_of(detection), event, text)


def search(definition: Any) -> dict[str, Any]:
    return {"search": definition, "condition": "search"}


def matches(definition: Any, event: Mapping[str, Any], text: str | None = None) -> bool:
    return detects(search(definition), event, text)


def refusal(text: str, placeholders: Placeholders | None = None) -> RuleError:
    with pytest.raises(RuleError) as caught:
        rule_of(parse(HEAD + text, "rule.yml", RuleError), placeholders)
    return caught.value


# Values and modifiers.


@pytest.mark.parametrize(
    ("key", "value", "good", "bad"),
    [
        # plain values
        ("a", "Foo", ["foo", "FOO", ["x", "fOO"], [["foo"]]], ["foobar", "", None, 1, {}]),
        ("a", ["foo", "bar"], ["FOO", "bar"], ["foobar", None]),
        ("a", "", [""], [None, " ", [], 0, False]),
        ("a", 1, [1, 1.0, "1", "1.0", "01"], [True, 2, "x", None, "11"]),
        ("a", 1.5, [1.5, "1.50"], [1, "15"]),
        ("a", -3, [-3, "-3"], [3]),
        ("a", [1, "x"], [1, "1", "X"], [2, True]),
        ("a", True, [True, "true", "TRUE", [False, True]], [False, 1, "yes", None]),
        ("a", False, [False, "false"], [True, 0, None]),
        ("a", "true", [True, "True"], [1]),
        ("a", None, [None, [None]], ["", 0, False, "null", [], {}]),
        ("a", "fo*", ["fo", "FOO", "fo\no"], ["xfo", None]),
        ("a", "f?o", ["foo", "f\no"], ["fo", "fooo"]),
        ("a", "*", ["", "x", 0, True, {}], [None, []]),
        ("a", '{"b":*}', [{"b": 1}], [{"c": 1}]),
        ("a", "straße", ["STRAßE", "Straße"], ["strase"]),
        # where in the value
        ("a|contains", "b", ["abc", "B", ["x", "b"], {"b": 1}], ["ac", None, []]),
        ("a|contains", "a*c", ["xabcx", "ac"], ["ca"]),
        ("a|contains", ["b", "d"], ["abc", "cde"], ["ac"]),
        ("a|startswith", "ab", ["abc", "AB"], ["cab", None]),
        ("a|startswith", ["x", "ab"], ["xy", "abc"], ["bx"]),
        ("a|endswith", "bc", ["abc", "BC", "bcbc"], ["bcd", None]),
        ("a|contains|all", ["b", "d"], ["abcd", "db"], ["abc", "d"]),
        ("a|all", ["a*", "*b"], ["ab", "AxB", ["ay", "yb"]], ["a", "ba"]),
        ("a|contains|cased", "Foo", ["xFoox"], ["xfoox"]),
        ("a|cased|contains", "Foo", ["xFoox"], ["xfoox"]),
        ("a|cased", "Foo", ["Foo"], ["foo", "FOO"]),
        ("a|cased", ["Foo", "bar"], ["Foo", "bar"], ["Bar"]),
        ("a|cased|startswith", "Fo", ["Foo"], ["foo"]),
        ("a|cased|endswith", "oO", ["foO"], ["foo"]),
        # not
        ("a|neq", "foo", ["bar", None, 1, [], "foobar"], ["foo", "FOO", ["x", "foo"]]),
        ("a|neq", ["foo", "bar"], ["baz"], ["foo", "bar"]),
        ("a|neq", 1, [2, "x", True], [1, "1.0"]),
        ("a|contains|neq", "oo", ["bar"], ["foo"]),
        ("a|cased|neq", "Foo", ["foo"], ["Foo"]),
        ("a|contains|all|neq", ["f", "o"], ["fx", "xo"], ["fo"]),
        # presence
        ("a|exists", True, ["", None, [], {}, 0, "x"], []),
        ("a|exists", False, [], ["", None, [], {}, 0, "x"]),
        # numbers
        ("a|lt", 5, [4, 4.9, -1, "4"], [5, "5", "x", True, None]),
        ("a|lte", 5, [5, 5.0, "5"], [5.1, "6"]),
        ("a|gt", 5, [6, "5.5", 10**30], [5, "5", "", True]),
        ("a|gte", 5, [5, "5"], [4]),
        ("a|gte", [5, 100], [7], [4]),
        ("a|gt|neq", 5, [5, "x", None], [6]),
        # time
        ("a|minute", 34, ["2026-09-16T12:34:56Z"], ["2026-09-16T12:35:00Z", 34, "34", None]),
        ("a|hour", 12, ["2026-09-16T12:34:56+09:00"], ["2026-09-16T03:34:56Z"]),
        ("a|hour", [12, 13], ["2026-09-16T13:34:56Z"], ["2026-09-16T14:34:56Z"]),
        ("a|day", 16, ["2026-09-16"], ["2026-09-17"]),
        ("a|week", 38, ["2026-09-16T12:34:56Z"], ["2026-09-21T00:00:00Z"]),
        ("a|month", 9, ["2026-09-16T12:34:56Z"], ["2026-10-16T12:34:56Z"]),
        ("a|year", 2026, ["2026-09-16T12:34:56Z"], ["2025-09-16T12:34:56Z", "2026"]),
        ("a|hour|neq", 12, ["2026-09-16T13:00:00Z", "x"], ["2026-09-16T12:00:00Z"]),
        # addresses
        ("a|cidr", "10.0.0.0/8", ["10.1.2.3", ["x", "10.0.0.0"]], ["11.0.0.0", "10.1", "x", 10]),
        ("a|cidr", ["10.0.0.0/8", "192.168.0.0/16"], ["192.168.9.9"], ["192.169.0.1"]),
        ("a|cidr", "203.0.113.7", ["203.0.113.7"], ["203.0.113.8"]),
        (
            "a|cidr",
            "2001:db8::/32",
            ["2001:DB8::1", "2001:db8:0:0:0:0:0:1"],
            ["2001:db9::", "10.1.1.1"],
        ),
        ("a|cidr|neq", "10.0.0.0/8", ["11.0.0.0", "cloudtrail.amazonaws.com"], ["10.1.2.3"]),
        # regular expressions
        ("a|re", "b.d", ["abcde", "bcd"], ["BCD", "b\nd", "bd"]),
        ("a|re", "^b.d$", ["bcd"], ["abcd", "bcd\n"]),
        ("a|re", ["^a", "z$"], ["abc", "xyz"], ["b"]),
        ("a|re|all", ["^a", "z$"], ["a-z"], ["a", "z"]),
        ("a|re", r"^\d+\.\d$", [1.5, "10.5"], ["1,5"]),
        ("a|re", "true", [True], [False]),
        ("a|re", r'"b":\s*1', [{"b": 1}], [{"b": 2}]),
        ("a|re|i", "^foo$", ["FOO", "foo"], ["food"]),
        ("a|re|m", "^b$", ["a\nb\nc"], ["abc"]),
        ("a|re|s", "a.c", ["a\nc", "abc"], ["ac"]),
        ("a|re|i|m|s", "^A.B$", ["x\na\nb"], ["a-c"]),
        ("a|re|ignorecase", "^foo$", ["FOO"], ["fo"]),
        ("a|re|neq", "^foo", ["bar", None], ["food"]),
        ("a|re", "a*b?", ["", "x"], [None]),
        ("a|re", "f(o|u)+$", ["foou"], ["f"]),
        # Windows' dashes
        (
            "a|windash",
            "-foo",
            ["-foo", "/FOO", "\u2013foo", "\u2014foo", "\u2015foo"],
            ["foo", "_foo"],
        ),
        ("a|windash|contains", "x /foo", ["cmd x -foo y", "x \u2014foo"], ["x foo"]),
        ("a|windash|contains|all", ["-a", "-b"], ["/b -a"], ["-a"]),
        ("a|windash", "a-b", ["a-b"], ["a/b"]),
        # encodings
        ("a|base64", "foo", ["Zm9v"], ["foo", "xZm9v"]),
        ("a|base64|contains", "foobar", ["=Zm9vYmFy="], ["foobar"]),
        ("a|wide", "cmd", ["c\0m\0d\0"], ["cmd"]),
        ("a|utf16be", "cmd", ["\0c\0m\0d"], ["cmd"]),
        ("a|utf16", "cmd", ["\ufeffc\0m\0d\0"], ["cmd"]),
        ("a|wide|base64", "ab", [b64encode("ab".encode("utf-16-le")).decode()], ["YWI="]),
        ("a|utf16be|base64", "ab", [b64encode("ab".encode("utf-16-be")).decode()], ["YWI="]),
        (
            "a|utf16|base64",
            "ab",
            [b64encode(b"\xff\xfe" + "ab".encode("utf-16-le")).decode()],
            ["YWI="],
        ),
    ],
)
def test_a_modifier_says_how_a_value_is_compared(
    key: str, value: object, good: list[object], bad: list[object]
) -> None:
    assert [found for found in good if not matches({key: value}, {"a": found})] == []
    assert [found for found in bad if matches({key: value}, {"a": found})] == []


def test_utf16le_is_the_appendixs_word_for_wide() -> None:
    assert matches({"a|utf16le": "cmd"}, {"a": "c\0m\0d\0"})
    assert tree_of(search({"a|utf16le|base64": "ab"})) == tree_of(search({"a|wide|base64": "ab"}))


@pytest.mark.parametrize("shift", range(6))
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le"])
def test_base64offset_finds_a_text_wherever_it_begins(shift: int, encoding: str) -> None:
    key = "a|base64offset|contains" if encoding == "utf-8" else "a|wide|base64offset|contains"
    hidden = b"x" * shift + "http://evil".encode(encoding) + b"yy"
    assert matches({key: "http://evil"}, {"a": b64encode(hidden).decode()})
    other = b"x" * shift + "http://good".encode(encoding) + b"yy"
    assert not matches({key: "http://evil"}, {"a": b64encode(other).decode()})


def test_case_matters_in_an_expanded_value_too() -> None:
    dashes = tree_of(search({"a|windash|cased": "-Foo"}))
    assert tree_holds(dashes, {"a": "/Foo"})
    assert not tree_holds(dashes, {"a": "/foo"})
    for key in ("a|expand|cased", "a|cased|expand"):
        names = tree_of(search({key: "%names%"}), {"names": ["Foo"]})
        assert tree_holds(names, {"a": "Foo"})
        assert not tree_holds(names, {"a": "foo"})


def test_an_expression_that_a_value_starts_or_ends_with_is_not_found_elsewhere() -> None:
    assert matches({"a|re|startswith": "fo+"}, {"a": "foobar"})
    assert matches({"a|re|endswith": "fo+"}, {"a": "barfoo"})
    assert matches({"a|re|contains": "fo+"}, {"a": "xfoox"})
    assert not matches({"a|re|startswith": "fo+"}, {"a": "xfoo"})
    assert not matches({"a|re|endswith": "fo+"}, {"a": "foox"})


@pytest.mark.parametrize(
    ("written", "good", "bad"),
    [
        (r"C:\Windows", [r"c:\windows"], [r"C:\\Windows", "C:Windows"]),
        (r"C:\\Windows", [r"C:\Windows"], [r"C:\\Windows"]),
        (r"a\*", ["a*"], ["ab", r"a\*", r"a\b"]),
        (r"a\?", ["a?"], ["ab", r"a\?"]),
        (r"a\\*", ["a\\", r"a\b"], ["ab", "a*"]),
        (r"a\\?", [r"a\b"], ["ab", "a?", "a\\"]),
        (r"a\\\*", [r"a\*"], [r"a\b", "a*", r"a\\*"]),
        (r"a\\\b", [r"a\\b"], [r"a\b"]),
        (r"a\\\\b", [r"a\\b"], [r"a\b", r"a\\\\b"]),
        ("a\\", ["a\\"], ["a", "a\\\\"]),
        (r"\d\w", [r"\d\w"], ["1a"]),
        ("a%b%c", ["a%b%c"], ["abc"]),
        ("a'b\"c", ["a'b\"c"], ["abc"]),
        ("a.b|c", ["a.b|c"], ["axb", "c"]),
    ],
)
def test_a_backslash_takes_its_meaning_from_a_wildcard_and_from_another_backslash(
    written: str, good: list[str], bad: list[str]
) -> None:
    assert [value for value in good if not matches({"a": written}, {"a": value})] == []
    assert [value for value in bad if matches({"a": written}, {"a": value})] == []


# Fields.


def test_a_field_that_is_missing_satisfies_nothing_but_its_absence() -> None:
    definitions: list[dict[str, Any]] = [
        {"a": ""},
        {"a": "*"},
        {"a|contains": ""},
        {"a|re": ".*"},
        {"a|lt": 1},
        {"a|exists": True},
        {"a|cidr": "0.0.0.0/0"},
        {"a|fieldref": "a"},
    ]
    assert not any(matches(definition, {"b": "x"}) for definition in definitions)
    for definition in ({"a": None}, {"a|exists": False}, {"a|neq": "x"}, {"a|neq": "*"}):
        assert matches(definition, {"b": "x"})
    assert not matches({"a|exists": False}, {"a": None})
    assert not matches({"a|neq": None}, {"b": "x"})


def test_a_dot_leads_into_objects_and_through_the_lists_on_the_way() -> None:
    definition = {"userIdentity.sessions.name": "x"}
    assert matches(definition, {"userIdentity": {"sessions": {"name": "X"}}})
    assert matches(definition, {"userIdentity": {"sessions": [{"name": "y"}, {"name": "x"}]}})
    assert matches(definition, {"userIdentity": [[{"sessions": [[{"name": ["x"]}]]}]]})
    assert not matches(definition, {"userIdentity": {"sessions": ["x"]}})
    assert not matches(definition, {"userIdentity.sessions.name": "x"})
    assert not matches({"a.b": None}, {"a": {"b": 1}})
    assert matches({"a.b": None}, {"a": "x"})
    assert matches({"a.0": "x"}, {"a": {"0": "x"}})
    assert not matches({"a.0": "x"}, {"a": ["x"]})


def test_two_conditions_on_a_list_need_not_be_met_by_the_same_element() -> None:
    assert matches({"a.x": 1, "a.y": 2}, {"a": [{"x": 1, "y": 1}, {"x": 2, "y": 2}]})


@pytest.mark.parametrize(
    ("key", "event", "expected"),
    [
        ("a|fieldref", {"a": "Foo", "b": "fOO"}, True),
        ("a|fieldref", {"a": "foo", "b": "bar"}, False),
        ("a|fieldref", {"a": "foo"}, False),
        ("a|fieldref", {"a": 1, "b": "1"}, True),
        ("a|fieldref", {"a": ["x", "y"], "b": ["z", "y"]}, True),
        ("a|fieldref|neq", {"a": "foo", "b": "bar"}, True),
        ("a|fieldref|neq", {"a": "foo", "b": "FOO"}, False),
        ("a|fieldref|neq", {"a": "foo"}, True),
        ("a|fieldref|startswith", {"a": "foobar", "b": "FOO"}, True),
        ("a|fieldref|startswith", {"a": "xfoo", "b": "foo"}, False),
        ("a|fieldref|endswith", {"a": "foobar", "b": "bar"}, True),
        ("a|fieldref|endswith", {"a": "barfoo", "b": "bar"}, False),
        ("a|fieldref|contains", {"a": "xbarx", "b": "bar"}, True),
        ("a|fieldref|contains", {"a": "bar", "b": "xbarx"}, False),
    ],
)
def test_a_field_is_compared_with_another(key: str, event: dict[str, Any], expected: bool) -> None:
    assert matches({key: "b"}, event) is expected


def test_a_field_may_be_compared_with_one_of_several_and_with_one_further_down() -> None:
    definition = {"a|fieldref": ["b", "c.d"]}
    assert matches(definition, {"a": "x", "b": "y", "c": [{"d": "x"}]})
    assert not matches(definition, {"a": "x", "b": "y", "c": {"d": "z"}})


def test_a_placeholder_stands_for_its_values() -> None:
    values: Placeholders = {"names": ["al*", "Bob", 7], "empty": [], "one": [r"x\*"]}
    tree = tree_of(search({"a|expand": "%names%"}), values)
    assert [
        name for name in ("alice", "BOB", 7, "7", "carol") if tree_holds(tree, {"a": name})
    ] == [
        "alice",
        "BOB",
        7,
        "7",
    ]
    inside = tree_of(search({"a|expand|contains": "user/%names%"}), values)
    assert tree_holds(inside, {"a": "arn:user/bobby"})
    assert not tree_holds(inside, {"a": "arn:role/bob"})
    two = tree_of(search({"a|expand": "%names%-%one%"}), values)
    assert tree_holds(two, {"a": "bob-x*"})
    assert not tree_holds(two, {"a": "bob-xy"})
    several = tree_of(search({"a|expand|all": ["%names%", "*b"]}), values)
    assert tree_holds(several, {"a": "bob"})
    assert not tree_holds(several, {"a": "alice"})
    keyword = tree_of(search({"|expand": ["%one%"]}), values)
    assert tree_holds(keyword, {"a": "1x*1"})
    assert matches({"a": "%names%"}, {"a": "%names%"})


def test_a_per_cent_sign_behind_a_backslash_begins_no_placeholder() -> None:
    tree = tree_of(search({"a|expand": r"\%plain%name%"}), {"name": ["x"]})
    assert tree_holds(tree, {"a": "%plainx"})


def test_a_placeholder_may_have_as_many_values_as_an_organisation_has_accounts() -> None:
    accounts = [f"{number:012d}" for number in range(1000)]
    tree = tree_of(search({"a|expand": "%accounts%"}), {"accounts": accounts})
    assert tree_holds(tree, {"a": "000000000999"})
    assert not tree_holds(tree, {"a": "000000001000"})


# Searches.


def test_all_of_a_map_and_any_of_a_list_must_be_met() -> None:
    both = {"a": "x", "b": ["y", "z"]}
    assert matches(both, {"a": "x", "b": "z"})
    assert not matches(both, {"a": "x"})
    either = [{"a": "x", "b": "y"}, {"c": "z"}]
    assert matches(either, {"a": "x", "b": "y"})
    assert matches(either, {"c": "z"})
    assert not matches(either, {"a": "x", "c": "y"})
    nested = [[{"a": "x"}, {"b": "y"}], {"c": "z"}]
    assert matches(nested, {"b": "y"})


def test_a_keyword_is_sought_in_the_whole_text_in_any_case() -> None:
    text = '{"a": "C:\\\\Users", "n": 42,  "é": "\\"quoted\\""}'
    event = yaml.safe_load(text)
    for definition in (
        "users",
        ["nothing", "USERS"],
        "c:\\users",
        '"n": 42,  "',
        "n*42",
        "c?\\users",
        42,
        [42],
        '"quoted"',
        "É",
        {"|all": ["users", "quoted"]},
        {"|re": r"\d{2}"},
        {"|re|i": "USERS"},
        {"|cased": "Users"},
        {"|contains": "sers"},
        [{"a|startswith": "C:"}, "nothing"],
        [{"a": "D:"}, "Users"],
        {"|all": ["n", "42"], "a|exists": True},
    ):
        assert matches(definition, event, text), definition
    for definition in (
        "user s",
        {"|all": ["users", "nothing"]},
        {"|cased": "USERS"},
        {"|re": "USERS"},
        43,
        ["x", "y"],
        [{"a": "D:"}, "nothing"],
        {"|neq": "users"},
    ):
        assert not matches(definition, event, text), definition


def test_a_keyword_that_is_a_boolean_is_sought_as_json_spells_it() -> None:
    assert matches(True, {"readOnly": True})
    assert not matches(True, {"readOnly": False})


@pytest.mark.parametrize("key", ["|minute", "|hour", "|year"])
def test_a_part_of_a_time_cannot_be_sought_without_a_field(key: str) -> None:
    with pytest.raises(RuleError, match="without a field"):
        tree_of(search({key: 5}))


# Conditions.

SEARCHES = {
    "selection_a": {"a": 1},
    "selection_b": {"b": 1},
    "filter-x": {"x": 1},
    "_hidden": {"h": 1},
}


@pytest.mark.parametrize(
    ("condition", "meaning"),
    [
        ("selection_a", lambda a, b, x, h: a),
        ("  selection_a\n", lambda a, b, x, h: a),
        ("_hidden", lambda a, b, x, h: h),
        ("not filter-x", lambda a, b, x, h: not x),
        ("not not filter-x", lambda a, b, x, h: x),
        ("selection_a and selection_b", lambda a, b, x, h: a and b),
        ("selection_a or selection_b or filter-x", lambda a, b, x, h: a or b or x),
        ("selection_a and not filter-x", lambda a, b, x, h: a and not x),
        ("selection_a or selection_b and filter-x", lambda a, b, x, h: a or (b and x)),
        ("selection_a and selection_b or filter-x", lambda a, b, x, h: (a and b) or x),
        ("not selection_a and filter-x", lambda a, b, x, h: (not a) and x),
        ("not selection_a or filter-x", lambda a, b, x, h: (not a) or x),
        ("(selection_a or selection_b) and filter-x", lambda a, b, x, h: (a or b) and x),
        ("not (selection_a and (selection_b or _hidden))", lambda a, b, x, h: not (a and (b or h))),
        ("1 of them", lambda a, b, x, h: a or b or x),
        ("any of them", lambda a, b, x, h: a or b or x),
        ("all of them", lambda a, b, x, h: a and b and x),
        ("1 of selection*", lambda a, b, x, h: a or b),
        ("1 of selection_*", lambda a, b, x, h: a or b),
        ("all of selection_*", lambda a, b, x, h: a and b),
        ("any of sel*", lambda a, b, x, h: a or b),
        ("1 of *_a", lambda a, b, x, h: a),
        ("all of s*_*", lambda a, b, x, h: a and b),
        ("1 of selection_a", lambda a, b, x, h: a),
        ("not 1 of selection*", lambda a, b, x, h: not (a or b)),
        ("not all of selection*", lambda a, b, x, h: not (a and b)),
        ("all of selection* and not 1 of filter*", lambda a, b, x, h: a and b and not x),
        ("1 of selection* and _hidden", lambda a, b, x, h: (a or b) and h),
        ("1 of _*", lambda a, b, x, h: h),
        (["selection_a", "selection_b and filter-x"], lambda a, b, x, h: a or (b and x)),
        (["selection_a"], lambda a, b, x, h: a),
    ],
)
def test_a_condition_joins_searches(
    condition: str | list[str], meaning: Callable[[bool, bool, bool, bool], bool]
) -> None:
    tree = tree_of({**SEARCHES, "condition": condition})
    for number in range(16):
        a, b, x, h = (bool(number >> bit & 1) for bit in range(4))
        event = {name: 1 for name, there in zip("abxh", (a, b, x, h), strict=True) if there}
        assert tree_holds(tree, event) is meaning(a, b, x, h)


@pytest.mark.parametrize("name", ["notepad", "and_one", "orders", "1st", "all_of", "Not", "not-x"])
def test_a_search_may_have_a_name_that_begins_with_a_keyword(name: str) -> None:
    tree = tree_of({name: {"a": 1}, "x": {"b": 1}, "condition": f"not {name} and x"})
    assert tree_holds(tree, {"b": 1})
    assert not tree_holds(tree, {"a": 1, "b": 1})


def test_a_condition_may_be_long() -> None:
    many = " or ".join(["search"] * 400)
    assert detects({"search": {"a": 1}, "condition": many}, {"a": 1})


def test_parentheses_side_by_side_are_not_nested() -> None:
    many = " and ".join(["(search or other)"] * (MAX_CONDITION_NESTING + 1))
    assert detects({"search": {"a": 1}, "other": {"b": 1}, "condition": many}, {"a": 1})


# What is refused, and where.


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("  s: {a|contians: x}\n  condition: s\n", "5:7: Unknown modifier 'contians'"),
        ("  s:\n    a|: x\n  condition: s\n", "6:5: Unknown modifier ''"),
        ("  s:\n    b: y\n    a|re: 'x('\n  condition: s\n", "7:5: "),
        ("  s:\n    a|cidr: 10.0.0.1/8\n  condition: s\n", "6:5: Invalid CIDR expression"),
        ("  s:\n    a|lt: x\n  condition: s\n", "6:5: "),
        ("  s:\n    a|minute: x\n  condition: s\n", "6:5: "),
        ("  s:\n    a|contains: 1\n  condition: s\n", "6:5: "),
        ("  s:\n    a|exists: 'yes'\n  condition: s\n", "6:5: "),
        ("  s:\n    a|base64: 'x*'\n  condition: s\n", "6:5: "),
        ("  s:\n    a|fieldref: 'x*'\n  condition: s\n", "6:5: "),
        ("  s:\n    a|contains|re: x\n  condition: s\n", "6:5: "),
        ("  s:\n    a: {b: c}\n  condition: s\n", "6:5: "),
        ("  s:\n    a: [[x]]\n  condition: s\n", "6:5: "),
        ("  s: {}\n  condition: s\n", "5:3: "),
        ("  s: []\n  condition: s\n", "6:3: "),
        ("  s: [{a|x: y}]\n  condition: s\n", "5:8: Unknown modifier 'x'"),
        ("  s: {a: x}\n", "4:1: the detection has no condition; add one, as: selection"),
        ("  condition: s\n", "4:1: "),
        ("  s: {a: x}\n  condition: t\n", "6:3: Detection 't' not defined"),
        ("  s: {a: x}\n  condition: s and t\n", "6:3: Detection 't' not defined"),
        ("  s: {a: x}\n  condition: 1 of t*\n", "6:3: Selector '1 of t*' doesn't match any"),
        ("  s: {a: x}\n  condition: s and\n", "6:19: the condition cannot be read"),
        ("  s: {a: x}\n  condition: (s\n", "6:16: the condition cannot be read"),
        ("  s: {a: x}\n  condition: s s\n", "6:16: the condition cannot be read"),
        ("  s: {a: x}\n  condition: s & s\n", "6:16: the condition cannot be read"),
        ("  s: {a: x}\n  condition: 's AND s'\n", "6:17: the condition cannot be read"),
        ("  s: {a: x}\n  condition: 2 of s*\n", "6:"),
        ("  s: {a: x}\n  condition: ''\n", "6:3: a condition must be a string that is not empty"),
        ("  s: {a: x}\n  condition: 7\n", "6:3: a condition must be a string"),
        ("  s: {a: x}\n  condition: []\n", "6:3: the list of conditions is empty"),
        ("  s: {a: x}\n  condition: [s, 7]\n", "6:3: a condition must be a string"),
        ("  s: {a: x}\n  condition: {s: x}\n", "6:3: a condition must be a string"),
        (
            "  s: {a: x}\n  timeframe: 5m\n  condition: s\n",
            "6:3: timeframe belongs to an aggregation; aggregations are not part of Sigma 2: write",
        ),
        (
            "  s: {a: x}\n  condition: s | count() > 5\n",
            "6:3: the condition holds an aggregation, behind |; aggregations are not part of",
        ),
        (
            "  s: {a|expand: '%x%'}\n  condition: s\n",
            "the placeholder %x% has no values; list them",
        ),
        ("  s: {a|expand: 'a%y%b%x%'}\n  condition: s\n", "the placeholder %x% has no values"),
        ("  s: null\n  condition: s\n", "SigmaNull cannot be sought without a field"),
        ("  s: {'|exists': true}\n  condition: s\n", "5:7: "),
        ("  s: {'|lt': 5}\n  condition: s\n", "cannot be sought without a field"),
        ("  s: {'|cidr': 10.0.0.0/8}\n  condition: s\n", "cannot be sought without a field"),
        ("  s: {'|fieldref': b}\n  condition: s\n", "cannot be sought without a field"),
    ],
)
def test_what_cannot_be_understood_is_refused_with_its_place(text: str, says: str) -> None:
    error = refusal(text, {"y": ["z"], "x": []})
    assert error.place is not None
    assert error.place.path == "rule.yml"
    assert error.place.line >= 4
    assert error.place.column >= 1
    assert says in str(error)
    assert "\n" not in str(error)


@pytest.mark.parametrize(
    "expression", ["(?=x)", "(?<!x)y", r"(x)\1", "(?>x)", "x++", r"\Z", "a{2000}"]
)
def test_a_regular_expression_beyond_linear_time_is_refused_in_words(
    expression: str, capfd: pytest.CaptureFixture[str]
) -> None:
    error = refusal(f"  s:\n    a|re: '{expression}'\n  condition: s\n")
    assert str(error.place) == "rule.yml:6:5"
    assert expression in str(error)
    assert "b'" not in str(error)
    assert error.remedy is not None
    assert "look-around" in error.remedy
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("expression", ["null", "7", "{x: 1}", "['x', null]", "'c)'", "'(?=x)'"])
@pytest.mark.parametrize("search", ["{{a|re: {}}}", "[{{b: 1}}, {{a|re: {}}}]", "[[{{a|re: {}}}]]"])
def test_what_is_no_regular_expression_is_refused_wherever_it_stands(
    search: str, expression: str, capfd: pytest.CaptureFixture[str]
) -> None:
    error = refusal(f"  s: {search.format(expression)}\n  condition: s\n")
    assert "regular expression" in str(error)
    assert error.place is not None
    assert (error.place.line, error.place.column) >= (5, 6)
    assert capfd.readouterr().err == ""


def test_a_placeholder_in_a_regular_expression_is_never_taken_literally() -> None:
    text = "  s: {a|re|expand: '^%x%$'}\n  condition: s\n"
    assert "%x%" in str(refusal(text))


@pytest.mark.parametrize(
    "condition",
    [
        "(" * (MAX_CONDITION_NESTING + 1) + "s" + ")" * (MAX_CONDITION_NESTING + 1),
        "not " * 200 + "s",
        "not (" * 200 + "s" + ")" * 200,
        "(" * 4000,
        "s and (" * 500 + "s" + ")" * 500,
    ],
)
def test_a_condition_that_nobody_wrote_by_hand_is_refused(condition: str) -> None:
    error = refusal(f"  s: {{a: x}}\n  condition: {condition}\n")
    assert "6:3: the condition is more deeply nested than any that is written by hand" in str(error)


def test_a_condition_without_end_is_refused() -> None:
    condition = " or ".join(["s"] * MAX_CONDITION_CHARACTERS)
    error = refusal(f"  s: {{a: x}}\n  condition: {condition}\n")
    assert f"longer than {MAX_CONDITION_CHARACTERS} characters" in str(error)


def test_a_pattern_of_many_stars_is_refused_for_what_it_is() -> None:
    error = refusal("  s: {a: x}\n  condition: 1 of s*a*b*c*\n")
    assert str(error.place) == "rule.yml:6:3"
    assert "nested" not in str(error)


def test_placeholders_that_multiply_without_end_are_refused() -> None:
    values = {"x": [str(number) for number in range(101)]}
    error = refusal("  s: {a|expand: '%x%%x%'}\n  condition: s\n", values)
    assert "expand" in str(error)
    assert error.place is not None


# Against a plain evaluator that shares nothing with the parser.

FIELDS = ("a", "b", "n")
values_sought = st.one_of(
    st.sampled_from(["x", "X", "xy", "", "x*", "*y", "?", r"\*", r"x\\", "1", "true", "ä"]),
    st.sampled_from([1, 1.5, 0]),
    st.booleans(),
)
texts_sought = st.sampled_from(["x", "Y", "xy", "", "*", "?y", r"\*", r"\\", "1", "Ä"])
regexes_sought = st.sampled_from(["x", "^x", "y$", "^.$", "x|1", "[xy]+", "^$"])
keys_and_values: st.SearchStrategy[tuple[str, Any]] = st.one_of(
    st.tuples(
        st.just(""), st.one_of(values_sought, st.lists(values_sought, min_size=1, max_size=3))
    ),
    st.tuples(
        st.sampled_from(["|contains", "|startswith", "|endswith", "|cased", "|contains|cased"]),
        st.one_of(texts_sought, st.lists(texts_sought, min_size=1, max_size=3)),
    ),
    st.tuples(
        st.sampled_from(["|contains|all", "|endswith|all", "|cased|all", "|contains|all|neq"]),
        st.lists(texts_sought, min_size=2, max_size=3),
    ),
    st.tuples(st.sampled_from(["|re", "|re|i", "|re|neq"]), regexes_sought),
    st.tuples(st.just("|exists"), st.booleans()),
    st.tuples(st.sampled_from(["|lt", "|gte"]), st.sampled_from([0, 1, 1.5])),
    st.tuples(st.sampled_from(["|neq", "|contains|neq"]), st.sampled_from(["x", "y", "1"])),
    st.tuples(st.just(""), st.none()),
)
maps = st.dictionaries(st.sampled_from(FIELDS), keys_and_values, min_size=1, max_size=2).map(
    lambda found: {field + key: value for field, (key, value) in found.items()}
)
definitions: st.SearchStrategy[Any] = st.one_of(maps, maps, st.lists(maps, min_size=1, max_size=2))
SEARCH_NAMES = ("sel_a", "sel_b", "filter", "_own")
joined = st.recursive(
    st.one_of(
        st.sampled_from(SEARCH_NAMES),
        st.tuples(
            st.sampled_from(["1 of", "all of"]), st.sampled_from(["them", "sel_*", "*l*", "_*"])
        ),
    ),
    lambda inner: st.one_of(
        st.tuples(st.just("not"), inner),
        st.tuples(st.sampled_from(["and", "or"]), inner, inner),
    ),
    max_leaves=4,
)
plain_events = st.dictionaries(
    st.sampled_from(FIELDS),
    st.recursive(
        st.one_of(
            st.sampled_from(["x", "X", "y", "xy", "", "*", "x\\", "1", "1.5", "TRUE", "ä", "Ä"]),
            st.sampled_from([0, 1, 1.0, 1.5, True, False, None]),
        ),
        lambda inner: st.one_of(
            st.lists(inner, max_size=2), st.dictionaries(st.just("x"), inner, max_size=1)
        ),
        max_leaves=3,
    ),
)


@examples(400)
@given(
    st.fixed_dictionaries(dict.fromkeys(SEARCH_NAMES, definitions)),
    joined,
    st.lists(plain_events, min_size=1, max_size=3),
)
def test_a_detection_means_what_a_plain_reading_of_it_means(
    searches: dict[str, Any], condition: Any, records: list[dict[str, Any]]
) -> None:
    tree = tree_of({**searches, "condition": written(condition)})
    for event in records:
        outcomes = {name: searched(searches[name], event) for name in SEARCH_NAMES}
        assert tree_holds(tree, event) is joins(condition, outcomes)


def written(condition: Any) -> str:
    if isinstance(condition, str):
        return condition
    if len(condition) == 3:
        word, left, right = condition
        return f"({written(left)}) {word} ({written(right)})"
    word, rest = condition
    return f"not ({written(rest)})" if word == "not" else f"{word} {rest}"


def joins(condition: Any, outcomes: Mapping[str, bool]) -> bool:
    if isinstance(condition, str):
        return outcomes[condition]
    if len(condition) == 3:
        word, left, right = condition
        sides = joins(left, outcomes), joins(right, outcomes)
        return all(sides) if word == "and" else any(sides)
    word, rest = condition
    if word == "not":
        return not joins(rest, outcomes)
    pattern = "[^_]*.*" if rest == "them" else re.escape(rest).replace(r"\*", ".*")
    chosen = [
        outcome
        for name, outcome in outcomes.items()
        if re.fullmatch(pattern, name) and name.startswith("_") <= rest.startswith("_")
    ]
    return any(chosen) if word == "1 of" else all(chosen)


def searched(definition: Any, event: Mapping[str, Any]) -> bool:
    if isinstance(definition, list):
        return any(searched(item, event) for item in definition)
    return all(found(key, value, event) for key, value in definition.items())


def found(key: str, value: Any, event: Mapping[str, Any]) -> bool:
    field, *modifiers = key.split("|")
    present = elements(event[field]) or [event[field]] if field in event else []
    if "exists" in modifiers:
        return bool(present) is value
    if value is None:
        return not present or None in present
    texts = [text for text in map(spelled, present) if text is not None]
    outcomes = [
        any(compares(sought, text, modifiers) for text in texts)
        for sought in (value if isinstance(value, list) else [value])
    ]
    outcome = all(outcomes) if "all" in modifiers else any(outcomes)
    return outcome is not ("neq" in modifiers)


def elements(value: Any) -> list[Any]:
    if not isinstance(value, list):
        return [value]
    return [inner for item in value for inner in elements(item)]


def spelled(value: Any) -> str | None:
    if value is None or isinstance(value, list):
        return None
    if isinstance(value, dict):
        return record_text(value)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def compares(sought: Any, text: str, modifiers: list[str]) -> bool:
    if "re" in modifiers:
        return re.search(sought, text, re.IGNORECASE * ("i" in modifiers)) is not None
    if isinstance(sought, bool):
        return text.lower() == str(sought).lower()
    if isinstance(sought, int | float):
        try:
            number = float(text)
        except ValueError:
            return False
        if "lt" in modifiers:
            return number < sought
        return number >= sought if "gte" in modifiers else number == sought
    expression = as_expression(sought)
    head = ".*" if {"contains", "endswith"} & set(modifiers) else ""
    tail = ".*" if {"contains", "startswith"} & set(modifiers) else ""
    flags = re.DOTALL if "cased" in modifiers else re.DOTALL | re.IGNORECASE
    return re.fullmatch(head + expression + tail, text, flags) is not None


def as_expression(sought: str) -> str:
    tokens = re.findall(r"\\[\\*?]|.", sought, re.DOTALL)
    meanings = {"*": ".*", "?": "."}
    return "".join(meanings.get(token) or re.escape(token[-1]) for token in tokens)
