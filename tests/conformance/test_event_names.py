"""What real logs hold is in the catalogue of event names, but for what consoles do in private."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from detector.rules.event_names import is_known_source, names_of

pytestmark = pytest.mark.conformance


@pytest.fixture(scope="module")
def pairs(reference: Path) -> set[tuple[str, str]]:
    """Return each eventSource and eventName that occur together."""
    data = reference / "data"
    single = (data / "single-events" / "events.jsonl").read_text(encoding="utf-8").splitlines()
    events = [json.loads(line) for line in single]
    for path in (data / "real-logs" / "CloudTrail").glob("*.json"):
        events += json.loads(path.read_bytes())["Records"]
    return {(event["eventSource"], event["eventName"]) for event in events}


def test_nearly_all_names_of_real_events_are_known(pairs: set[tuple[str, str]]) -> None:
    unknown = {(source, name) for source, name in pairs if name not in names_of(source)}
    assert len(pairs) > 400
    assert len(unknown) <= 0.03 * len(pairs), sorted(unknown)


def test_all_sources_of_real_events_are_known(pairs: set[tuple[str, str]]) -> None:
    assert not {source for source, _ in pairs if not is_known_source(source)}
