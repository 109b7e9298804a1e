from typing import Any

import msgspec
import pytest

from detector.errors import PayloadError
from detector.events.actor import UNKNOWN, actor
from detector.events.record import Identity, decode_event
from tests.records import ACCOUNT, NOON, record


def event(**fields: Any) -> Any:
    return decode_event(msgspec.json.encode(record(**fields)), delivered_at=NOON + 400)


def test_an_event_is_known_by_its_id_and_the_account_that_received_it() -> None:
    assert event(eventID="e").identity == Identity("e", ACCOUNT)


def test_an_old_record_without_an_account_is_known_by_its_id_alone() -> None:
    assert event(eventID="e", recipientAccountId=...).identity == Identity("e", "")


@pytest.mark.parametrize("event_id", [..., "", None, 7])
def test_a_record_without_an_event_id_is_known_by_its_content(event_id: object) -> None:
    first = record(eventID=event_id)
    second = dict(reversed(first.items()))
    other = {**first, "sourceIPAddress": "198.51.100.1"}
    ids = [
        decode_event(msgspec.json.encode(item), None).identity.event_id
        for item in (first, second, other)
    ]
    assert ids[0] == ids[1] != ids[2]
    assert ids[0].startswith("sha256:")


@pytest.mark.parametrize(
    "text", ["2026-09-16T12:00:00Z", "2026-09-16T14:00:00+02:00", "2026-09-16T12:00:00"]
)
def test_the_time_is_read_in_every_form_that_names_the_moment(text: str) -> None:
    assert event(eventTime=text).time == NOON


@pytest.mark.parametrize("value", [..., None, "", "noon", 1789560000, "2026-13-01T00:00:00Z"])
def test_a_record_without_a_usable_time_is_rejected(value: object) -> None:
    with pytest.raises(PayloadError) as caught:
        event(eventTime=value)
    assert caught.value.reason == "no_event_time"


def test_the_age_runs_from_the_call_to_the_delivery() -> None:
    assert event(at=100).age == 300
    assert decode_event(msgspec.json.encode(record()), None).age is None


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"[]", "not_an_object"),
        (b'"x"', "not_an_object"),
        (b'{"a":' + b"[" * 50_000 + b"]" * 50_000 + b"}", "too_deep"),
    ],
)
def test_a_record_that_cannot_be_read_is_rejected(body: bytes, reason: str) -> None:
    with pytest.raises(PayloadError) as caught:
        decode_event(body, None)
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("identity", "expected"),
    [
        ({"type": "IAMUser", "arn": "arn:aws:iam::1:user/a", "userName": "a"}, "arn:aws:iam::1:u"),
        ({"type": "Root", "userName": "root", "accountId": "1"}, "root"),
        ({"type": "AWSService", "invokedBy": "config.amazonaws.com"}, "config.amazonaws.com"),
        ({"type": "IdentityCenterUser", "onBehalfOf": {"userId": "94d0"}}, "94d0"),
        ({"type": "SAMLUser", "principalId": "idp:alice"}, "idp:alice"),
        ({"type": "AWSAccount", "accountId": "222233334444"}, "222233334444"),
        ({"type": "Unknown"}, "Unknown"),
        ({"arn": 7, "userName": ""}, UNKNOWN),
        ({}, UNKNOWN),
        (None, UNKNOWN),
        ("alice", UNKNOWN),
    ],
)
def test_the_actor_is_the_most_telling_name_of_the_identity(
    identity: object, expected: str
) -> None:
    assert actor({"userIdentity": identity}).startswith(expected)
