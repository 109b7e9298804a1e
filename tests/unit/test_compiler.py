"""The compiled form of a tree means what the oracle says, and that is what the languages mean."""

from __future__ import annotations

import ipaddress
import re
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.events.projection import Projection, Several, dict_getter
from detector.rules.globs import compile_glob
from detector.rules.oracle import globs, holds
from detector.rules.regex import RegexError, searcher
from detector.rules.ruleset import RuleSet
from detector.rules.syntax import (
    ALWAYS,
    NEVER,
    And,
    Before,
    Columns,
    Condition,
    Equal,
    Exists,
    FieldsAlike,
    Glob,
    InNetwork,
    InText,
    IsBoolean,
    Like,
    Matches,
    Node,
    Not,
    NotEqual,
    NotExists,
    NullOrMissing,
    Number,
    NumberLike,
    Or,
    Order,
    Ordered,
    Overlap,
    Regex,
    Selector,
    Test,
    TimePart,
    Wild,
    Wildcard,
    star_glob,
)
from tests.rules import rule_of_tree
from tests.strategies import (
    cloudwatch_tests,
    documents,
    events,
    examples,
    fewer,
    names,
    scalars,
    sigma_tests,
    trees,
    values,
    words,
)
from tests.strategies import globs as any_glob
from tests.strategies import selectors as any_selector
from tests.unit.verdict import pattern_holds, tree_holds

A = Selector(("a",))
A_OF_SIGMA = Selector(("a",), through_lists=True)
DEEP = Selector(("a", "b"), through_lists=True)


@examples(400)
@given(trees, st.lists(st.tuples(events(), words), min_size=1, max_size=4))
def test_a_compiled_tree_agrees_with_the_oracle(
    tree: Node, records: list[tuple[dict[str, Any], str]]
) -> None:
    rules = RuleSet([rule_of_tree(tree, "r")])
    for event, text in records:
        assert bool(rules.match(event, text)) is holds(tree, event, text)


@examples(600)
@given(
    st.lists(st.one_of(cloudwatch_tests, sigma_tests), min_size=1, max_size=8),
    st.lists(st.one_of(fewer, names, scalars, values), min_size=1, max_size=8),
)
def test_compiled_tests_of_one_field_agree_with_the_oracle(
    tests: list[Test], found: list[object]
) -> None:
    trees = [Condition(A, test) for test in tests]
    trees += [Condition(A_OF_SIGMA, test) for test in tests]
    rules = RuleSet([rule_of_tree(tree, str(number)) for number, tree in enumerate(trees)])
    for value in found:
        event = {"a": value}
        expected = [str(number) for number, tree in enumerate(trees) if holds(tree, event, "")]
        assert rules.match(event, "") == expected


@examples(500)
@given(any_selector.filter(lambda selector: bool(selector.names)), documents())
def test_the_projected_decode_gives_the_values_of_the_full_one(
    selector: Selector, text: str
) -> None:
    others = [Selector(("userIdentity", "type")), Selector(("requestParameters", "name", "x"))]
    projection = Projection([selector, *others])
    projected = projection.getter(selector)(projection.decoder.decode(text))
    full = dict_getter(selector)(msgspec.json.decode(text))
    assert projected == full
    assert isinstance(projected, Several) is isinstance(full, Several)


small_globs = st.lists(
    st.one_of(st.sampled_from(["a", "b", "ab", "ba"]), st.sampled_from(Wild)), max_size=5
).map(lambda parts: Glob(tuple(parts)))
small_texts = st.text(alphabet="ab", max_size=5)


@examples(600)
@given(
    st.lists(st.one_of(small_globs, any_glob), min_size=1, max_size=6),
    st.lists(st.one_of(small_texts, words), min_size=1, max_size=8),
)
def test_a_glob_means_the_same_compiled_by_the_oracle_and_as_a_regular_expression(
    patterns: list[Glob], found: list[str]
) -> None:
    meanings = {Wild.ONE: ".", Wild.RUN: ".*"}
    expressions = [
        "".join(
            meanings[part] if isinstance(part, Wild) else re.escape(part) for part in glob.parts
        )
        for glob in patterns
    ]
    trees = [Condition(A, Equal(glob)) for glob in patterns]
    rules = RuleSet([rule_of_tree(tree, str(number)) for number, tree in enumerate(trees)])
    for text in found:
        expected = [re.fullmatch(item, text, re.DOTALL) is not None for item in expressions]
        assert [compile_glob(glob)(text) for glob in patterns] == expected
        assert [globs(glob, text) for glob in patterns] == expected
        assert rules.match({"a": text}) == [str(at) for at, is_so in enumerate(expected) if is_so]


