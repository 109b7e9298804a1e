"""TestMetricFilter, offline: what AWS documents of it, and that it is the detector's own engine."""

import json
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from detector.cli.inputs import messages_in
from detector.cli.metric_filter import caret_lines
from detector.errors import PatternError
from detector.metric_filter import MetricFilter
from detector.rules import oracle
from detector.rules.explain import spelled
from detector.rules.filter_pattern import parse_filter_pattern
from detector.rules.syntax import Condition
from tests.records import log_file, record
from tests.strategies import documents, pattern_conditions

ACCESS = '127.0.0.1 - frank [10/Oct/2000:13:25:15 -0700] "GET /apache_pb.gif HTTP/1.0" 200 1534'


def found(pattern: str, *messages: str) -> list[dict[str, Any]]:
    return [match.as_json() for match in MetricFilter(pattern).matches(messages)]


def values(pattern: str, message: str) -> dict[str, str]:
    (match,) = found(pattern, message)
    extracted = match["extractedValues"]
    assert isinstance(extracted, dict)
    return extracted


def test_a_match_tells_its_number_its_message_and_its_values() -> None:
    message = '{"eventName": "DeleteTrail", "n": 1}'
    assert found('{ $.eventName = "DeleteTrail" }', "{}", message) == [
        {
            "eventNumber": 2,
            "eventMessage": message,
            "extractedValues": {"$.eventName": "DeleteTrail"},
        }
    ]


@pytest.mark.parametrize(
    ("pattern", "message", "extracted"),
    [
        ("{ $.a = 1 || $.b = x }", {"a": 1.0}, {"$.a": "1"}),
        ("{ $.a = 1 || $.b NOT EXISTS }", {"a": 2}, {"$.a": "2"}),
        ("{ $.a IS NULL }", {"a": None}, {"$.a": "null"}),
        ("{ $.a IS TRUE }", {"a": True}, {"$.a": "true"}),
        ("{ $.a.b[1] > 1 }", {"a": {"b": [1, 2.5]}}, {"$.a.b[1]": "2.5"}),
        ("{ $.a[*] = x }", {"a": ["x", "y"]}, {"$.a[*]": '["x","y"]'}),
        ("{ $.['a.b'] = x && $.c = * }", {"a.b": "x", "c": "é"}, {"$.['a.b']": "x", "$.c": "é"}),
        ("{ $.a = x || $.b = y }", {"a": "x", "b": {"c": 1}}, {"$.a": "x", "$.b": '{"c":1}'}),
    ],
)
def test_the_values_of_a_json_pattern_are_those_that_its_selectors_find(
    pattern: str, message: dict[str, Any], extracted: dict[str, str]
) -> None:
    assert values(pattern, json.dumps(message, ensure_ascii=False)) == extracted


@pytest.mark.parametrize(
    ("pattern", "extracted"),
    [
        (
            "[ip, identity, user_id, timestamp, request, status_code, size]",
            {
                "$ip": "127.0.0.1",
                "$identity": "-",
                "$user_id": "frank",
                "$timestamp": "10/Oct/2000:13:25:15 -0700",
                "$request": "GET /apache_pb.gif HTTP/1.0",
                "$status_code": "200",
                "$size": "1534",
            },
        ),
        (
            "[..., status_code=200, size]",
            {
                "$1": "127.0.0.1",
                "$2": "-",
                "$3": "frank",
                "$4": "10/Oct/2000:13:25:15 -0700",
                "$5": "GET /apache_pb.gif HTTP/1.0",
                "$status_code": "200",
                "$size": "1534",
            },
        ),
        (
            "[ip, ..., size=1534]",
            {
                "$ip": "127.0.0.1",
                "$2": "-",
                "$3": "frank",
                "$4": "10/Oct/2000:13:25:15 -0700",
                "$5": "GET /apache_pb.gif HTTP/1.0",
                "$6": "200",
                "$size": "1534",
            },
        ),
        ("[ip, rest]", {"$ip": "127.0.0.1", "$rest": ACCESS.partition(" ")[2]}),
        ("frank -root", {}),
        ("", {}),
    ],
)
def test_the_values_of_columns_are_under_their_names_or_numbers_as_aws_shows_them(
    pattern: str, extracted: dict[str, str]
) -> None:
    assert values(pattern, ACCESS) == extracted


