"""The Sigma specification's own examples and JSON schemas: what they allow is taken."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from detector.rules.loader import LoadedRules, load_rules

pytestmark = pytest.mark.conformance

Documents = list[dict[str, Any]]

BLANK = "\u2014"
"""Stands in an example for what its reader fills in."""

CALLED_INVALID = {
    "sigma-rules-specification.md:532": (
        "null in a list of values: read as one more value, a field that is null or missing"
    ),
}
"""Examples that the specification calls invalid, and that we take nevertheless, as what."""


@pytest.fixture(scope="module")
def specification(reference: Path) -> Path:
    return reference / "data" / "sigma-schema"


def load(folder: Path, text: str) -> LoadedRules:
    path = folder / "example.yml"
    path.write_text(text)
    return load_rules([path])


def written(documents: Documents) -> str:
    # Dates become the strings that they are to our reader of YAML.
    plain = json.loads(json.dumps(documents, default=str))
    return str(yaml.safe_dump_all(plain, sort_keys=False))


def stand_ins(documents: Documents) -> Documents:
    """Return a rule for each that a correlation refers to and that is not there."""
    there = {
        value for document in documents for value in (document.get("id"), document.get("name"))
    }
    wanted = {
        reference: None
        for document in documents
        for reference in document.get("correlation", {}).get("rules", [])
    }
    return [stand_in(reference) for reference in wanted if reference not in there]


def stand_in(reference: str) -> dict[str, Any]:
    return {
        "title": f"Stands in for {reference}",
        "name": reference,
        "logsource": {"product": "windows"},
        "detection": {"selection": {"EventID": 1}, "condition": "selection"},
    }


def count(loaded: LoadedRules) -> int:
    parts = (loaded.rules, loaded.foreign, loaded.correlations, loaded.filters)
    return sum(len(part) for part in parts)


# The documents that the specification's own tests validate.


def test_every_document_of_the_specifications_tests_loads(
    specification: Path, tmp_path: Path
) -> None:
    paths = sorted((specification / "tests").rglob("*.yml"))
    assert len(paths) == 12
    for path in paths:
        check(tmp_path, path.name, path.read_text())


def check(folder: Path, name: str, text: str) -> None:
    """Load a text as it is, with stand-ins behind it, and find all of it."""
    documents = list(yaml.safe_load_all(text))
    others = stand_ins(documents)
    loaded = load(folder, "\n---\n".join([text, *(written([other]) for other in others)]))
    assert loaded.errors == [], name
    assert count(loaded) == len(documents) + len(others), name


# The examples in its text.


def examples_in(specification: Path) -> Iterator[tuple[str, str, Documents]]:
    """Yield the place, the text and the documents of each example that is YAML."""
    for path in sorted((specification / "specification").glob("*.md")):
        text = path.read_text(encoding="utf-8")
        for block in re.finditer(r"^```ya?ml\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
            line = text.count("\n", 0, block.start()) + 1
            try:
                documents = list(yaml.safe_load_all(block.group(1)))
            except yaml.YAMLError:
                continue  # the outline of a file, with words such as [optional] in it
            if all(isinstance(document, dict) for document in documents):
                yield f"{path.name}:{line}", block.group(1), documents


def says_something(document: dict[str, Any]) -> bool:
    """Whether a document is a rule, a filter, or a correlation, and not a piece of one."""
    return bool({"detection", "filter"} & document.keys()) or "type" in document.get(
        "correlation", {}
    )


def is_complete(document: dict[str, Any]) -> bool:
    return says_something(document) and "title" in document and BLANK not in document.values()


def completed(document: dict[str, Any]) -> dict[str, Any]:
    """Fill in what a fragment leaves to its reader."""
    given = {key: value for key, value in document.items() if value != BLANK}
    whole = {"title": "An example", **given}
    if "detection" in whole:
        whole.setdefault("logsource", {"product": "windows"})
        whole["detection"] = {"condition": "1 of them", **whole["detection"]}
    return whole


def test_every_complete_example_of_the_specification_loads(
    specification: Path, tmp_path: Path
) -> None:
    taken = 0
    for place, text, documents in examples_in(specification):
        if all(map(is_complete, documents)):
            check(tmp_path, place, text)
            taken += 1
    assert taken == 8


def test_every_fragment_of_the_specification_loads_once_it_is_completed(
    specification: Path, tmp_path: Path
) -> None:
    taken = 0
    for place, _, documents in examples_in(specification):
        if all(map(says_something, documents)) and not all(map(is_complete, documents)):
            check(tmp_path, place, written([completed(document) for document in documents]))
            taken += 1
    assert taken == 15


def test_what_the_specification_calls_invalid_is_known(specification: Path) -> None:
    text = (specification / "specification" / "sigma-rules-specification.md").read_text()
    places = {
        f"sigma-rules-specification.md:{text.count(chr(10), 0, found.end()) + 1}"
        for found in re.finditer(r"^Invalid Example:\n\n", text, re.MULTILINE)
    }
    assert places == CALLED_INVALID.keys()


# The JSON schemas.

BASES: dict[str, dict[str, Any]] = {
    "sigma-detection-rule-schema.json": {
        "title": "A rule",
        "logsource": {"product": "aws", "service": "cloudtrail"},
        "detection": {"selection": {"eventName": "x"}, "condition": "selection"},
    },
    "sigma-correlation-rules-schema.json": {
        "title": "A correlation",
        "correlation": {
            "type": "event_count",
            "rules": ["stand-in"],
            "group-by": ["userIdentity.arn"],
            "timespan": "5m",
            "condition": {"gte": 3},
        },
    },
    "sigma-filters-schema.json": {
        "title": "A filter",
        "logsource": {"product": "aws", "service": "cloudtrail"},
        "filter": {
            "rules": ["stand-in"],
            "selection": {"eventName": "x"},
            "condition": "selection",
        },
    },
}
STRUCTURED = {"detection", "correlation", "filter", "logsource"}
"""What is given by hand: a schema says less of them than the specification's text."""