# Filter patterns, as the specification's table of presence says.

VALUES: dict[str, dict[str, object]] = {
    "missing": {},
    "null": {"a": None},
    "true": {"a": True},
    "false": {"a": False},
    "text": {"a": "v"},
    "empty text": {"a": ""},
    "number": {"a": 7},
    "list": {"a": ["v"]},
    "empty list": {"a": []},
    "object": {"a": {"v": "v"}},
}


@pytest.mark.parametrize(
    ("pattern", "kinds"),
    [
        ("{ $.a = v }", {"text"}),
        ("{ $.a = 7 }", {"number"}),
        ("{ $.a != v }", {"empty text", "number"}),
        ("{ $.a != 7 }", {"text", "empty text"}),
        ("{ $.a = * }", {"text", "empty text", "number"}),
        ('{ $.a = "*" }', {"text", "empty text", "number"}),
        ("{ $.a != * }", set()),
        ('{ $.a = "" }', {"empty text"}),
        ("{ $.a = %^.% }", {"text", "number"}),
        ("{ $.a != %v% }", {"empty text", "number"}),
        ("{ $.a >= 7 }", {"number"}),
        ("{ $.a < 8 }", {"number"}),
        ("{ $.a IS NULL }", {"null"}),
        ("{ $.a IS TRUE }", {"true"}),
        ("{ $.a IS FALSE }", {"false"}),
        ("{ $.a NOT EXISTS }", {"missing"}),
        ("{ $.a.b NOT EXISTS }", set(VALUES)),
        ("{ $.a[0] = v }", {"list"}),
        ("{ $.a[0] NOT EXISTS }", set(VALUES) - {"list"}),
        ("{ $.a[*] = v }", {"list"}),
        ("{ $.a[*] NOT EXISTS }", set(VALUES) - {"list"}),
        ("{ $.a.* = v }", {"object"}),
        ("{ $.* = v }", {"text"}),
        ("{ $.* NOT EXISTS }", {"missing"}),
        ("{ $[0] NOT EXISTS }", set(VALUES)),
        ("{ $.a = true }", set()),
        ("{ $.a != true }", {"text", "empty text", "number"}),
        ("{ $.a = null }", set()),
    ],
)
def test_a_filter_pattern_tells_kinds_of_values_apart(pattern: str, kinds: set[str]) -> None:
    assert {kind for kind, event in VALUES.items() if pattern_holds(pattern, event)} == kinds