@given(st.text(alphabet='ab [" ]', max_size=12))
def test_columns_under_dots_are_numbered_whatever_the_line_is(line: str) -> None:
    matches = found("[first, ..., last]", line)
    assert bool(matches) == (len(found("[first, last]", line)) == 1)
    for match in matches:
        named: dict[str, str] = match["extractedValues"]
        inner = [f"${number}" for number in range(2, len(named))]
        assert list(named) == ["$first", *inner, "$last"]


@pytest.mark.parametrize("message", ["", "x", "[1]", '"a"', '2026 {"a":"x"}', "{", '{"a":"x"} x'])
def test_a_message_that_is_no_json_object_matches_no_json_pattern(message: str) -> None:
    assert found("{ $.a NOT EXISTS || $.a = x }", message) == []


def test_terms_are_sought_in_the_message_as_it_is_written() -> None:
    assert found('"\\"a\\": 1"', '{"a": 1}') != []
    assert found('"\\"a\\": 1"', '{"a":1}') == []


@given(pattern_conditions, st.lists(documents(), max_size=3))
def test_what_matches_is_what_the_oracle_says(condition: Condition, messages: list[str]) -> None:
    pattern = f"{{ {spelled(condition)} }}"
    assume('"' not in condition.selector.steps)  # msgspec has no name with a quotation mark
    tree = parse_filter_pattern(pattern)
    expected = [
        number
        for number, message in enumerate(messages, 1)
        if oracle.holds(tree, json.loads(message), message)
    ]
    assert [match["eventNumber"] for match in found(pattern, *messages)] == expected


def test_a_malformed_pattern_is_an_error_with_its_place() -> None:
    with pytest.raises(PatternError) as caught:
        MetricFilter("{ $.a == 1 }")
    assert caught.value.offset == 6


@pytest.mark.parametrize(
    ("body", "messages"),
    [
        (b"", []),
        (b"a\r\nb\n\n c\n", ["a", "b", " c"]),
        (b"a\x0bb\xe2\x80\xa8c", ["a\x0bb\u2028c"]),
        (b"\xff", ["\ufffd"]),
        (b'{"a": 1}\n{"a": 2}\n', ['{"a": 1}', '{"a": 2}']),
        (b'{\n "a": 1\n}\n', ['{\n "a": 1\n}']),
        (b'\xef\xbb\xbf[{"a": 1}, "x \\"y\\"", 3]', ['{"a": 1}', 'x "y"', "3"]),
        (b"[ERROR] it broke\n[WARN] so did this", ["[ERROR] it broke", "[WARN] so did this"]),
        (b"[1]\n[2]", ["[1]", "[2]"]),
        (b'{"Records": [{"a": 1}, {"b": 2}]}', ['{"a": 1}', '{"b": 2}']),
        (b'{"Records": [{"a": 1},\n\n{"b":\n2}]}', ['{"a": 1}', '{"b":\n2}']),
        (b'{"Records": 1}', ['{"Records": 1}']),
        (b'{"Records": [{"a": "\\ud800"}]}', ['{"a": "\\ufffd"}']),
        (b"{broken\n}", ["{broken", "}"]),
    ],
)
def test_messages_are_lines_or_records_or_elements(body: bytes, messages: list[str]) -> None:
    assert messages_in(body) == messages


def test_the_records_of_a_log_file_are_messages() -> None:
    assert [json.loads(text)["eventName"] for text in messages_in(log_file(record("A")))] == ["A"]


@given(st.text(max_size=120), st.integers(0, 120))
def test_the_caret_stands_under_the_character_that_does_not_fit(text: str, offset: int) -> None:
    line, caret = caret_lines(text, min(offset, len(text)))
    assert "\n" not in line
    assert caret.endswith("^")
    assert len(line) <= 80
    if text.isascii():
        at = text[offset : offset + 1]
        assert line[len(caret) - 1 : len(caret)] == (at if at.isprintable() else " ")


def test_the_caret_stands_right_behind_wide_and_combining_characters() -> None:
    assert caret_lines("日本 x", 3) == ("日本 x", "     ^")
    assert caret_lines("e\u0301 x", 3) == ("e\u0301 x", "  ^")
