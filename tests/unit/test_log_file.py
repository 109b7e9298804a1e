import msgspec
import pytest

from detector.envelopes.log_file import (
    LogFile,
    Trail,
    delivery_time,
    skipped_by_name,
    trail,
    trail_of,
)
from detector.errors import PayloadError
from tests.records import NOON, log_file


class Named(msgspec.Struct):
    eventName: str | None = None  # noqa: N815


def test_records_come_in_order_decoded_and_raw() -> None:
    batch = LogFile(log_file({"eventName": "A", "x": [1]}, {"eventName": "B"}))
    assert batch.decode(Named) == [Named("A"), Named("B")]
    assert [bytes(raw) for raw in batch.raw()] == [
        b'{"eventName":"A","x":[1]}',
        b'{"eventName":"B"}',
    ]


def test_what_is_no_object_among_the_records_keeps_its_place() -> None:
    batch = LogFile(b'{"Records": [1, {"eventName": "A"}, null, [], "x"]}')
    assert batch.decode(Named) == [1, Named("A"), None, [], "x"]
    assert len(batch.raw()) == 5


def test_a_file_without_records_is_a_log_file() -> None:
    assert LogFile(b'{"Records": []}').decode(Named) == []


def test_other_keys_beside_the_records_are_no_matter() -> None:
    assert LogFile(b'{"x": {}, "Records": [{}], "y": 1}').decode(Named) == [Named()]


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (b'{"Records": [{"eventName": "A"', "malformed_json"),
        (b'{"Records": [{}]} x', "malformed_json"),
        (b'{"Records": {"a": 1}}', "not_a_log_file"),
        (b'{"records": []}', "not_a_log_file"),
        (b'{"Records": [' + b"[" * 50_000 + b"]" * 50_000 + b"]}", "too_deep"),
    ],
)
def test_what_is_no_log_file_is_refused_with_a_reason(document: bytes, expected: str) -> None:
    with pytest.raises(PayloadError) as caught:
        LogFile(document).decode(Named)
    assert caught.value.reason == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("AWSLogs/1/CloudTrail-Digest/us-east-1/2026/09/16/x.json.gz", "digest"),
        ("AWSLogs/1/CloudTrail-Insight/us-east-1/2026/09/16/x.json.gz", "insight"),
        ("1_CloudTrail-Digest_us-east-1_trail_us-east-1_20260916T150000Z.json.gz", "digest"),
        ("AWSLogs/1/CloudTrail-Aggregated/us-east-1/x.json.gz", "aggregated"),
        ("AWSLogs/1/CloudTrail/us-east-1/2026/09/16/x.json.gz", None),
        ("1_CloudTrail_us-east-1_20260916T1200Z_abc.json.gz", None),
        ("my-CloudTrail-Digest-notes/x.json", None),
    ],
)
def test_files_that_hold_no_events_are_known_by_their_name(name: str, expected: str | None) -> None:
    skipped = skipped_by_name(name)
    assert (skipped.reason if skipped else None) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("AWSLogs/1/CloudTrail/1_CloudTrail_us-east-1_20260916T1200Z_a1B2.json.gz", NOON),
        ("1_CloudTrail_us-gov-west-1_20260916T1205Z_a1B2.json", NOON + 300),
        ("1_CloudTrail_us-east-1_20261316T1200Z_a1B2.json", None),
        ("1_CloudTrail-Digest_us-east-1_trail_us-east-1_20260916T150000Z.json.gz", None),
        ("events.json", None),
    ],
)
def test_the_time_of_delivery_is_read_from_the_name(name: str, expected: float | None) -> None:
    assert delivery_time(name) == expected


NAME = "111122223333_CloudTrail_us-east-1_20260916T1405Z_UeY8n7jYpsCAu8M9.json.gz"


@pytest.mark.parametrize(
    ("name", "region"),
    [
        (NAME, "us-east-1"),
        (NAME.removesuffix(".gz"), "us-east-1"),
        (f"s3://b/my prefix/AWSLogs/o-abc/111122223333/CloudTrail/us-east-1/{NAME}", "us-east-1"),
        (NAME.replace("us-east-1", "us-gov-west-1"), "us-gov-west-1"),
        (NAME.replace("us-east-1", "ap-southeast-7"), "ap-southeast-7"),
    ],
)
def test_a_log_files_name_tells_its_account_and_region(name: str, region: str) -> None:
    assert trail_of(name) == Trail("111122223333", region)


@pytest.mark.parametrize(
    "name",
    [
        NAME.replace("_CloudTrail_", "_CloudTrail-Digest_"),
        NAME.replace("_CloudTrail_", "_CloudTrail-Insight_"),
        "111122223333_CloudTrail-Digest_us-east-1_org_us-east-1_20260916T150000Z.json.gz",
        NAME.replace("111122223333", "11112222333"),
        NAME.replace("111122223333", "1111222233334"),
        NAME.replace("111122223333", "١١١١٢٢٢٢٣٣٣٣"),
        NAME.replace("us-east-1", "global"),
        NAME.replace("us-east-1", "us-east-1/../x"),
        NAME + "\n",
        "a.json",
        "",
    ],
)
def test_other_names_tell_no_trail(name: str) -> None:
    assert trail_of(name) is None


def test_an_account_and_a_region_are_a_trail_if_there_can_be_such_ones() -> None:
    assert trail("111122223333", "us-east-1") == Trail("111122223333", "us-east-1")
    for account, region in (
        ("", "us-east-1"),
        ("111122223333", ""),
        ("111122223333/us-east-1", ""),
    ):
        assert trail(account, region) is None


def test_the_name_of_a_stream_does_not_make_its_records_insights() -> None:
    name = "logs_CloudTrail-Insight/shardId-000000000000/1"
    assert skipped_by_name(name) is not None
    assert skipped_by_name(f"kinesis:{name}") is None