@pytest.mark.parametrize(
    ("pattern", "value", "expected"),
    [
        ("{ $.a = b* }", "bc", True),
        ("{ $.a = b* }", "b", True),
        ("{ $.a = *b }", "ab", True),
        ("{ $.a = a*b*c }", "a-b-c", True),
        ("{ $.a = a*b*c }", "ac", False),
        ("{ $.a = ab*ba }", "aba", False),
        ("{ $.a = ab*b*ba }", "abba", False),
        ("{ $.a = a*b*b }", "acb", False),
        ("{ $.a = b* }", "ab", False),
        ("{ $.a = *b }", "ba", False),
        ("{ $.a = *b* }", "abc", True),
        ("{ $.a = *b* }", "ac", False),
        ("{ $.a = a*a*a }", "aa", False),
        ("{ $.a = * }", "two\nlines", True),
        ("{ $.a = %e.l% }", "one\nline", False),
        ("{ $.a != b* }", "bc", False),
        ("{ $.a = B }", "b", False),
        ("{ $.a != b }", "B", True),
        ("{ $.a = 403 }", 403.0, True),
        ("{ $.a = 403 }", "403", True),
        ("{ $.a = 403 }", "403.0", False),
        ("{ $.a = 403.0 }", 403, True),
        ("{ $.a = 403.0 }", "403", False),
        ("{ $.a = 0403 }", 403, True),
        ("{ $.a = 0403 }", "403", False),
        ('{ $.a = "403" }', 403, True),
        ('{ $.a = "403" }', 403.0, True),
        ('{ $.a = "403.0" }', 403.0, False),
        ('{ $.a = "0.5" }', 0.5, True),
        ("{ $.a = 40* }", 403, True),
        ("{ $.a = 1 }", True, False),
        ("{ $.a = 0 }", False, False),
        ("{ $.a = -0 }", 0, True),
        ("{ $.a = 1e3 }", 1000, True),
        ("{ $.a = 9007199254740993 }", 2**53 + 1, True),
        ("{ $.a = 9007199254740993 }", 2**53, False),
        ("{ $.a > 9007199254740992 }", 2**53 + 1, True),
        ("{ $.a = 1180591620717411303424 }", 2**70, True),
        ("{ $.a > 1e300 }", 10**400, True),
        ("{ $.a = 1* }", 10**400, True),
        ("{ $.a < 5 }", "4", False),
        ("{ $.a >= 5 }", "5", False),
        ("{ $.a > 0 }", True, False),
        ("{ $.a = ß }", "ß", True),
        ("{ $.a = ss }", "ß", False),
    ],
)
def test_comparisons_mean_what_cloudwatch_means(
    pattern: str, value: object, expected: bool
) -> None:
    assert pattern_holds(pattern, {"a": value}) is expected


@pytest.mark.parametrize("operator", ["=", "!=", "<", "<=", ">", ">="])
@pytest.mark.parametrize("event", [{}, {"a": None}, {"a": [1]}, {"a": {"b": 1}}, {"a": True}])
def test_no_comparison_holds_of_what_is_neither_text_nor_number(
    operator: str, event: dict[str, object]
) -> None:
    assert not pattern_holds(f"{{ $.a {operator} 1 }}", event)


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("{ $.list[*] = 2 }", True),
        ("{ $.list[*] != 1 }", True),
        ("{ $.list[*] = 4 }", False),
        ("{ $.list[1] = 2 }", True),
        ("{ $.short[2] = * }", False),
        ("{ $.short[2] NOT EXISTS }", True),
        ("{ $.list[3] NOT EXISTS }", False),
        ("{ $.list[*] NOT EXISTS }", False),
        ("{ $.empty[*] NOT EXISTS }", True),
        ("{ $.empty[*] = * }", False),
        ("{ $.objects[*].id = 2 }", True),
        ("{ $.objects[*].name NOT EXISTS }", False),
        ("{ $.objects[*].none NOT EXISTS }", True),
        ("{ $.objects[1].id = 2 }", True),
        ("{ $.objects[0].id = 2 }", False),
        ("{ $.objects.id = 2 }", False),
        ("{ $.objects[1].* = two }", True),
        ("{ $.lists[0][1] = 2 }", True),
        ("{ $.lists[*][0] = 3 }", True),
        ("{ $.lists[*] = 3 }", False),
        ("{ $.object.* = yes }", True),
        ("{ $.object.*.deep = 1 }", True),
        ("{ $.object[*] = yes }", False),
        ("{ $.list.* = 1 }", False),
        ("{ $.* = top }", True),
        ("{ $.['dotted.key'] = 1 && $['dotted.key'] = 1 }", True),
        ("{ $.dotted.key = 1 }", False),
        ("{ $.list[*] IS NULL }", True),
        ("{ $.list[*] IS TRUE }", True),
        ("{ $.list[*] IS FALSE }", False),
    ],
)
def test_a_selector_finds_its_values(pattern: str, expected: bool) -> None:
    record = {
        "list": [1, 2, "x", None, True],
        "short": [1, 2],
        "empty": [],
        "objects": [{"id": 1}, {"id": 2, "name": "two"}],
        "lists": [[1, 2], [3]],
        "object": {"a": "yes", "b": {"deep": 1}},
        "dotted.key": 1,
        "text": "top",
    }
    assert pattern_holds(pattern, record) is expected


