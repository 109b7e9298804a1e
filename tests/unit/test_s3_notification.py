import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.envelopes.s3_notification import MAX_MESSAGE_RECORDS, open_s3_notification
from detector.envelopes.types import Control, ObjectReference
from detector.errors import PayloadError
from tests.records import NOON


def notification(key: str = "k", **changes: Any) -> dict[str, Any]:
    """Return one record as the Amazon S3 User Guide shows it."""
    return {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": "us-east-1",
        "eventTime": "2026-09-16T12:00:00.000Z",
        "eventName": "ObjectCreated:Put",
        "userIdentity": {"principalId": "AIDAJDPLRKLG7UEXAMPLE"},
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": "x",
            "bucket": {"name": "trail", "arn": "arn:aws:s3:::trail"},
            "object": {"key": key, "size": 7, "eTag": "d41d", "sequencer": "0055AED6DCD90281E5"},
        },
        **changes,
    }


def opened(*records: object) -> list[ObjectReference]:
    content = open_s3_notification(json.dumps({"Records": records}))
    assert isinstance(content, list)
    return content


def test_a_notification_announces_its_object() -> None:
    assert opened(notification("a/b.json.gz")) == [
        ObjectReference("trail", "a/b.json.gz", size=7, announced_at=NOON)
    ]


def test_a_notification_can_announce_several_objects() -> None:
    found = opened(notification("a"), notification("b"))
    assert [reference.key for reference in found] == ["a", "b"]


@pytest.mark.parametrize("encoded", ["a/1+%2B", "a%2F1+%2B", "a/1%20%2B"])
def test_a_key_is_decoded_whichever_way_it_was_encoded(encoded: str) -> None:
    (reference,) = opened(notification(encoded))
    assert reference.key == "a/1 +"


def test_a_version_is_kept() -> None:
    record = notification()
    record["s3"]["object"]["versionId"] = "v1"
    (reference,) = opened(record)
    assert reference.version_id == "v1"


def test_anything_but_a_creation_announces_nothing() -> None:
    assert opened(notification(eventName="ObjectRemoved:Delete")) == []
    assert opened(notification(eventName="s3:ObjectCreated:Copy")) != []


def test_the_test_event_is_a_control_message() -> None:
    body = '{"Service":"Amazon S3","Event":"s3:TestEvent","Bucket":"trail","RequestId":"5582"}'
    assert open_s3_notification(body) == Control("s3_test_event")


@pytest.mark.parametrize(
    "body",
    [
        *("", "{", "[]", "null", "hello", "{}", '{"Records": {}}', '{"Records": [1]}'),
        '{"Records": [{"eventSource": "aws:s3"}]}',
        '{"Type": "Notification", "Message": "{}"}',
        json.dumps({"Records": [notification(eventSource="aws:ses")]}),
        json.dumps({"Records": [notification()] * (MAX_MESSAGE_RECORDS + 1)}),
        "[" * 100_000,
    ],
)
def test_anything_else_is_unrecognised_and_says_why(body: str) -> None:
    with pytest.raises(PayloadError) as caught:
        open_s3_notification(body)
    assert caught.value.reason == "unrecognised_message"


def test_a_time_that_is_none_leaves_the_time_unknown() -> None:
    (reference,) = opened(notification(eventTime="yesterday"))
    assert reference.announced_at is None


@given(st.text(max_size=50))
def test_any_body_is_understood_or_unrecognised(body: str) -> None:
    with pytest.raises(PayloadError) as caught:
        open_s3_notification(body)
    assert caught.value.reason == "unrecognised_message"
