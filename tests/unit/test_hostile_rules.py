"""Whatever somebody writes into a rule file, or a caller of AWS into a value, costs little.

`DETECTOR_FUZZ_EXAMPLES` multiplies the number of examples.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from detector.document import parse
from detector.envelopes.log_file import LogFile
from detector.errors import PatternError, PayloadError, RuleError
from detector.rules.filter_pattern import parse_filter_pattern, parse_selector, repaired
from detector.rules.loader import load_rules, rule_of
from detector.rules.ruleset import RuleSet
from detector.rules.syntax import (
    And,
    Condition,
    FieldsAlike,
    Glob,
    InText,
    Like,
    Node,
    Overlap,
    Selector,
    Wild,
)
from tests.rules import rule_of_tree, rule_text
from tests.strategies import examples

RECORD: dict[str, Any] = {
    "eventName": "PutUserPolicy",
    "eventTime": "2026-09-16T12:00:00Z",
    "sourceIPAddress": "203.0.113.7",
    "userIdentity": {"arn": "arn:aws:iam::1:user/x", "sessions": [{"mfa": True}, None, 7]},
    "a": [1, "x", {"b": []}],
}

# Nothing but the errors that are meant for it comes out of a parser.

PATTERNS = (
    '{ $.eventName = "PutUserPolicy" && ($.errorCode NOT EXISTS || $.a[*].b != 1.5e3) }',
    "{($.a=x)||($.['b.c'][0]=%^x[0-9]{1,2}$%)||($.c.* IS TRUE)}",
    "{ $.eventNa me = x }",
    "[ip, ..., status_code = 4* || status_code >= 500, bytes]",
    'ERROR -"phrase with space" ?a %re.x% ',
)
ALPHABET = "{}()[]$.ab=!&|\"%\\ *1?-<>,'\n\tISNULOTEX"


@st.composite
def mutated(draw: st.DrawFn, originals: tuple[str, ...], insertions: tuple[str, ...]) -> str:
    """Return one of some texts, with pieces taken out, doubled, moved or put in."""
    text = draw(st.sampled_from(originals))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.integers(0, 12)))
        piece = draw(st.sampled_from(["", text[start:end] * 2, *insertions]))
        text = text[:start] + piece + text[end:]
    return text


pattern_texts = st.one_of(
    st.text(alphabet=ALPHABET, max_size=40),
    st.text(max_size=40),
    mutated(PATTERNS, tuple(ALPHABET)),
)


@examples(600)
@given(pattern_texts)
def test_any_text_is_a_pattern_or_refused_with_a_place_inside_it(text: str) -> None:
    try:
        tree = parse_filter_pattern(text)
    except PatternError as error:
        assert 0 <= error.offset <= len(text)
        assert error.message
        if error.edit is not None:
            assert 0 <= error.edit.offset <= len(text)
            assert error.edit.apply(text) != text
    else:
        assert RuleSet([rule_of_tree(tree, "r")]).match(RECORD) in ([], ["r"])


@examples(200)
@given(pattern_texts)
def test_any_text_is_repaired_to_a_pattern_or_not_at_all(text: str) -> None:
    meant = repaired(text)
    if meant is not None:
        assert meant != text
        parse_filter_pattern(meant)


@examples(200)
@given(st.one_of(st.text(alphabet=ALPHABET, max_size=20), st.text(max_size=20)))
def test_any_text_is_a_selector_or_refused_with_a_place_inside_it(text: str) -> None:
    try:
        parse_selector(text)
    except PatternError as error:
        assert 0 <= error.offset <= len(text)


MODIFIERS = (
    *("contains", "startswith", "endswith", "all", "exists", "cased", "neq", "windash", "re"),
    *("i", "m", "s", "base64", "base64offset", "utf16le", "utf16be", "utf16", "wide", "lt", "lte"),
    *("gt", "gte", "minute", "hour", "day", "week", "month", "year", "cidr", "expand", "fieldref"),
    "nonsense",
)
field_names = st.one_of(
    st.sampled_from(["eventName", "userIdentity.arn", "a.b", "a", "", "eventTime", "é", "."]),
    st.text(max_size=5),
)
keys = st.builds(
    lambda name, modifiers: "|".join([name, *modifiers]),
    field_names,
    st.lists(st.sampled_from(MODIFIERS), max_size=3),
)
sought = st.one_of(
    st.text(max_size=8),
    st.text(alphabet="ab*?\\%-/.()[]{}|+^$", max_size=8),
    st.sampled_from(["%x%", "10.0.0.0/8", "(?=x)", r"(a)\1", "a{999}", "*", "\\*", "", "true"]),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.booleans(),
    st.none(),
)
wild_values: st.SearchStrategy[Any] = st.recursive(
    sought,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(keys, inner, max_size=3)),
    max_leaves=6,
)
conditions = st.one_of(
    st.sampled_from(["s", "not s", "1 of them", "all of s*", "s and t", "(s or t)", "1 of _*"]),
    st.text(alphabet="st notandr1of*()|", max_size=20),
    st.text(max_size=10),
    wild_values,
)
sigma_detections = st.one_of(
    st.fixed_dictionaries(
        {"s": wild_values, "condition": conditions},
        optional={"t": wild_values, "_u": wild_values, "timeframe": sought},
    ),
    st.fixed_dictionaries(
        {"s": st.dictionaries(keys, sought, max_size=2), "condition": st.just("s")}
    ),
    wild_values,
)


@examples(700)
@given(sigma_detections)
def test_any_detection_is_understood_or_refused_with_its_place(detection: Any) -> None:
    text = rule_text(pattern=..., detection=detection)
    try:
        rule = rule_of(parse(text, "rule.yml", RuleError), {"x": ["a", 1, "b*"]})
    except RuleError as error:
        assert error.place is not None
        assert error.place.path == "rule.yml"
        assert "\n" not in error.message
    else:
        assert RuleSet([rule]).match(RECORD) in ([], [rule.id])


GOOD_FILES = (
    rule_text(window={"period": 300, "threshold": 1, "group_by": ["recipientAccountId"]}),
    rule_text(
        pattern=..., detection={"s": {"a|contains": ["x", 7]}, "condition": "s"}, tags=["a.b"]
    ),
    yaml.safe_dump_all(
        [
            {
                "title": "c",
                "id": "c",
                "correlation": {
                    "type": "value_count",
                    "rules": ["c", "11111111-2222-4333-8444-555555555555"],
                    "group-by": ["x"],
                    "timespan": "5m",
                    "condition": {"gte": 3, "field": "y"},
                    "aliases": {"x": {"c": "z"}},
                },
            },
            yaml.safe_load(rule_text()),
        ],
        sort_keys=False,
    ),
    yaml.safe_dump(
        {
            "title": "f",
            "filter": {"rules": "any", "s": {"a": "b"}, "condition": "s"},
            "expires": "2026-12-31",
            "reason": "x",
        },
        sort_keys=False,
    ),
)
YAML_PIECES = (
    *("\n", " ", "\t", ":", "- ", "'", '"', "{", "[", "]", "&x ", "*x", "!!int ", "---\n", "...\n"),
    *(
        "|",
        ">",
        "%",
        "?",
        "#",
        "<<: ",
        "null",
        "1e999",
        "0x1",
        ".nan",
        "2026-01-01",
        "\u2028",
        "\x85",
    ),
    *("title: ", "pattern: ", "detection: ", "correlation: ", "filter: ", "condition: ", "\ufeff"),
)
FILE_KEYS = (
    *("title", "id", "name", "level", "pattern", "detection", "correlation", "filter", "rules"),
    *("type", "timespan", "condition", "window", "tests", "logsource", "tags"),
)
yaml_data = st.recursive(
    st.one_of(sought, st.dates()),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(FILE_KEYS),
            inner,
            max_size=4,
        ),
    ),
    max_leaves=12,
)


@examples(400)
@given(
    text=st.one_of(
        mutated(GOOD_FILES, YAML_PIECES),
        st.text(max_size=60),
        yaml_data.map(yaml.safe_dump),
        st.lists(yaml_data, max_size=3).map(yaml.safe_dump_all),
    ).map(str)
)
def test_any_file_is_loaded_or_its_faults_are_named(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzzed.yml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    check_loaded(path)


@examples(150)
@given(content=st.binary(max_size=60))
def test_any_bytes_are_loaded_or_their_faults_are_named(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzzed.yml"
    path.write_bytes(content)
    check_loaded(path)


def check_loaded(path: Path) -> None:
    loaded = load_rules([path], {"x": ["a", 1]})
    for error in loaded.errors:
        assert isinstance(error, RuleError)
        assert error.place is not None
        assert error.place.path == str(path)
        assert error.message
    RuleSet(loaded.rules, loaded.correlations).match(RECORD)


def file_of(folder: Path, detection: dict[str, Any], **fields: Any) -> Path:
    path = folder / "rule.yml"
    path.write_text(rule_text(pattern=..., detection=detection, **fields))
    return path


@pytest.mark.parametrize(
    "value",
    ["?" * 100_000, "?*" * 50_000, "a?" * 20_000, "*" * 200_000, "a*" * 100_000, "\\" * 100_000],
)
@pytest.mark.parametrize("key", ["a", "a|cased", "a|contains", "a|re", ""])
def test_a_value_of_a_hundred_thousand_wildcards_is_loaded_or_refused(
    tmp_path: Path, key: str, value: str
) -> None:
    search: Any = {key: value} if key else [value]
    check_loaded(file_of(tmp_path, {"s": search, "condition": "s"}))


@pytest.mark.parametrize(
    ("key", "unit"),
    [("a", "a*"), ("a|contains", "a*b"), ("a", "?"), ("a|re", "a?"), ("a|re", "[ab]*"), ("", "a*")],
)
def test_a_long_value_of_a_rule_is_read_in_linear_time(key: str, unit: str) -> None:
    def work(size: int) -> Callable[[], object]:
        search: Any = {key: unit * size} if key else [unit * size]
        text = rule_text(pattern=..., detection={"s": search, "condition": "s"})

        def read() -> None:
            with suppress(RuleError):
                rule_of(parse(text, "rule.yml", RuleError))

        return read

    assert growth(work, 20_000) < LINEAR


@pytest.mark.parametrize(
    "detection",
    [
        {"s": {"a": [str(number) for number in range(20_000)]}, "condition": "s"},
        {"s": {"a|contains": [str(number) for number in range(5_000)]}, "condition": "s"},
        {"s": [{"a": number} for number in range(3_000)], "condition": "s"},
        {**{f"s{number}": {"a": number} for number in range(2_000)}, "condition": "1 of s*"},
        {"s": [{f"f{number}": 1} for number in range(2_000)], "condition": "s"},
        {"s": {f"f{number}": 1 for number in range(2_000)}, "condition": "s"},
        {"s": {".".join("a" * 400): 1}, "condition": "s"},
        {"s": {".".join("a" * 5_000): 1}, "condition": "s"},
        {"s": {"." * 5_000: 1}, "condition": "s"},
        {"a" * 2_000: {"b": 1}, "s": {"a": 1}, "condition": "s or 1 of *a*a*a"},
        {"s": {"a|re": "(" * 5_000 + ")" * 5_000}, "condition": "s"},
        {"s": {"a|re": "(a|" * 900 + ")" * 900}, "condition": "s"},
    ],
)
def test_a_detection_of_great_size_is_loaded_or_refused(
    tmp_path: Path, detection: dict[str, Any]
) -> None:
    check_loaded(file_of(tmp_path, detection))


def test_parentheses_without_end_are_refused_at_once() -> None:
    for text in ("{" + "(" * 1000, "{ $.a = " + "(" * 1000, "[" + "(" * 1000, "(" * 1000):
        with pytest.raises(PatternError):
            parse_filter_pattern(text)


# What a caller of AWS writes costs linear time.

MIB = 1 << 20


def time_of(work: Callable[[], object]) -> float:
    """Return the shortest of several runs, in seconds of this process."""
    best = float("inf")
    for _ in range(5):
        start = time.process_time()
        work()
        best = min(best, time.process_time() - start)
    return best


def growth(work: Callable[[int], Callable[[], object]], most: int) -> float:
    """Return how many times as long four times as much takes: 4 for linear work, 16 for quadratic.

    The size is the smallest that takes a millisecond, at most a quarter of `most`.
    """
    size = max(1, most // 256)
    while size < most // 4 and time_of(work(size)) < 1e-3:
        size *= 2
    tick = 2e-4
    return max(time_of(work(4 * size)), tick) / max(time_of(work(size)), tick)


LINEAR = 9
"""More than this, and it is not linear: far from 4 for a busy machine, and far from 16."""


def matching(tree: Node, value: object, text: str | None = None) -> Callable[[], object]:
    rules = RuleSet([rule_of_tree(tree, "r")])
    record = {"a": value}
    return lambda: rules.match(record, text)


STARS = "{ $.a = " + "a*" * 300 + "b }"
SIGMA_STARS = Condition(
    Selector(("a",), through_lists=True), Like(Glob((*("a", Wild.RUN) * 200, "b")))
)


def glob_of_ones(*parts: str | Wild) -> Node:
    return Condition(Selector(("a",), through_lists=True), Like(Glob(parts)))


@pytest.mark.parametrize(
    ("tree", "unit"),
    [
        (parse_filter_pattern(STARS), "a"),
        (parse_filter_pattern("{ $.a = *a*a*b* }"), "a"),
        (parse_filter_pattern('{ $.a = "*' + "ab" * 100 + 'c*" }'), "ab"),
        (parse_filter_pattern("{ $.a = %.*.*.*% }"), "a"),
        (parse_filter_pattern("{ $.a = %.*.*.*b% }"), "a"),
        (parse_filter_pattern("{ $.a = %a+a+a+a+b$% }"), "a"),
        (parse_filter_pattern("{ $.a = %[ab]{1,100}c% }"), "ab"),
        (parse_filter_pattern("{ $.a != " + "a*" * 300 + "b }"), "a"),
        (parse_filter_pattern("{ $.a = 1 || $.a > 1 }"), "1"),
        (SIGMA_STARS, "A"),
        (glob_of_ones(Wild.RUN, Wild.ONE, "a", Wild.ONE, Wild.RUN, "b"), "a"),
        (glob_of_ones(Wild.ONE, *(Wild.RUN, "a", Wild.ONE) * 50, "b"), "a"),
        (glob_of_ones("\u0130" * 10, Wild.RUN), "\u0130"),
    ],
)
def test_a_long_value_takes_linear_time(tree: Node, unit: str) -> None:
    assert growth(lambda size: matching(tree, unit * (size // len(unit))), MIB) < LINEAR


@pytest.mark.parametrize(
    ("key", "value", "unit"),
    [
        ("a", 7, "1"),
        ("a|gt", 7, "9"),
        ("a|gt", 7, "."),
        ("a|cidr", "10.0.0.0/8", "1."),
        ("a|cidr", "10.0.0.0/8", ":"),
        ("a|cidr", "2001:db8::/32", "a:"),
        ("a|hour", 7, "2026-"),
        ("a|hour", 7, "1"),
        ("a|re", "(a+)+$", "a"),
        ("a|re", "(a|aa)+$", "a"),
        ("a|re", "(.*a){12}b", "a"),
        ("a|re|i|m|s", "^(a|b|ab)*c", "ab"),
        ("a|contains|all", ["ab", "ba", "c"], "ab"),
        ("a|base64offset|contains", "secret", "c2Vj"),
        ("a|windash|contains", "-a -b -c", "-a "),
    ],
)
def test_a_long_value_takes_sigma_linear_time(key: str, value: object, unit: str) -> None:
    text = rule_text(pattern=..., detection={"s": {key: value}, "condition": "s"})
    tree = rule_of(parse(text, "rule.yml", RuleError)).tree
    assert growth(lambda size: matching(tree, unit * (size // len(unit))), MIB) < LINEAR


@pytest.mark.parametrize(
    ("pattern", "unit"),
    [
        ("x -y", "a"),
        ('"' + "ab" * 40 + 'c"', "ab"),
        ("%a.*b.*c%", "ab"),
        ("[a, b, c = x]", "a "),
        ("[..., c = x]", "a "),
        ("[a, ..., c = x]", '"a '),
        ("[a, ..., c = x]", "[ "),
        ("[a, ..., c = x]", '[" '),
        ("[a, ..., c = x]", "[a]"),
        ("[a, ..., c = x]", " "),
        ("[a, b = a*a*a*b]", "a"),
    ],
)
def test_a_long_text_takes_linear_time(pattern: str, unit: str) -> None:
    tree = parse_filter_pattern(pattern)
    assert growth(lambda size: matching(tree, 1, unit * (size // len(unit))), MIB) < LINEAR


def test_a_long_text_takes_keywords_linear_time() -> None:
    tree = And((InText(Glob(("a", Wild.ONE, "b", Wild.RUN, "c")), cased=False),))
    assert growth(lambda size: matching(tree, 1, "ab" * (size // 2)), MIB) < LINEAR


@pytest.mark.parametrize("overlap", Overlap)
def test_two_long_lists_of_a_record_are_compared_in_linear_time(overlap: Overlap) -> None:
    tree = FieldsAlike(
        Selector(("a", "x"), through_lists=True), Selector(("a", "y"), through_lists=True), overlap
    )

    def work(size: int) -> Callable[[], object]:
        value = {"x": [f"x{n}" for n in range(size)], "y": [f"y{n}" for n in range(size)]}
        return matching(tree, value)

    assert growth(work, 4_000) < LINEAR


@pytest.mark.parametrize("pattern", ["{ $.a[*] = b }", "{ $.a[*].x = b }", "{ $.a[*] != 1 }"])
def test_a_long_list_takes_linear_time(pattern: str) -> None:
    tree = parse_filter_pattern(pattern)
    assert growth(lambda size: matching(tree, [{"x": 1}, 1] * size), 100_000) < LINEAR


def test_a_number_of_a_million_digits_takes_linear_time() -> None:
    trees = [parse_filter_pattern("{ $.a = 1* }"), parse_filter_pattern("{ $.a > 1 }"), SIGMA_STARS]
    rules = RuleSet([rule_of_tree(tree, str(number)) for number, tree in enumerate(trees)])

    def work(size: int) -> Callable[[], object]:
        document = b'{"Records": [{"a": ' + b"1" * size + b"}]}"
        return lambda: judged(rules, document)

    assert growth(work, MIB) < LINEAR


def judged(rules: RuleSet, document: bytes) -> str:
    """Return a word for what came of a log file."""
    try:
        found = rules.match_batch(LogFile(document))
    except PayloadError as error:
        return error.reason
    return "unreadable" if found.unreadable else "judged"


def deep(depth: int, bottom: object = "x") -> Any:
    value = bottom
    for level in range(depth):
        value = [value] if level % 2 else {"b": value}
    return value


DEEP_TREES: list[Node] = [
    parse_filter_pattern("{ $.a.b = x }"),
    parse_filter_pattern("{ $.a.b[0].b IS NULL || $.* NOT EXISTS }"),
    parse_filter_pattern("{ $.* = x }"),
    parse_filter_pattern("x"),
    parse_filter_pattern("[a, b = x]"),
    Condition(Selector(("a",), through_lists=True), Like(Glob((Wild.RUN, "x", Wild.RUN)))),
    Condition(Selector(("a", "b"), through_lists=True), Like(Glob((Wild.RUN,)))),
    FieldsAlike(Selector(("a",)), Selector(("a",))),
]


@pytest.mark.parametrize("depth", [100, 900, 5_000, 100_000])
def test_a_value_nested_without_end_is_judged_by_every_kind_of_rule(depth: int) -> None:
    rules = RuleSet([rule_of_tree(tree, str(at)) for at, tree in enumerate(DEEP_TREES)])
    ids = rules.match({"eventName": "x", "a": deep(depth)})
    assert "0" not in ids
    text = '{"eventName": "y", "c": "x"}'
    assert "3" in rules.match({"eventName": "x", "a": deep(depth)}, text)


@pytest.mark.parametrize("depth", [100, 900, 5_000, 100_000])
def test_json_nested_without_end_is_judged_or_refused(depth: int) -> None:
    rules = RuleSet([rule_of_tree(tree, str(at)) for at, tree in enumerate(DEEP_TREES)])
    for opened, closed in ((b"[", b"]"), (b'{"b":', b"}"), (b'[{"b":', b"}]")):
        value = opened * depth + b"1" + closed * depth
        document = b'{"Records": [{"eventName": "x", "a": ' + value + b"}]}"
        assert judged(rules, document) in ("judged", "too_deep", "unreadable")


def test_a_thousand_user_agents_cost_what_one_costs_a_thousand_times() -> None:
    tree = parse_filter_pattern("{ $.userAgent = *evil* }")
    rules = RuleSet([rule_of_tree(tree, "r")])

    def work(size: int) -> Callable[[], object]:
        return lambda: [rules.match({"userAgent": f"agent {size} {n}"}) for n in range(size)]

    assert growth(work, 16_000) < LINEAR
