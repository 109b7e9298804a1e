"""The JSON Schema of rule files says what the loader says, as far as a schema can.

What only the loader refuses, and a schema cannot: a pattern, a field's name or a Sigma value that
cannot be read; a keyword that is null; a condition of searches that are not there; a correlation or
alias that names a rule which is not there; an id or name that is taken; a day that no calendar has;
a whole number that is written with a point.
"""

import copy
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import assume, given
from hypothesis import strategies as st

from detector.document import Document, parse, read_all
from detector.errors import RuleError
from detector.rules.correlation import MAX_TIMESPAN_SECONDS, CorrelationFile
from detector.rules.exception import FilterFile
from detector.rules.json_schema import rule_schema, schema_text
from detector.rules.loader import load_rules, rule_of, shipped_rules
from detector.rules.rule import RuleFile
from detector.rules.sigma import parse_detection
from detector.typed_document import convert
from tests.conftest import REPOSITORY
from tests.strategies import examples

SCHEMA = rule_schema()
VALIDATOR = jsonschema.Draft7Validator(SCHEMA)

RULE: dict[str, Any] = {
    "title": "A rule",
    "id": "11111111-2222-4333-8444-555555555555",
    "name": "a_rule",
    "related": [{"id": "x", "type": "similar"}],
    "status": "test",
    "level": "low",
    "references": ["somewhere"],
    "tags": ["attack.t1098"],
    "controls": {"cis": {"v1": "1"}, "hub": "2"},
    "lint_exceptions": {"untested": "it is only an example"},
    "logsource": {"product": "aws", "service": "cloudtrail"},
    "pattern": "{ $.eventName = A }",
    "window": {
        "period": 300,
        "threshold": 1,
        "comparison_operator": "GreaterThanThreshold",
        "group_by": ["recipientAccountId"],
    },
    "tests": [{"name": "it fires", "fires": True, "event": {"eventName": "A"}}],
}
SIGMA: dict[str, Any] = {
    "title": "A Sigma rule",
    "detection": {
        "fields": {"eventName": ["A", "B"], "errorCode": None, "count": 3},
        "words": ["word", 5],
        "either": [{"eventName": "A"}, {"eventName": "B"}],
        "condition": ["fields and words", "either"],
    },
}
CORRELATION: dict[str, Any] = {
    "title": "A correlation",
    "correlation": {
        "type": "event_count",
        "rules": ["a", "b"],
        "group-by": ["user"],
        "timespan": "90m",
        "condition": {"gte": 3, "lt": 7.5},
        "aliases": {"user": {"a": "x", "b": "y"}},
        "generate": True,
    },
}
VALUES: dict[str, Any] = {
    "title": "A correlation of values",
    "correlation": {
        "type": "value_percentile",
        "rules": ["a"],
        "timespan": "30d",
        "condition": {"lte": 1, "field": ["x"], "percentile": 5},
    },
}
TEMPORAL: dict[str, Any] = {
    "title": "One after the other",
    "correlation": {"type": "temporal_ordered", "rules": ["a", "b"], "timespan": "10s"},
}
FILTER: dict[str, Any] = {
    "title": "A filter",
    "logsource": {"product": "aws"},
    "expires": "2026-12-31",
    "reason": "a reason",
    "filter": {"rules": ["a"], "who": {"userAgent|contains": "x"}, "condition": "not who"},
}
GOOD = [RULE, SIGMA, CORRELATION, VALUES, TEMPORAL, FILTER]


def document_of(data: Any) -> Document:
    return parse(yaml.safe_dump(data), "rule.yml", RuleError)


def fits(data: Any) -> bool:
    return bool(VALIDATOR.is_valid(data))


def fault(data: dict[str, Any]) -> str | None:
    """What the loader has against a document on its own, or None."""
    document = document_of(data)
    try:
        if "correlation" in data:
            convert(document, CorrelationFile, RuleError)
        elif "filter" in data:
            file = convert(document, FilterFile, RuleError)
            searches = {key: value for key, value in file.filter.items() if key != "rules"}
            parse_detection(searches, document, "filter", {})
        else:
            rule_of(document)
    except RuleError as error:
        return error.message
    return None


