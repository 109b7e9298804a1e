"""Any text is a rule file that loads and means one thing by every way, or its faults are named."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import yaml

from tests.fuzz.running import Form, fuzz, instrumented, rule_files

with instrumented():
    from detector.document import parse_all
    from detector.errors import RuleError
    from detector.rules.loader import LoadedRules, _Loading
    from detector.rules.ruleset import RuleSet
    from tests.unit.test_hostile_rules import (
        FILE_KEYS,
        GOOD_FILES,
        MODIFIERS,
        RECORD,
        YAML_PIECES,
    )
    from tests.unit.verdict import ids_by_oracle, ids_of_batch

PATH = "fuzzed.yml"
PLACEHOLDERS: dict[str, list[str | int | float]] = {"x": ["a", 1, "b*"]}
DETECTIONS = (
    "{s: {eventName|contains: [Put, 7], a.b|re|i: '^x+$'}, f: {errorCode: null}, condition: s and"
    " not f}",
    "{a1: [x, y*], a2: {sourceIPAddress|cidr: 203.0.113.0/24}, condition: 1 of a* or all of them}",
    "{s: {eventTime|hour: 12, a|gte: 1.5, eventName|startswith|cased: P}, condition: s}",
    "{s: {a|expand: '%x%', userIdentity.arn|fieldref|endswith: b, c|exists: false}, condition: s}",
    "{s: {a|base64offset|contains: x, b|utf16le|base64: y, c|windash|contains|all: [-a, /b]},"
    " condition: [s, not s]}",
)
WORDS = (
    *YAML_PIECES,
    *(f"{key}: " for key in FILE_KEYS),
    *(f"|{modifier}" for modifier in MODIFIERS),
    *("1 of ", "all of ", "them", " and ", " or ", " not ", "group_by: ", "threshold: ", "any"),
    *("event_count", "value_count", "temporal", "temporal_ordered", "aliases: ", "group-by: "),
    *("status: deprecated", "logsource: ", "product: windows", "<<: *x", "&x [*x]", "9" * 400),
)
VALUES: tuple[object, ...] = (
    *(
        None,
        True,
        0,
        -1,
        7,
        1.5,
        2**70,
        float("nan"),
        float("inf"),
        "",
        "x",
        "*",
        "?",
        "\\*",
        "%x%",
    ),
    *([], {}, [None], [[]], ["x", 7], {"a": "x"}, {"s": {"a": ["b*", None]}, "condition": "s"}),
    *(f"{name}|{modifier}" for name in ("a", "eventName", "") for modifier in MODIFIERS),
    *(
        "a|re|i",
        "a|contains|all",
        "a|base64offset|contains",
        "a|fieldref|startswith",
        "a|windash|re",
    ),
    *(
        "eventName",
        "eventTime",
        "userIdentity.arn",
        "a",
        "a.b",
        "s",
        "t",
        "_u",
        "10.0.0.0/8",
        "a{99}",
    ),
    *("s and t", "1 of s*", "all of them", "not (s or t)", "5m", "1h", "value_count", "temporal"),
    *FILE_KEYS,
)
TEXTS = [msgspec.json.encode(record).decode() for record in (RECORD, {"eventName": 1}, {})]
EVENTS: list[tuple[dict[str, Any], str]] = [(msgspec.json.decode(text), text) for text in TEXTS]


def check(data: bytes) -> None:
    """Load a file's rules, and ask them of the events."""
    text = data.decode(errors="replace")
    loaded = load(text)
    for error in loaded.errors:
        assert error.place is not None
        assert error.place.path == PATH
        # What is missing at the end stands in the line after it.
        assert error.place.line <= len(text.splitlines()) + 1
        assert error.message
        assert "\n" not in error.message
    rules = [*loaded.rules, *loaded.foreign]
    compiled = RuleSet(rules, loaded.correlations)
    expected = [ids_by_oracle(rules, event, text) for event, text in EVENTS]
    assert [compiled.match(event, text) for event, text in EVENTS] == expected
    assert ids_of_batch(compiled, TEXTS) == expected


def load(text: str) -> LoadedRules:
    """Return what `load_rules` would of a file with this text, without a file."""
    loading = _Loading(PLACEHOLDERS)
    try:
        documents = parse_all(text, PATH, RuleError)
    except RuleError as error:
        loading.loaded.errors.append(error)
    else:
        for document in documents:
            loading.add(document)
    return loading.finish()


def seeds() -> Iterator[bytes]:
    """Yield the shipped rule files, the same without all that is prose, and small ones."""
    for path in rule_files():
        yield path.read_bytes()
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
        short = {
            key: document[key]
            for key in ("title", "pattern", "detection", "correlation", "filter", "window")
            if key in document
        }
        yield yaml.safe_dump(short, sort_keys=False).encode()
    for text in GOOD_FILES:
        yield text.encode()
    for detection in DETECTIONS:
        yield f"title: t\ndetection: {detection}\n".encode()


def _read(document: bytes) -> Any:
    return list(yaml.load_all(document, yaml.CSafeLoader))


def _write(data: Any) -> bytes:
    documents = data if isinstance(data, list) else [data]
    return yaml.dump_all(
        documents, Dumper=yaml.CSafeDumper, sort_keys=False, allow_unicode=True, encoding="utf-8"
    )


FORM = Form(_read, _write, VALUES)

if __name__ == "__main__":
    fuzz(check, seeds=seeds(), words=WORDS, max_bytes=8192, form=FORM)
