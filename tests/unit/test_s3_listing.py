"""What is listed of a bucket: all log files of a period, and little else."""

from collections.abc import Mapping
from datetime import UTC, datetime

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError
from hypothesis import given
from hypothesis import strategies as st

from detector.errors import SourceError
from detector.sources.s3_prefix import listing
from detector.sources.s3_prefix.layout import S3Address, dated, is_log_file_key, s3_address
from detector.sources.s3_prefix.listing import list_log_files
from detector.sources.stored import ALL_TIME, Period
from tests.listed_bucket import ACCOUNTS, REGIONS, ListedBucket, firehose_key, reference, trail_key

DAY = 86_400.0
NOON = datetime(2026, 9, 16, 12, tzinfo=UTC).timestamp()
MIDNIGHT = NOON - DAY / 2
THE_DAY = Period(MIDNIGHT, MIDNIGHT + DAY)


async def found(
    bucket: ListedBucket, prefix: str = "", period: Period = ALL_TIME
) -> dict[str, float]:
    listed = await list_log_files(bucket.client, S3Address("bucket", prefix), period)
    keys = {item.reference.key: item.delivered_at for item in listed}
    assert len(keys) == len(listed)
    assert all(item.reference == reference(item.reference.key) for item in listed)
    return keys


def years(before: str = "") -> dict[str, float]:
    """Return the keys of two accounts and regions, over more than a year, four files a day."""
    return {
        trail_key(time, account=account, region=region, before=before): time
        for account in ACCOUNTS
        for region in REGIONS
        for time in (NOON - 400 * DAY + quarter * DAY / 4 for quarter in range(2000))
    }


YEARS = years()


@pytest.mark.parametrize("before", ["", "my trail/"])
@pytest.mark.parametrize("below", ["", "AWSLogs/", "AWSLogs", "A"])
async def test_a_day_of_years_is_found_without_the_keys_of_years(before: str, below: str) -> None:
    bucket = ListedBucket(years(before) if before else YEARS)
    keys = await found(bucket, f"{before}{below}", THE_DAY)
    assert len(keys) == 4 * 2 * 2
    assert all(THE_DAY.holds(time) for time in keys.values())
    # Folder by folder to the regions, and then one call for the days of each.
    assert len(bucket.calls) <= 3 + 2 * len(ACCOUNTS) + len(ACCOUNTS) * len(REGIONS)
    assert {call["StartAfter"][-10:] for call in bucket.calls if call["StartAfter"]} == {
        "2026/09/15"
    }
    # A page is 1,000 keys, of which the first of the next day is the sign to stop.
    assert len(bucket.shown) <= 1000 * len(ACCOUNTS) * len(REGIONS)
    assert min(YEARS[key[len(before) :]] for key in bucket.shown) >= MIDNIGHT - DAY


async def test_pages_end_with_the_first_key_after_the_period() -> None:
    bucket = ListedBucket(YEARS, page_keys=5)
    assert len(await found(bucket, "AWSLogs/111122223333/CloudTrail/us-east-1/", THE_DAY)) == 4
    assert len(bucket.calls) == 3
    assert max(YEARS[key] for key in bucket.shown) <= MIDNIGHT + 3 * DAY


@pytest.mark.parametrize(
    ("prefix", "count"),
    [
        ("AWSLogs/111122223333/CloudTrail/us-east-1", 4),
        ("AWSLogs/111122223333/CloudTrail/us-east-1/2026", 4),
        ("AWSLogs/111122223333/CloudTrail/us-east-1/2026/", 4),
        ("AWSLogs/111122223333/CloudTrail/us-east-1/2026/09/1", 4),
        ("AWSLogs/111122223333/CloudTrail/us-east-1/2026/09/16/", 4),
        ("AWSLogs/111122223333/CloudTrail/us-east-1/2025/", 0),
        ("AWSLogs/111122223333/CloudTrail/us-east-1/2026/09/17/", 0),
    ],
)
async def test_a_prefix_within_the_days_is_listed_at_once(prefix: str, count: int) -> None:
    bucket = ListedBucket(YEARS)
    assert len(await found(bucket, prefix, THE_DAY)) == count
    assert len(bucket.calls) <= 2