def samples(schema: dict[str, Any]) -> list[Any]:
    """Return values that a part of a schema allows."""
    if "const" in schema:
        return [schema["const"]]
    options = schema.get("oneOf", schema.get("anyOf"))
    if options is not None:
        return [value for option in options for value in samples(option)]
    if schema["type"] == "array":
        return [[], *([value] for value in samples(schema["items"]))]
    if schema["type"] == "object":
        return [{name: samples(part)[0] for name, part in schema["properties"].items()}]
    return [True, False] if schema["type"] == "boolean" else texts(schema)


def texts(schema: dict[str, Any]) -> list[Any]:
    if schema.get("format") == "uuid":
        return ["0e95725d-7320-415d-80f7-004da920fc11"]
    if "pattern" in schema:
        known = ("2025-08-02", "attack.t1078.004")
        return [word for word in known if re.search(schema["pattern"], word)][:1]
    return ["Some words", "x" * min(schema.get("maxLength", 256), 256)]


@pytest.mark.parametrize("name", BASES)
def test_every_property_of_a_schema_is_taken_with_every_value_that_it_allows(
    specification: Path, tmp_path: Path, name: str
) -> None:
    schema = json.loads((specification / "json-schema" / name).read_text())
    refused = []
    tried = 0
    for key, part in schema["properties"].items():
        for value in samples(part) if key not in STRUCTURED else [BASES[name][key]]:
            document = {**BASES[name], key: value}
            loaded = load(tmp_path, written([document, *stand_ins([document])]))
            tried += 1
            if loaded.errors:
                refused.append(f"{key}: {value!r}: {loaded.errors[0].message}")
    assert refused == []
    assert tried >= 8


def test_every_type_of_correlation_and_every_comparison_of_the_schema_is_taken(
    specification: Path, tmp_path: Path
) -> None:
    name = "sigma-correlation-rules-schema.json"
    schema = json.loads((specification / "json-schema" / name).read_text())
    section = schema["properties"]["correlation"]["properties"]
    types = [option["const"] for option in section["type"]["oneOf"]]
    comparisons = [key for option in section["condition"]["anyOf"] for key in option]
    assert (len(types), len(comparisons)) == (7, 7)
    for kind in types:
        for comparison in set(comparisons) - {"field"}:
            condition: dict[str, Any] = {comparison: 3}
            if kind.startswith("value"):
                condition["field"] = "sourceIPAddress"
            base = BASES[name]["correlation"]
            document = {
                **BASES[name],
                "correlation": {**base, "type": kind, "condition": condition},
            }
            text = written([document, *stand_ins([document])])
            assert load(tmp_path, text).errors == []


def test_logsources_of_the_schema_are_taken(specification: Path, tmp_path: Path) -> None:
    for name in ("sigma-detection-rule-schema.json", "sigma-filters-schema.json"):
        schema = json.loads((specification / "json-schema" / name).read_text())
        for key in schema["properties"]["logsource"]["properties"]:
            document = {**BASES[name], "logsource": {key: "some words"}}
            assert load(tmp_path, written([document])).errors == []
        document = {**BASES[name], "logsource": {"other": "x"}}
        assert load(tmp_path, written([document])).errors == []


def test_custom_fields_are_refused_so_that_a_misspelt_one_is_found(tmp_path: Path) -> None:
    """A decision of ours: the specification allows `[arbitrary custom fields]` in a rule."""
    document = {**BASES["sigma-detection-rule-schema.json"], "falsepositive": ["x"]}
    (error,) = load(tmp_path, written([document])).errors
    assert "unknown key falsepositive; did you mean falsepositives?" in str(error)