# Sigma's tests.


def sigma(test: Test, value: object) -> bool:
    return tree_holds(Condition(A_OF_SIGMA, test), {"a": value})


@pytest.mark.parametrize(
    ("text", "value", "expected"),
    [
        ("foo", "FOO", True),
        ("FOO", "foo", True),
        ("foo", "foobar", False),
        ("", "", True),
        ("", None, False),
        ("true", True, True),
        ("true", "TRUE", True),
        ("1", True, False),
        ("1", 1, True),
        ("1", 1.0, True),
        ("1.0", 1.0, False),
        ("1.5", 1.5, True),
        ("1*", 1e20, True),
        (str(10**400), 10**400, True),
        ("{}", {}, True),
        ('{"b":"x"}', {"b": "X"}, True),
        ('{"b":[1,null]}', {"b": [1, None]}, True),
        ("[]", [], False),
        ("x", ["y", "X"], True),
        ("x", [["y", ["x"]]], True),
        ("x", [], False),
        ("straße", "STRAßE", True),
        ("\u212a", "k", True),
        ("i\u0307", "İ", False),
    ],
)
def test_text_is_like_a_value_without_regard_to_case(
    text: str, value: object, expected: bool
) -> None:
    assert sigma(Like(star_glob(text)), value) is expected


def test_a_prefix_that_ends_in_a_sigma_is_the_same_prefix_in_the_middle_of_a_word() -> None:
    # Greek's sigma has one capital and two small letters; the last of a word is another.
    assert sigma(Like(Glob(("ΑΣ", Wild.RUN))), "ΑΣΒ")
    assert sigma(Like(Glob(("ΑΣ",))), "ΑΣ")


@pytest.mark.parametrize("character", ["ß", "\u0130", "\ufb01"])
def test_a_question_mark_is_one_character_that_becomes_several_in_another_case(
    character: str,
) -> None:
    assert sigma(Like(Glob(("a", Wild.ONE, "c")), cased=True), f"a{character}c")
    assert sigma(Like(Glob(("a", Wild.ONE, "c"))), f"a{character}c")
    assert tree_holds(InText(Glob(("a", Wild.ONE, "c")), cased=False), {"a": f"a{character}c"})


@pytest.mark.parametrize(
    ("test", "good", "bad"),
    [
        (Like(Glob(("Foo",)), cased=True), ["Foo"], ["foo", "FOO", None, 1]),
        (Like(Glob(("a", Wild.ONE, "c"))), ["abc", "A\nC", "aéc"], ["ac", "abbc"]),
        (Like(Glob((Wild.ONE, Wild.RUN))), ["a", "ab", 1, True, {}], ["", None]),
        (Like(Glob((Wild.RUN,))), ["", "a", 0, False, {}], [None, []]),
        (NumberLike(1), [1, 1.0, "1", "1.0", "01", "+1", "1e0"], [True, "x", "", None, "1x", 2]),
        (NumberLike(1.5), [1.5, "1.50"], [1, "1,5"]),
        (NullOrMissing(), [None, [None], [1, None]], ["", 0, False, [], {}, "null"]),
        (Exists(True), [None, "", 0, [], {}, [None]], []),
        (Exists(False), [], [None, "", 0, [], {}, [None]]),
        (Matches(Regex("^a.c$")), ["abc"], ["ABC", "a\nc", "xabc", "abc\n", None]),
        (Matches(Regex("^a.c$", ignore_case=True)), ["ABC"], ["ac"]),
        (Matches(Regex("^b$", multi_line=True)), ["a\nb\nc"], ["abc"]),
        (Matches(Regex("a.b", dot_all=True)), ["a\nb"], ["ab"]),
        (Matches(Regex("^true$")), [True, "true"], [False]),
        (Matches(Regex(r"^\{\"x\":1\}$")), [{"x": 1}], [{"x": 2}]),
        (InNetwork(ipaddress.ip_network("10.0.0.0/8")), ["10.1.2.3"], ["11.0.0.1", "x", "", 10]),
        (
            InNetwork(ipaddress.ip_network("2001:db8::/32")),
            ["2001:db8::1", "2001:DB8:0:0::1"],
            ["2001:db9::1", "10.0.0.1"],
        ),
        (Ordered(Order.GREATER, 5, of_text=True), [6, 5.5, "6", "5.5"], [5, "5", "x", True, None]),
        (Ordered(Order.LESS_OR_EQUAL, 5, of_text=True), [5, "5.0", -1], [6, "6", ""]),
        (TimePart("minute", 34), ["2026-09-16T12:34:56Z"], ["2026-09-16T12:35:56Z", "x", 34]),
        (TimePart("hour", 12), ["2026-09-16T12:34:56-09:00"], ["2026-09-16T13:00:00Z"]),
        (TimePart("week", 38), ["2026-09-16", "2026-09-20T23:59:59"], ["2026-09-21"]),
        (TimePart("week", 53), ["2027-01-01"], ["2027-01-04"]),
        (TimePart("day", 16), ["2026-09-16"], ["2026-09-17"]),
        (TimePart("month", 9), ["2026-09-16"], ["2026-10-16"]),
        (TimePart("year", 2026), ["2026-09-16"], ["2025-09-16"]),
        (Before(86_400.0), ["1970-01-01T23:59:59Z", "1970-01-02T00:59:59+01:00"], ["1970-01-02"]),
    ],
)
def test_a_test_of_sigma_holds_of_these_and_not_of_those(
    test: Test, good: list[object], bad: list[object]
) -> None:
    assert [value for value in good if not sigma(test, value)] == []
    assert [value for value in bad if sigma(test, value)] == []


