"""Which objects the SQS source reads, and what it says of those that it cannot."""

from typing import get_args

import pytest
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st

from detector.config import BucketConfig
from detector.envelopes.types import ObjectReference
from detector.errors import PayloadError
from detector.sources.s3_sqs.allowed import AllowedObjects
from detector.sources.s3_sqs.object_errors import (
    Asked,
    ObjectReason,
    explain,
    passes_by_itself,
)
from detector.sources.s3_sqs.work import PART_BYTES, in_parts, weight

OWNER = "111122223333"

LISTED = AllowedObjects(
    [
        BucketConfig(bucket="trail", prefixes=("AWSLogs/", "org/AWSLogs/"), owner=OWNER),
        BucketConfig(bucket="all-of-it"),
    ],
    owner="444455556666",
)


def client_error(code: str, message: str = "", status: int = 403) -> ClientError:
    answer = {"Error": {"Code": code, "Message": message}}
    answer["ResponseMetadata"] = {"HTTPStatusCode": status}  # type: ignore[dict-item]
    return ClientError(answer, "GetObject")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("bucket", "key"),
    [("trail", "AWSLogs/1/a"), ("trail", "org/AWSLogs/x"), ("all-of-it", "any/../thing")],
)
def test_listed_buckets_and_prefixes_are_allowed(bucket: str, key: str) -> None:
    LISTED.check(ObjectReference(bucket, key))


@pytest.mark.parametrize(
    ("bucket", "key"),
    [
        ("stranger", "AWSLogs/1/a"),
        ("trail", "access-logs/AWSLogs/a"),
        ("trail", "awslogs/a"),
        ("trail", "AWSLogs/../private/a"),
        ("trail", ""),
        ("Trail", "AWSLogs/1/a"),
        ("", ""),
    ],
)
def test_everything_else_is_not(bucket: str, key: str) -> None:
    with pytest.raises(PayloadError) as caught:
        LISTED.check(ObjectReference(bucket, key))
    assert caught.value.reason == "object_not_allowed"
    assert "find out who can send to the queue" in caught.value.message


def test_an_empty_list_allows_nothing_and_the_word_any_everything() -> None:
    with pytest.raises(PayloadError):
        AllowedObjects([]).check(ObjectReference("trail", "a"))
    AllowedObjects("any").check(ObjectReference("stranger", "a/../b"))


def test_the_owner_of_a_bucket_goes_before_that_of_all() -> None:
    assert LISTED.owner("trail") == OWNER
    assert LISTED.owner("all-of-it") == "444455556666"
    assert AllowedObjects("any").owner("trail") is None


@pytest.mark.parametrize(
    ("code", "message", "asked", "reason"),
    [
        ("NoSuchKey", "", Asked(), "object_missing"),
        ("NoSuchVersion", "", Asked(OWNER), "object_missing"),
        ("NoSuchBucket", "", Asked(), "object_missing"),
        ("MethodNotAllowed", "", Asked(), "object_missing"),
        ("AccessDenied", "Access Denied", Asked(), "object_denied"),
        ("AccessDenied", "Access Denied", Asked(OWNER), "object_owner_differs"),
        (
            "AccessDenied",
            "User: arn:aws:sts::1:assumed-role/d/s is not authorized to perform: s3:GetObject",
            Asked(OWNER),
            "object_denied",
        ),
        (
            "AccessDenied",
            "User: arn:aws:sts::1:assumed-role/d/s is not authorized to perform: kms:Decrypt on",
            Asked(OWNER),
            "object_key_denied",
        ),
        ("AccessDenied", "The ciphertext refers to a key", Asked(), "object_key_denied"),
        ("KMS.AccessDeniedException", "", Asked(), "object_key_denied"),
        ("KMS.DisabledException", "", Asked(), "object_key_unusable"),
        ("KMS.NotFoundException", "", Asked(), "object_key_unusable"),
        ("KMS.KMSInvalidStateException", "", Asked(), "object_key_unusable"),
        ("AccessDenied", "Bucket is requester pays", Asked(), "object_requester_pays"),
        ("InvalidObjectState", "", Asked(), "object_archived"),
        ("PermanentRedirect", "", Asked(), "object_other_region"),
        ("AuthorizationHeaderMalformed", "", Asked(), "object_other_region"),
        ("SlowDown", "", Asked(), "object_unavailable"),
        ("SomethingNew", "", Asked(), "object_unavailable"),
    ],
)
def test_each_error_of_s3_has_its_reason(
    code: str, message: str, asked: Asked, reason: str
) -> None:
    error = explain(client_error(code, message), asked)
    assert error.reason == reason
    assert error.message.startswith(f"GetObject: {code}")
    assert "arn:" not in error.message


@given(st.text(max_size=30), st.text(max_size=200), st.booleans())
def test_whatever_s3_says_the_reason_is_one_of_a_fixed_set(
    code: str, message: str, owned: bool
) -> None:
    error = explain(client_error(code, message), Asked(OWNER if owned else None))
    assert error.reason in get_args(ObjectReason)


def test_a_denied_object_may_be_missing_and_the_message_says_so() -> None:
    assert "s3:ListBucket" in explain(client_error("AccessDenied"), Asked()).message


@pytest.mark.parametrize(
    ("status", "passes"), [(500, True), (503, True), (429, True), (403, False), (404, False)]
)
def test_what_s3_itself_fails_at_is_tried_again(status: int, passes: bool) -> None:
    assert passes_by_itself(client_error("X", status=status)) is passes


sizes = st.lists(st.one_of(st.none(), st.integers(0, 3 * PART_BYTES)), max_size=40)


@given(sizes, st.integers(1, 3 * PART_BYTES))
def test_parts_hold_every_object_once_in_order_and_no_more_than_fits(
    found: list[int | None], most: int
) -> None:
    references = [ObjectReference("b", str(place), size) for place, size in enumerate(found)]
    parts = list(in_parts(references, most))
    assert [item for part in parts for item in part] == references
    for part in parts:
        assert len(part) == 1 or sum(weight(item, most) for item in part) <= PART_BYTES
