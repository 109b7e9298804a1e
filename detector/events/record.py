"""One CloudTrail record in full, with the facts that counting and alerting need.

Source for fields and types: AWS CloudTrail User Guide, "CloudTrail record contents" and
"CloudTrail userIdentity element".
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

import msgspec

from detector import lenient_json
from detector.errors import PayloadError
from detector.rules.values import epoch_seconds


@dataclass(frozen=True, slots=True)
class Identity:
    """What makes two copies of a record the same event."""

    event_id: str
    account: str
    """recipientAccountId; empty in records older than eventVersion 1.02."""


@dataclass(frozen=True, slots=True)
class Event:
    """A matched record.

    `time` is its eventTime and `delivered_at` the moment of CloudTrail's delivery, both in seconds
    since the epoch; the latter is None where nothing tells it. `digest` is that of its content,
    whatever the order of its keys.
    """

    record: Mapping[str, Any]
    identity: Identity
    time: float
    delivered_at: float | None
    digest: bytes

    @property
    def age(self) -> float | None:
        """Return the seconds from the API call to CloudTrail's delivery of its record."""
        return None if self.delivered_at is None else self.delivered_at - self.time

    def text(self, field: str) -> str:
        """Return a top-level field that should be a string, or an empty string."""
        value = self.record.get(field)
        return value if isinstance(value, str) else ""


def decode_event(raw: bytes | msgspec.Raw, delivered_at: float | None) -> Event:
    """Return the event that a record's bytes hold.

    A record without an eventID is identified by its content, so that its copies are still the same.

    Raises:
        PayloadError: `not_an_object`, `too_deep`, or `no_event_time`: a window cannot be told
            without the time.
    """
    try:
        record = lenient_json.decode(_RECORD, raw)
    except RecursionError as error:
        raise PayloadError("too_deep", "the record is nested too deeply") from error
    except msgspec.DecodeError as error:
        raise PayloadError("not_an_object", f"the record cannot be read: {error}") from error
    return event_of(record, delivered_at)


def event_of(record: Mapping[str, Any], delivered_at: float | None) -> Event:
    """Return the event of a decoded record.

    Raises:
        PayloadError: `no_event_time`.
    """
    content = msgspec.json.encode(record, order="deterministic")
    digest = hashlib.sha256(content).digest()
    return Event(record, _identity(record, digest), _event_time(record), delivered_at, digest[:16])


LATEST_SECONDS = 1 << 33
"""In the year 2242. Beyond it, and before 1970, no event of AWS lies, and dates run out."""

_RECORD = msgspec.json.Decoder(dict[str, Any])


def _identity(record: Mapping[str, Any], digest: bytes) -> Identity:
    """Return what a record is known by.

    CloudTrail corrects a record that it has delivered by another one with an addendum, which names
    the first one's eventID: the two are one event. Source: AWS CloudTrail User Guide, "CloudTrail
    record contents", addendum.
    """
    event_id = record.get("eventID")
    addendum = record.get("addendum")
    if isinstance(addendum, Mapping) and _is_text(addendum.get("originalEventID")):
        event_id = addendum["originalEventID"]
    account = record.get("recipientAccountId")
    if not _is_text(event_id):
        event_id = "sha256:" + digest.hex()
    return Identity(event_id, account if isinstance(account, str) else "")


def _is_text(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and bool(value)


def _event_time(record: Mapping[str, Any]) -> float:
    text = record.get("eventTime")
    if not isinstance(text, str):
        raise PayloadError("no_event_time", "the record has no eventTime")
    moment = epoch_seconds(text)
    if moment is None or not 0 <= moment < LATEST_SECONDS:
        raise PayloadError("no_event_time", "the record's eventTime is not a time")
    return moment