async def test_a_period_may_have_one_end() -> None:
    newest = max(YEARS.values())
    assert len(await found(ListedBucket(YEARS), "", Period(newest - DAY))) == 5 * 4
    oldest = min(YEARS.values())
    assert len(await found(ListedBucket(YEARS), "", Period(None, oldest + DAY))) == 4 * 4
    assert await found(ListedBucket(YEARS), "") == YEARS


async def test_folders_beside_the_trails_are_not_looked_into() -> None:
    beside = [
        trail_key(NOON, kind="CloudTrail-Digest"),
        trail_key(NOON, kind="CloudTrail-Insight"),
        trail_key(NOON, kind="Config"),
        trail_key(NOON, kind="vpcflowlogs"),
    ]
    own = trail_key(NOON)
    bucket = ListedBucket(dict.fromkeys([own, *beside], NOON))
    assert set(await found(bucket, "", THE_DAY)) == {own}
    assert bucket.shown == {own}
    assert not any(call["Prefix"].startswith(key[:40]) for call in bucket.calls for key in beside)
    assert set(await found(bucket, "")) == {own}


async def test_firehose_objects_are_found_by_when_they_were_written() -> None:
    written = {
        firehose_key(time, before="trail/"): time + 300
        for time in (NOON - 400 * DAY + hour * 3600 for hour in range(0, 10_000, 5))
    }
    bucket = ListedBucket(written)
    keys = await found(bucket, "", THE_DAY)
    assert keys == {key: time for key, time in written.items() if THE_DAY.holds(time)}
    assert len(keys) in {4, 5}
    assert len(bucket.calls) <= 8
    assert min(written[key] for key in bucket.shown) >= MIDNIGHT - 2 * DAY


async def test_an_organizations_trail_is_one_too() -> None:
    key = trail_key(NOON).replace("AWSLogs/", "AWSLogs/o-a1b2c3d4e5/")
    assert set(await found(ListedBucket({key: 0.0}), "", THE_DAY)) == {key}


async def test_a_folder_that_looks_like_a_year_may_be_anything() -> None:
    keys = [trail_key(NOON, before=before) for before in ("2024/", "a/2019/b/", "1234/", "2026/x/")]
    bucket = ListedBucket(dict.fromkeys(keys, 0.0))
    assert set(await found(bucket, "", THE_DAY)) == set(keys)
    assert set(await found(bucket, "2024/", THE_DAY)) == {keys[0]}


async def test_an_object_named_outright_is_taken_whatever_its_name() -> None:
    bucket = ListedBucket({"exports/all": NOON, "exports/all.txt": NOON, "exports/": NOON})
    assert set(await found(bucket, "exports/all")) == {"exports/all"}
    assert await found(bucket, "exports/") == {}
    assert set(await found(bucket, "exports/all", THE_DAY)) == {"exports/all"}


times = st.integers(-40, 40).map(lambda quarter: NOON + quarter * DAY / 4)
folders = st.sampled_from(["", "a/", "a/b/", "a/b/c/d/", "2026/", "AWSLogs/"])


@st.composite
def written(draw: st.DrawFn) -> Mapping[str, float]:
    """Return keys of all kinds, and when they were written."""
    keys: dict[str, float] = {}
    for _ in range(draw(st.integers(0, 12))):
        time, before = draw(times), draw(folders)
        match draw(st.integers(0, 3)):
            case 0:
                account, region = draw(st.sampled_from(ACCOUNTS)), draw(st.sampled_from(REGIONS))
                keys[trail_key(time, account=account, region=region, before=before)] = 0.0
            case 1:
                keys[firehose_key(time, before=before)] = time + draw(st.integers(0, 86_000))
            case 2:
                keys[f"{before}{draw(st.sampled_from('xyz'))}.json"] = time
            case _:
                keys[trail_key(time, kind="CloudTrail-Digest", before=before)] = time
    return keys