MEANING = re.compile(
    r"null value must be bound|SigmaNull|^modifier|expires is a day|not part of a field's name"
    r"|detection '.*' not defined|a field's name of letters|cannot stand in a term without quotes"
    r"|must be a whole number, not a number|takes one field",
    re.IGNORECASE,
)
"""Of what only the loader can refuse, what it says."""


def test_the_schema_file_is_what_the_types_make() -> None:
    text = (REPOSITORY / "rules" / "rule.schema.json").read_text()
    assert text == schema_text(), (
        "run: python -m detector.rules.json_schema > rules/rule.schema.json"
    )


def test_the_schema_is_one_itself() -> None:
    jsonschema.Draft7Validator.check_schema(SCHEMA)


def test_the_shipped_rules_fit_and_the_schema_beside_them_is_no_rule() -> None:
    loaded = load_rules([shipped_rules()])
    assert loaded.errors == []
    for path in sorted(shipped_rules().rglob("*.yml")):
        for document in read_all(path, RuleError):
            assert list(VALIDATOR.iter_errors(document.data)) == [], path


def test_the_rules_of_the_sigma_project_fit(reference: Path) -> None:
    for path in sorted((reference / "data" / "sigma" / "rules").rglob("*.yml")):
        for document in read_all(path, RuleError):
            assert list(VALIDATOR.iter_errors(document.data)) == [], path


def test_the_examples_of_sigmas_specification_fit_where_they_load(reference: Path) -> None:
    for path in sorted((reference / "data" / "sigma-schema" / "tests").rglob("*.yml")):
        for document in read_all(path, RuleError):
            assert isinstance(document.data, dict)
            said = fault(document.data)
            assert fits(document.data) is (said is None), (path, said)


@pytest.mark.parametrize("data", GOOD, ids=lambda data: data["title"])
def test_a_good_document_fits(data: dict[str, Any]) -> None:
    assert fault(data) is None
    assert list(VALIDATOR.iter_errors(data)) == []


def replaced(data: dict[str, Any], path: list[str | int], value: Any) -> dict[str, Any]:
    """Return a copy with the value at a path replaced; `...` removes it."""
    changed = copy.deepcopy(data)
    place: Any = changed
    for key in path[:-1]:
        place = place[key]
    if value is ...:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return changed


