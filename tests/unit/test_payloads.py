"""Each file in tests/payloads gives what expected.yaml says; its README tells how to read that."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from detector.envelopes.message import open_message
from detector.envelopes.payload import Limits, open_payload
from detector.envelopes.types import ObjectReference
from detector.errors import PayloadError
from detector.matching import PayloadMatches
from detector.rules.ruleset import RuleSet
from detector.sources.delivery import Payload
from tests.envelopes import wrapped
from tests.matched import all_matches
from tests.rules import rule

FOLDER = Path(__file__).parent.parent / "payloads"
ROWS: list[dict[str, Any]] = yaml.safe_load((FOLDER / "expected.yaml").read_text())
NAMES = ["-".join([row["file"], *row.get("wrapped", [])]) for row in ROWS]
EVERYTHING = RuleSet([rule(pattern='{ $.eventID = "*" }')])


def matched(body: bytes | PayloadError, rules: RuleSet = EVERYTHING) -> PayloadMatches:
    """Return what is in a payload, and see that it is accounted for."""
    found = all_matches(Payload("memory:0", body), rules, Limits())
    account = found.accounting
    assert account.is_balanced
    assert min(account.as_json().values()) >= 0
    assert account.matched == len(found.events)
    assert account.rejected == len(found.rejections)
    assert account.skipped == found.skipped.total()
    parts = [item.index for item in found.rejections if item.index is not None]
    assert len(set(parts)) == len(parts)
    return found


def body_of(row: dict[str, Any]) -> bytes:
    return wrapped((FOLDER / row["file"]).read_bytes(), row.get("wrapped", []))


def said(row: dict[str, Any]) -> list[tuple[str, bool]]:
    """Return the rejections of a row; a reference is one where no queue announces it."""
    references = [("unexpected_reference", False) for _ in row.get("references", [])]
    return references + [(item["reason"], item["whole"]) for item in row.get("rejected", [])]


@pytest.mark.parametrize("row", ROWS, ids=NAMES)
def test_a_payload_gives_its_records_and_accounts_for_the_rest(row: dict[str, Any]) -> None:
    found = matched(body_of(row))
    assert [event.identity.event_id for event, _ in found.events] == row.get("records", [])
    assert found.skipped == Counter(row.get("skipped", []))
    rejected = [(item.reason, item.index is None) for item in found.rejections]
    assert Counter(rejected) == Counter(said(row))


@pytest.mark.parametrize("row", ROWS, ids=NAMES)
def test_a_payload_says_which_objects_it_announces(row: dict[str, Any]) -> None:
    contents = open_payload(body_of(row), Limits())
    references = [item for item in contents if isinstance(item, ObjectReference)]
    expected = row.get("references", [])
    assert [(item.bucket, item.key) for item in references] == [
        (item["bucket"], item["key"]) for item in expected
    ]
    for reference, item in zip(references, expected, strict=True):
        assert reference.version_id == item.get("version_id")
        assert reference.alternative_key == item.get("alternative_key")


@pytest.mark.parametrize("row", ROWS, ids=NAMES)
def test_a_queue_message_is_followed_or_taken_or_refused_as_one(row: dict[str, Any]) -> None:
    try:
        text = body_of(row).decode()
    except UnicodeDecodeError:
        return  # a queue message is text
    if row["queue"] == "refused":
        with pytest.raises(PayloadError) as caught:
            open_message(text)
        assert caught.value.reason == "unrecognised"
        return
    announced = [(item.bucket, item.key) for item in open_message(text)]
    assert announced == [(item["bucket"], item["key"]) for item in row.get("references", [])]
    assert bool(announced) == (row["queue"] == "references")


def test_every_file_has_a_row() -> None:
    files = {path.name for path in FOLDER.iterdir()} - {"README.md", "expected.yaml"}
    assert files == {row["file"] for row in ROWS}


SMALL = [row for row in ROWS if not row.get("wrapped") and len(body_of(row)) < 4096]


@pytest.mark.parametrize("row", SMALL, ids=[row["file"] for row in SMALL])
@pytest.mark.parametrize("wrapping", [[], ["gzip"]], ids=["plain", "gzip"])
def test_what_is_cut_off_is_never_missed_in_silence(
    row: dict[str, Any], wrapping: list[str]
) -> None:
    body = wrapped(body_of(row), wrapping)
    whole = matched(body)
    everything = [event.identity.event_id for event, _ in whole.events]
    count = len(everything) + whole.skipped.total() + len(whole.rejections)
    for cut in range(0, len(body), 1 if len(body) < 1500 else 7):
        found = matched(body[:cut])
        ids = [event.identity.event_id for event, _ in found.events]
        assert ids == everything[: len(ids)]
        there = len(ids) + found.skipped.total() + len(found.rejections)
        # Between two documents a cut cannot be told from the end.
        is_between = not wrapping and body[:cut].strip()[-1:] in {b"}", b"]"}
        assert found.rejections or there == count or is_between