def test_a_list_on_the_way_stands_for_its_elements() -> None:
    one = Condition(DEEP, Like(Glob(("x",))))
    assert tree_holds(one, {"a": {"b": "x"}})
    assert tree_holds(one, {"a": [{"b": "y"}, {"b": "x"}]})
    assert tree_holds(one, {"a": [[{"b": ["y", "x"]}]]})
    assert not tree_holds(one, {"a": ["x"]})
    assert not tree_holds(one, {"a": {"b": {"c": "x"}}})
    assert not tree_holds(one, {"a.b": "x"})


def test_presence_is_that_of_any_element() -> None:
    there, gone = Condition(DEEP, Exists(True)), Condition(DEEP, Exists(False))
    with_it: list[dict[str, Any]] = [{"a": [{"b": None}, {}]}, {"a": {"b": []}}, {"a": {"b": None}}]
    without: list[dict[str, Any]] = [{}, {"a": []}, {"a": [{"c": 1}]}, {"a": "b"}]
    assert [tree_holds(there, event) for event in with_it + without] == [True] * 3 + [False] * 4
    assert [tree_holds(gone, event) for event in with_it + without] == [False] * 3 + [True] * 4


@pytest.mark.parametrize(
    ("overlap", "one", "other", "expected"),
    [
        (Overlap.WHOLE, "Foo", "fOO", True),
        (Overlap.WHOLE, 1, "1", True),
        (Overlap.WHOLE, 1.0, 1, True),
        (Overlap.WHOLE, True, "true", True),
        (Overlap.WHOLE, None, None, False),
        (Overlap.WHOLE, ["x", "y"], ["z", "Y"], True),
        (Overlap.WHOLE, [], [], False),
        (Overlap.START, "foobar", "FOO", True),
        (Overlap.START, "foo", "foobar", False),
        (Overlap.END, "foobar", "BAR", True),
        (Overlap.ANYWHERE, "foobar", "OBA", True),
        (Overlap.ANYWHERE, "foobar", "", True),
    ],
)
def test_a_field_is_compared_with_another(
    overlap: Overlap, one: object, other: object, expected: bool
) -> None:
    tree = FieldsAlike(A_OF_SIGMA, Selector(("b",), through_lists=True), overlap)
    assert tree_holds(tree, {"a": one, "b": other}) is expected
    assert not tree_holds(tree, {"a": one})
    assert not tree_holds(tree, {"b": other})


def test_fields_that_differ_in_case_alone_are_not_alike_where_case_matters() -> None:
    other = Selector(("b",))
    assert tree_holds(FieldsAlike(A, other, cased=True), {"a": "x", "b": "x"})
    assert not tree_holds(FieldsAlike(A, other, cased=True), {"a": "x", "b": "X"})