@pytest.mark.parametrize(
    ("data", "path", "value"),
    [
        (RULE, ["title"], ...),
        (RULE, ["title"], " "),
        (RULE, ["id"], "a b"),
        (RULE, ["id"], "-a"),
        (RULE, ["id"], "a" * 129),
        (RULE, ["level"], "bad"),
        (RULE, ["pattern"], ...),
        (RULE, ["pattern"], None),
        (RULE, ["pattern"], "a" * 1025),
        (RULE, ["detection"], SIGMA["detection"]),
        (RULE, ["nonsense"], 1),
        (RULE, ["date"], 2026),
        (RULE, ["window", "period"], 90),
        (RULE, ["window", "period"], 0),
        (RULE, ["window", "period"], 86_460),
        (RULE, ["window", "period"], True),
        (RULE, ["window", "threshold"], -1),
        (RULE, ["window", "group_by"], ["a", "a"]),
        (RULE, ["window"], {"threshold": 0}),
        (RULE, ["window", "extra"], 1),
        (RULE, ["tests", 0, "fires"], "yes"),
        (RULE, ["tests", 0, "event"], ...),
        (RULE, ["tests", 0, "event"], []),
        (RULE, ["controls", "cis"], {"v1": 1}),
        (RULE, ["controls", "cis"], ["1"]),
        (RULE, ["lint_exceptions", "untested"], None),
        (RULE, ["related", 0, "type"], "cousin"),
        (RULE, ["logsource"], "aws"),
        (RULE, ["logsource", "product"], 1),
        (SIGMA, ["detection", "condition"], ...),
        (SIGMA, ["detection", "condition"], ""),
        (SIGMA, ["detection", "condition"], []),
        (SIGMA, ["detection", "condition"], ["fields", 1]),
        (SIGMA, ["detection", "timeframe"], "5m"),
        (SIGMA, ["detection"], {"condition": "x"}),
        (SIGMA, ["detection"], []),
        (SIGMA, ["detection", "fields"], {}),
        (SIGMA, ["detection", "fields", "eventName"], {"a": 1}),
        (SIGMA, ["detection", "fields", "eventName"], [["A"]]),
        (SIGMA, ["detection", "either"], [{}]),
        (CORRELATION, ["correlation"], None),
        (CORRELATION, ["correlation", "type"], "count"),
        (CORRELATION, ["correlation", "rules"], []),
        (CORRELATION, ["correlation", "rules"], ["a", "a"]),
        (CORRELATION, ["correlation", "timespan"], "90"),
        (CORRELATION, ["correlation", "timespan"], "031d"),
        (CORRELATION, ["correlation", "timespan"], "31d"),
        (CORRELATION, ["correlation", "timespan"], 90),
        (CORRELATION, ["correlation", "condition"], ...),
        (CORRELATION, ["correlation", "condition"], None),
        (CORRELATION, ["correlation", "condition"], {}),
        (CORRELATION, ["correlation", "condition"], {"gte": None}),
        (CORRELATION, ["correlation", "condition"], {"gte": 1, "field": "x"}),
        (CORRELATION, ["correlation", "condition"], {"gte": 1, "percentile": 101}),
        (CORRELATION, ["correlation", "group_by"], ["user"]),
        (CORRELATION, ["window"], {}),
        (CORRELATION, ["filter"], FILTER["filter"]),
        (VALUES, ["correlation", "condition"], {"gte": 1}),
        (VALUES, ["correlation", "condition"], {"gte": 1, "field": []}),
        (VALUES, ["correlation", "condition"], None),
        (TEMPORAL, ["correlation", "condition"], {"gte": 1, "field": "x"}),
        (FILTER, ["filter", "rules"], ...),
        (FILTER, ["filter", "rules"], "all"),
        (FILTER, ["filter", "rules"], [1]),
        (FILTER, ["filter", "condition"], ...),
        (FILTER, ["filter", "who"], ...),
        (FILTER, ["expires"], "tomorrow"),
        (FILTER, ["expires"], 20261231),
        (FILTER, ["level"], "low"),
        (FILTER, ["title"], ""),
    ],
)
def test_both_refuse_what_is_wrong(data: dict[str, Any], path: list[str | int], value: Any) -> None:
    changed = replaced(data, path, value)
    assert fault(changed) is not None
    assert not fits(changed)


@pytest.mark.parametrize(
    ("data", "path", "value"),
    [
        (RULE, ["id"], ""),
        (RULE, ["pattern"], "a" * 1024),
        (RULE, ["detection"], None),
        (RULE, ["window", "threshold"], 0),
        (RULE, ["window"], {}),
        (RULE, ["logsource", "made_up"], 1),
        (RULE, ["lint_exceptions"], {"made-up": "the linter says so, not the loader"}),
        (SIGMA, ["pattern"], None),
        (CORRELATION, ["correlation", "condition", "eq"], None),
        (CORRELATION, ["correlation", "condition", "field"], []),
        (TEMPORAL, ["correlation", "condition"], None),
        (TEMPORAL, ["correlation", "condition"], {"gte": 2}),
        (VALUES, ["correlation", "condition", "field"], "x"),
        (FILTER, ["filter", "rules"], "any"),
        (FILTER, ["filter", "rules"], []),
        (FILTER, ["expires"], None),
        (FILTER, ["expires"], "20261231"),
        (FILTER, ["expires"], "2026-W01-1"),
    ],
)
def test_both_take_what_is_unusual_and_right(
    data: dict[str, Any], path: list[str | int], value: Any
) -> None:
    changed = replaced(data, path, value)
    assert fault(changed) is None
    assert fits(changed)


