"""The benchmark's patterns as they are published, good and malformed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from detector.errors import PatternError
from detector.rules.filter_pattern import MAX_PATTERN_CHARACTERS, parse_filter_pattern, repaired
from tests.unit.verdict import tree_holds

pytestmark = pytest.mark.conformance


@pytest.fixture(scope="module")
def controls(reference: Path) -> list[dict[str, Any]]:
    text = (reference / "spec" / "cis-controls.yaml").read_text(encoding="utf-8")
    found: list[dict[str, Any]] = yaml.safe_load(text)["controls"]
    return found


@pytest.fixture(scope="module")
def malformed(controls: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [item for control in controls for item in control.get("malformed_transcriptions", [])]


def texts(control: dict[str, Any]) -> list[str]:
    """Return a control's well-formed patterns."""
    return [str(form["pattern"]) for form in control["forms"]]


def test_every_published_form_of_every_control_is_understood(
    controls: list[dict[str, Any]],
) -> None:
    assert len(controls) == 16
    forms = [text for control in controls for text in texts(control)]
    assert len(forms) == 20
    for text in forms:
        assert parse_filter_pattern(text)
        assert len(text) <= MAX_PATTERN_CHARACTERS
        assert repaired(text) is None


def test_every_malformed_transcription_is_refused_where_it_goes_wrong(
    malformed: list[dict[str, Any]],
) -> None:
    assert len(malformed) == 5
    for item in malformed:
        named = re.search(r" at (\d+)$", item["error"])
        assert named is not None
        with pytest.raises(PatternError) as caught:
            parse_filter_pattern(item["text"])
        assert caught.value.offset == int(named.group(1)), item["text"]
        assert caught.value.remedy


def test_every_malformed_transcription_is_repaired_to_what_was_meant(
    malformed: list[dict[str, Any]],
) -> None:
    for item in malformed:
        suggested = repaired(item["text"])
        assert suggested is not None
        assert parse_filter_pattern(suggested) == parse_filter_pattern(item["repaired"])


def test_every_form_holds_of_a_record_of_the_values_that_it_names(
    controls: list[dict[str, Any]],
) -> None:
    for control in controls:
        for text in texts(control):
            tree = parse_filter_pattern(text)
            assert tree_holds(tree, record_named_by(text)), text
            assert not tree_holds(tree, {"eventName": "HeadBucket"})


CONDITION = re.compile(r'\$\.([\w.]+)\s*(!?=)\s*(?:"([^"]*)"|([^\s)]+))')


def record_named_by(pattern: str) -> dict[str, Any]:
    """Return a record of the first value that a pattern gives each field, or of another for !=."""
    record: dict[str, Any] = {}
    for path, operator, quoted, bare in CONDITION.findall(pattern):
        *above, name = path.split(".")
        inner = record
        for key in above:
            inner = inner.setdefault(key, {})
        inner.setdefault(name, (quoted or bare).strip("*") if operator == "=" else "other")
    return record