@given(written(), folders | st.just("AWSLogs/1111"), times | st.none(), times | st.none())
async def test_what_is_found_of_a_period_is_what_all_keys_hold_of_it(
    keys: Mapping[str, float], prefix: str, start: float | None, end: float | None
) -> None:
    period = Period(start, end)
    every = await found(ListedBucket(keys, page_keys=3), prefix)
    assert set(every) == {key for key in keys if key.startswith(prefix) and is_log_file_key(key)}
    expected = {key: time for key, time in every.items() if period.holds(time)}
    assert await found(ListedBucket(keys, page_keys=3), prefix, period) == expected


async def test_more_objects_than_a_replay_takes_are_an_error_with_a_remedy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(listing, "MAX_OBJECTS", 10)
    with pytest.raises(SourceError, match="more than 10 log files; name a longer prefix"):
        await found(ListedBucket(YEARS))


def client_error(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "secret"}}, "ListObjectsV2")


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (client_error("NoSuchBucket"), "there is no bucket bucket; check its name"),
        (client_error("AccessDenied"), "access is denied; give the credentials s3:ListBucket"),
        (client_error("ExpiredToken"), "refuses the credentials (ExpiredToken); set AWS_PROFILE"),
        (client_error("SlowDown"), "cannot be listed: ListObjectsV2: SlowDown; check"),
        (NoCredentialsError(), "there are no AWS credentials; set AWS_PROFILE"),
        (EndpointConnectionError(endpoint_url="http://x"), "cannot be reached"),
        (TimeoutError(), "cannot be listed: TimeoutError; check"),
    ],
)
@pytest.mark.parametrize("period", [ALL_TIME, THE_DAY])
async def test_a_bucket_that_cannot_be_listed_is_one_sentence_with_a_remedy(
    error: Exception, says: str, period: Period, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = ListedBucket({})

    async def fail(**_: str) -> None:
        raise error

    monkeypatch.setattr(bucket, "list_objects_v2", fail)
    with pytest.raises(SourceError) as caught:
        await found(bucket, "logs/", period)
    assert str(caught.value).startswith("s3://bucket/logs/: ")
    assert says in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (trail_key(NOON), True),
        (trail_key(NOON, before="p/").removesuffix(".gz"), True),
        (firehose_key(NOON), True),
        (firehose_key(NOON) + ".gz", True),
        ("a/b/export.json", True),
        ("export.json.gz", True),
        (trail_key(NOON, kind="CloudTrail-Digest"), False),
        (trail_key(NOON, kind="CloudTrail-Digest").rpartition("/")[2], False),
        (trail_key(NOON, kind="CloudTrail-Insight"), False),
        ("AWSLogs/111122223333/Config/us-east-1/2026/9/16/ConfigHistory/x.json.gz", False),
        ("a/notes.txt", False),
        ("a/.hidden.json", False),
        ("a/json", False),
    ],
)
def test_log_files_are_told_by_their_keys(key: str, expected: bool) -> None:
    assert is_log_file_key(key) is expected


def test_an_address_names_a_bucket_and_a_prefix() -> None:
    assert s3_address("s3://bucket/a/b c") == S3Address("bucket", "a/b c")
    assert str(s3_address("s3://bucket/a/b c")) == "s3://bucket/a/b c"
    assert s3_address("s3://bucket") == s3_address("s3://bucket/") == S3Address("bucket", "")
    assert s3_address("logs/s3://x") is None
    for text in ("s3://", "s3:///x"):
        with pytest.raises(ValueError, match="no bucket"):
            s3_address(text)


@given(st.floats(-1e18, 1e18, allow_nan=False) | st.floats(0, 3e11))
def test_no_end_of_a_period_is_too_far(edge: float) -> None:
    folder = dated("AWSLogs/111122223333/CloudTrail/us-east-1/")
    assert folder is not None
    for period in (Period(edge), Period(None, edge)):
        after, before = folder.keys(period)
        assert after.startswith(folder.root)
        assert before is None or before.startswith(folder.root)