def paths(data: Any, before: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The paths to everything in a document."""
    items = data.items() if isinstance(data, dict) else enumerate(data)
    for key, value in items:
        yield (*before, key)
        if isinstance(value, (dict, list)):
            yield from paths(value, (*before, key))


someones = st.sampled_from(
    ["", " ", "a", "A", "any", "stable", "low", "90m", "30d", "2026-12-31", "fields", "value_sum"]
)
odd_values = st.recursive(
    st.one_of(
        someones,
        st.integers(-2, 5),
        st.sampled_from([60, 60.0, 300, 1.5, 100, 101, 86_400]),
        st.booleans(),
        st.none(),
        st.just(...),
    ),
    lambda inner: st.one_of(
        st.lists(inner.filter(lambda item: item is not ...), max_size=2),
        st.dictionaries(
            st.sampled_from(["a", "b", "condition", "field", "gte", "eq", "rules", "name"]),
            inner.filter(lambda item: item is not ...),
            max_size=2,
        ),
    ),
    max_leaves=4,
)
new_keys = st.sampled_from(
    ["nonsense", "timeframe", "pattern", "detection", "filter", "level", "percentile", "aliases"]
)


@st.composite
def mutated(draw: st.DrawFn) -> dict[str, Any]:
    """Good documents with some things in them replaced, removed or added."""
    data: dict[str, Any] = copy.deepcopy(draw(st.sampled_from(GOOD)))
    for _ in range(draw(st.integers(1, 3))):
        found = list(paths(data))
        assume(found)
        path = list(draw(st.sampled_from(found)))
        if draw(st.integers(0, 4)) == 0 and not isinstance(path[-1], int):
            path[-1] = draw(new_keys)
            value = draw(odd_values.filter(lambda item: item is not ...))
        else:
            value = draw(odd_values)
        data = replaced(data, path, value)
    return data


@examples(500)
@given(mutated())
def test_schema_and_loader_agree_but_for_what_only_the_loader_can_know(
    data: dict[str, Any],
) -> None:
    said = fault(data)
    if fits(data):
        assert said is None or MEANING.search(said), said
    else:
        assert said is not None, list(VALIDATOR.iter_errors(data))


@given(st.integers(0, 3_000_000), st.sampled_from("smhdw"))
def test_the_longest_timespan_is_the_same(number: int, unit: str) -> None:
    data = replaced(TEMPORAL, ["correlation", "timespan"], f"{number}{unit}")
    assert fits(data) is (fault(data) is None)


@pytest.mark.parametrize(("unit", "size"), [("s", 1), ("m", 60), ("h", 3600), ("d", 86_400)])
def test_the_longest_timespan_is_allowed_to_the_second(unit: str, size: int) -> None:
    longest = MAX_TIMESPAN_SECONDS // size
    for number, expected in ((1, True), (longest, True), (longest + 1, False)):
        data = replaced(TEMPORAL, ["correlation", "timespan"], f"{number}{unit}")
        assert fits(data) is expected
        assert (fault(data) is None) is expected


def described(schema: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Every property in a schema, with what an editor shows of it."""
    if isinstance(schema, dict):
        for name, inner in schema.get("properties", {}).items():
            if isinstance(inner, dict) and inner.keys() - {"enum", "const", "minimum"}:
                yield f"{path}.{name}", inner.get("description", "")
        for key, inner in schema.items():
            if key not in {"if", "then", "else", "oneOf", "allOf", "anyOf"}:
                yield from described(inner, f"{path}.{key}")


def test_every_field_is_described_to_editors() -> None:
    found = dict(described(SCHEMA["definitions"]))
    assert len(found) > 60
    assert [path for path, description in found.items() if not description.endswith(".")] == []


def test_the_kinds_of_findings_that_can_be_accepted_are_offered() -> None:
    offered = SCHEMA["definitions"]["rule"]["properties"]["lint_exceptions"]["properties"]
    assert "shared-event-name" in offered


def test_the_schema_knows_every_field_of_a_rule() -> None:
    known = SCHEMA["definitions"]["rule"]["properties"].keys()
    assert known == set(RuleFile.__struct_encode_fields__)


def test_the_schema_is_plain_json() -> None:
    assert json.loads(schema_text()) == SCHEMA
