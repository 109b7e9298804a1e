"""What rules see of values: the part that the compiled form and the oracle share."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.rules.syntax import ALWAYS, Columns, TimeUnit
from detector.rules.values import (
    columns_of,
    epoch_seconds,
    is_number,
    number_of,
    number_text,
    record_text,
    sigma_text,
    time_part,
    values_at,
)
from tests.strategies import examples, values


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (1, "1"),
        (1.0, "1"),
        (-1, "-1"),
        (1.5, "1.5"),
        (-0.0, "0"),
        (0.1, "0.1"),
        (1e20, "100000000000000000000"),
        (1e-7, "1e-07"),
        (2**70, "1180591620717411303424"),
        (10**400, "1" + "0" * 400),
    ],
)
def test_an_integral_number_is_written_without_a_fraction(number: float, text: str) -> None:
    assert number_text(number) == text


def test_a_number_too_long_to_be_written_out_has_no_text() -> None:
    assert len(number_text(10**4000)) == 4001
    assert number_text(10**4300) == ""
    assert sigma_text(-(10**4300)) == ""


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1", 1),
        ("+1", 1),
        ("-1.50", -1.5),
        (".5", 0.5),
        ("5.", 5),
        ("1e3", 1000),
        ("1E-3", 0.001),
        ("007", 7),
        ("0", 0),
    ],
)
def test_a_text_spells_a_number(text: str, number: float) -> None:
    assert number_of(text) == number


@pytest.mark.parametrize(
    "text",
    ["", "x", "1x", "0x10", "1,5", "1e", "--1", "+", ".", "e5", "true", "null", " 1", "{}"],
)
def test_a_text_that_spells_no_number_has_none(text: str) -> None:
    assert number_of(text) is None


@pytest.mark.parametrize(
    "text", ["1_0", "1_000.5", "1 ", "1\n", "1٢", "+inf", "-inf", "+nan", "-nan"]
)
def test_what_python_alone_reads_as_a_number_is_none(text: str) -> None:
    assert number_of(text) is None


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1, True),
        (1.5, True),
        (2**70, True),
        (True, False),
        ("1", False),
        (None, False),
        ([], False),
    ],
)
def test_a_boolean_is_no_number(value: object, expected: bool) -> None:
    assert is_number(value) is expected


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("x", "x"),
        (True, "true"),
        (False, "false"),
        (1.0, "1"),
        (None, None),
        ([], None),
        (["x"], None),
        ({}, "{}"),
        ({"b": 1, "a": ["é", None]}, '{"b":1,"a":["é",null]}'),
        ({"a": 2**70}, '{"a":1180591620717411303424}'),
    ],
)
def test_sigma_compares_values_by_their_json_text(value: object, text: str | None) -> None:
    assert sigma_text(value) == text


def test_what_no_json_can_hold_has_an_empty_text() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    for value in ({"a": deep}, {"a": "\ud800"}, {"a": object()}, {1j: 1}):
        assert record_text(value) == ""  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T00:00:00", 0),
        ("1970-01-01", 0),
        ("1970-01-01 00:00:01.5", 1.5),
        ("1970-01-01T01:00:00+01:00", 0),
        ("2026-09-16T12:34:56Z", 1_789_562_096),
        ("0001-01-01T00:00:00+23:59", -62_135_683_140),
        ("", None),
        ("x", None),
        ("1789562096", None),
        ("2026-13-01T00:00:00Z", None),
        ("2026-09-16T25:00:00Z", None),
        ("2026-09-16T12:34:56Z ", None),
    ],
)
def test_a_text_without_a_zone_tells_a_time_in_utc(text: str, seconds: float | None) -> None:
    assert epoch_seconds(text) == seconds


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("2026-09-16T12:34:56Z", (34, 12, 16, 38, 9, 2026)),
        ("2026-09-16T23:34:56-09:00", (34, 23, 16, 38, 9, 2026)),
        ("2027-01-01", (0, 0, 1, 53, 1, 2027)),
        ("2025-12-29", (0, 0, 29, 1, 12, 2025)),
        ("x", (None,) * 6),
    ],
)
def test_a_part_of_a_time_is_read_as_it_is_written(
    text: str, parts: tuple[int | None, ...]
) -> None:
    assert tuple(time_part(text, unit) for unit in get_args(TimeUnit)) == parts


@examples(300)
@given(st.text(max_size=30), st.sampled_from(get_args(TimeUnit)))
def test_any_text_tells_a_time_or_none(text: str, unit: TimeUnit) -> None:
    assert (time_part(text, unit) is None) or (epoch_seconds(text) is not None)


@pytest.mark.parametrize(
    ("names", "line", "columns"),
    [
        (("a", "b"), "1 2", {"a": "1", "b": "2"}),
        (("a", "b"), "1 2 3  4 ", {"a": "1", "b": "2 3  4"}),
        (("a", "b"), "1", None),
        (("a",), "", None),
        (("a",), "  \t ", None),
        (("a",), " whole line ", {"a": "whole line"}),
        (("a", "b", "c"), "x [y z] w", {"a": "x", "b": "y z", "c": "w"}),
        (("a", "b", "c"), 'x "y z" w', {"a": "x", "b": "y z", "c": "w"}),
        (("a", "b", "c"), "x [] w", {"a": "x", "b": "", "c": "w"}),
        (("a", "b"), "x [y z", {"a": "x", "b": "[y z"}),
        (("a", "b", "c"), 'x "y z', {"a": "x", "b": '"y', "c": "z"}),
        (("a", "b", "c"), 'x a"b c" w', {"a": "x", "b": 'a"b', "c": 'c" w'}),
        ((None,), "anything", {}),
        ((None,), "", {}),
        ((None, "z"), "1 2 3", {"z": "3"}),
        ((None, "z"), "1", {"z": "1"}),
        ((None, "z"), "", None),
        (("a", None), "1 2 3", {"a": "1"}),
        (("a", None, "z"), "1 2", {"a": "1", "z": "2"}),
        (("a", None, "z"), "1 2 3 4", {"a": "1", "z": "4"}),
        (("a", None, "y", "z"), "1 2", None),
    ],
)
def test_a_line_is_split_into_columns(
    names: tuple[str | None, ...], line: str, columns: dict[str, str] | None
) -> None:
    assert columns_of(line, Columns(names, ALWAYS)) == columns


@pytest.mark.parametrize(
    ("steps", "found"),
    [
        (("a",), [1, 2, 3]),
        (("b", "c"), [1, 2, None]),
        (("b", "d"), []),
        (("e",), [[]]),
        (("e", "x"), []),
        (("f",), [[[]]]),
        (("g",), [None]),
        (("g", "x"), []),
        (("none",), []),
        (("t",), [1, 2]),
    ],
)
def test_a_list_stands_for_its_elements(steps: tuple[str, ...], found: list[object]) -> None:
    record = {
        "a": [1, [2, [3]]],
        "b": [{"c": 1}, [{"c": [2]}, {"c": None}], "x", {}],
        "e": [],
        "f": [[]],
        "g": None,
        "t": (1, (2,)),
    }
    assert values_at(record, steps) == found


@examples(300)
@given(values, st.lists(st.sampled_from(["name", "x", "type"]), max_size=3))
def test_no_value_that_is_found_is_a_list_with_something_in_it(
    value: object, steps: list[str]
) -> None:
    for found in values_at(value, steps):
        assert not isinstance(found, list) or values_at(found, ()) == [found]


def test_lists_in_lists_are_opened_however_deep_they_are() -> None:
    deep: list[Any] = ["x"]
    for _ in range(100_000):
        deep = [deep]
    assert values_at({"a": deep}, ("a",)) == ["x"]
