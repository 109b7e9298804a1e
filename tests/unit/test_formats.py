from dataclasses import replace
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.alerts.alert import Alert, Digest, DigestEntry
from detector.alerts.formats import MIN_BODY_BYTES, body_of
from detector.alerts.text import NotificationKind
from detector.config import BodyFormat
from detector.sinks.sink import message_id
from detector.state.store import Notification
from tests.alerts import alert
from tests.any_alert import HOSTILE, lengthened, lengthenings, notifications
from tests.ocsf import faults_of
from tests.strategies import examples

FORMATS: tuple[BodyFormat, ...] = get_args(BodyFormat)
PLENTY = 10_000_000


def document(format_: BodyFormat, notification: Notification, max_bytes: int = PLENTY) -> Any:
    body = body_of(format_, notification, max_bytes).content
    assert len(body) <= max_bytes
    return msgspec.json.decode(body)


def alert_in(format_: BodyFormat, shown: Any) -> Any:
    """Return where a document has the alert's own fields."""
    places = {"alert": shown, "ocsf": shown.get("unmapped")}
    return places.get(format_) or shown["data"]


@pytest.mark.parametrize("format_", FORMATS)
@examples(60)
@given(notification=notifications(), long=lengthenings(), room=st.integers(0, 60_000))
def test_any_alert_fits_into_any_size_and_says_what_is_missing(
    format_: BodyFormat, notification: Notification, long: dict[str, int], room: int
) -> None:
    notification = replace(notification, alert=lengthened(notification.alert, long))
    whole = document(format_, notification)
    shown = document(format_, notification, MIN_BODY_BYTES + room)
    if format_ == "ocsf":
        assert faults_of(whole) == faults_of(shown) == []
    before, after = alert_in(format_, whole), alert_in(format_, shown)
    assert after["id"] == notification.alert.id
    assert after["kind"] == notification.kind
    incomplete = set(after.get("truncated", ()))
    assert incomplete >= set(notification.alert.truncated)
    assert shown == whole or incomplete
    for name in before.keys() - incomplete - {"truncated"}:
        assert after[name] == before[name]


def test_the_worst_alert_fits_into_the_least_size() -> None:
    worst = "\x01" * 2_000
    made = alert(names=5)
    words = {"id", "state", "status", "level", "counting", "notify", "comparison_operator"}
    texts = {
        name: worst
        for name in set(made.__struct_fields__) - words
        if isinstance(getattr(made, name), str)
    }
    lists = {name: [worst] * 99 for name in ("actors", "source_ips", "regions", "accounts", "tags")}
    bad: Alert = msgspec.structs.replace(
        made,
        **{**texts, **lists},
        group={worst: worst},
        controls={worst: {worst: worst}},
    )
    for format_ in FORMATS:
        assert len(body_of(format_, Notification(bad), MIN_BODY_BYTES).content) <= MIN_BODY_BYTES


def test_the_worst_digest_fits_into_the_least_size() -> None:
    worst, many = "\x01" * 500, 2**53
    entry = DigestEntry(
        rule_id=worst,
        title=worst,
        level="informational",
        raised=many,
        updated=many,
        resolved=many,
        events=many,
        accounts=[worst] * 50,
        actors=[worst] * 50,
    )
    digest = Digest(
        notifications=many,
        raised=many,
        updated=many,
        resolved=many,
        events=many,
        entries=[entry] * 50,
        more_rules=many,
        alert_ids=[worst] * 50,
    )
    made = msgspec.structs.replace(
        alert(), title=worst, description=worst, runbook=worst, reason=worst, digest=digest
    )
    for format_ in FORMATS:
        shown = document(format_, Notification(made), MIN_BODY_BYTES)
        assert "digest" in alert_in(format_, shown)["truncated"]
        assert alert_in(format_, shown)["digest"]["notifications"] == many


def test_a_bound_into_which_not_every_alert_fits_is_refused() -> None:
    with pytest.raises(ValueError, match="a body needs 16384 bytes, and may have 16383"):
        body_of("alert", Notification(alert()), MIN_BODY_BYTES - 1)


@pytest.mark.parametrize("format_", FORMATS)
def test_as_much_evidence_stays_as_fits(format_: BodyFormat) -> None:
    made = alert(names=5)
    records = [{"eventName": f"E{number}", "x": "y" * 10_000} for number in range(5)]
    large = Notification(msgspec.structs.replace(made, evidence=records))
    shown = document(format_, large, 40_000)
    kept = alert_in(format_, shown).get("evidence") or [item["data"] for item in shown["evidences"]]
    assert kept == records[:3]
    assert alert_in(format_, shown)["truncated"] == ["evidence"]


def test_the_alert_itself_is_told_with_what_to_do_with_it() -> None:
    made = alert(names=2)
    notification = Notification(made, "updated")
    body = body_of("alert", notification, PLENTY)
    assert body.content_type == "application/json"
    assert msgspec.json.decode(body.content) == {"kind": "updated", **msgspec.to_builtins(made)}


@pytest.mark.parametrize("kind", get_args(NotificationKind))
def test_a_standard_webhook_has_type_time_and_data(kind: NotificationKind) -> None:
    notification = Notification(alert(), kind, made_at=1789577551.131)
    assert document("standard", notification) == {
        "type": f"alert.{kind}",
        "timestamp": "2026-09-16T16:52:31.131Z",
        "data": document("alert", notification),
    }
    assert body_of("standard", notification, PLENTY).content_type == "application/json"


def test_what_was_never_in_the_outbox_goes_by_its_last_event() -> None:
    made = alert(names=2)
    assert document("standard", Notification(made))["timestamp"] == made.last_event_time


def test_a_cloud_event_is_known_by_source_and_id() -> None:
    made = msgspec.structs.replace(alert(), dedup_key="incident", revision=3)
    notification = Notification(made, "updated", made_at=1789577551.0)
    body = body_of("cloudevents", notification, PLENTY)
    assert body.content_type == "application/cloudevents+json"
    assert msgspec.json.decode(body.content) == {
        "specversion": "1.0",
        "id": message_id(notification),
        "source": "/cloudtrail-detector",
        "type": "cloudtrail-detector.alert.updated",
        "subject": "incident",
        "time": "2026-09-16T16:52:31Z",
        "datacontenttype": "application/json",
        "level": "medium",
        "partitionkey": "incident",
        "data": document("alert", notification),
    }


@pytest.mark.parametrize("format_", FORMATS)
def test_every_attempt_has_the_same_body(format_: BodyFormat) -> None:
    first = Notification(alert(), "raised", 0, 1789577551.0)
    again = Notification(first.alert, "raised", 7, 1789577551.0)
    assert body_of(format_, first, PLENTY) == body_of(format_, again, PLENTY)


@pytest.mark.parametrize("format_", FORMATS)
@pytest.mark.parametrize("hostile", HOSTILE)
def test_hostile_texts_are_carried_as_they_are(format_: BodyFormat, hostile: str) -> None:
    made = msgspec.structs.replace(alert(), actors=[hostile], evidence=[{"userAgent": hostile}])
    shown = document(format_, Notification(made))
    assert alert_in(format_, shown)["actors"] == [hostile]