# The record's own text.


def test_text_is_sought_in_the_record_as_it_was_delivered() -> None:
    text = '{"a": "x y",  "b": "\\u00e9"}'
    event = msgspec.json.decode(text)
    assert tree_holds(InText(Glob(('"x y",  "b"',))), event, text)
    assert not tree_holds(InText(Glob(("é",))), event, text)
    assert tree_holds(InText(Glob(("é",))), event)
    assert tree_holds(InText(Glob(("U00E9",)), cased=False), event, text)
    assert not tree_holds(InText(Glob(("U00E9",))), event, text)
    assert tree_holds(InText(Regex(r"\\u00e9.}$")), event, text)
    assert tree_holds(InText(Glob(("x", Wild.ONE, "y"))), event, text)
    assert tree_holds(InText(Glob(())), event, text)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("a b c", True),
        ("a b", False),
        ("a b c d", True),
        ("  a\t b   c", True),
        ("a [b x] c", False),
        ('a "b" c', True),
        ("x b c", False),
        ("", False),
    ],
)
def test_columns_are_split_at_white_space(line: str, expected: bool) -> None:
    names = ("one", "two", "three")
    condition = And(
        (
            Condition(Selector(("one",)), Equal(Glob(("a",)))),
            Condition(Selector(("two",)), Equal(Glob(("b",)))),
        )
    )
    assert tree_holds(Columns(names, condition), {}, line) is expected


# What joins them.


def test_without_operands_and_always_holds_and_or_never() -> None:
    assert tree_holds(ALWAYS, {})
    assert not tree_holds(NEVER, {})
    assert tree_holds(Not(NEVER), {})
    assert tree_holds(Or((NEVER, And((ALWAYS, Not(NEVER))))), {})


def test_alternatives_of_one_field_hold_of_each_of_its_texts() -> None:
    cased = [Condition(A, Equal(Glob((text,)))) for text in ("x", "Y", "1", "")]
    some: list[object] = ["x", "y", 1, "", True]
    held = [value for value in some if tree_holds(Or(tuple(cased)), {"a": value})]
    assert held == ["x", 1, ""]
    lowered = [Condition(A_OF_SIGMA, Like(Glob((text,)))) for text in ("x", "Y", "true")]
    others: list[object] = ["X", "y", True, "t", ["z", "x"]]
    held = [value for value in others if tree_holds(Or(tuple(lowered)), {"a": value})]
    assert held == ["X", "y", True, ["z", "x"]]


@pytest.mark.parametrize("expression", ["(", "*", "a{2000}", r"(?=a)", r"(a)\1", "[", "a\ud800"])
def test_what_is_no_regular_expression_in_linear_time_is_refused(expression: str) -> None:
    with pytest.raises(RegexError):
        searcher(Regex(expression))


@pytest.mark.parametrize(
    ("selector", "text"),
    [
        (Selector(("a", "b-c", "d_e")), "$.a.b-c.d_e"),
        (Selector(("a", 0, Wildcard.ELEMENTS, "b")), "$.a[0][*].b"),
        (Selector((Wildcard.FIELDS, "b")), "$.*.b"),
        (Selector(("a.b", "")), "$.['a.b'].['']"),
        (Selector(("é",)), "$.['é']"),
        (Selector(("a", "b"), through_lists=True), "a.b"),
    ],
)
def test_a_selector_is_shown_as_it_is_written(selector: Selector, text: str) -> None:
    assert str(selector) == text


def test_a_boolean_is_no_number_in_any_test() -> None:
    trees_of_numbers: list[Test] = [
        Equal(Number(1, "1")),
        NotEqual(Number(0, "0")),
        Ordered(Order.GREATER_OR_EQUAL, 1),
        Ordered(Order.GREATER_OR_EQUAL, 1, of_text=True),
        NumberLike(1),
    ]
    assert not any(sigma(test, True) for test in trees_of_numbers)
    assert sigma(IsBoolean(True), True)
    assert not sigma(IsBoolean(True), 1)
    assert not sigma(NotExists(), True)
