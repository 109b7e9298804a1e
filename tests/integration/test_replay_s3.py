"""A replay of a bucket: the same alerts as of the same files on disk."""

import json
import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiobotocore.session import get_session

from detector.envelopes.log_file import delivery_time
from detector.envelopes.types import ObjectReference
from detector.errors import PayloadError
from detector.sources.delivery import Payload
from detector.sources.s3_prefix import S3Address, S3Objects, reading
from detector.sources.s3_prefix.listing import list_log_files
from detector.sources.s3_sqs.objects import fetch
from detector.sources.stored import Period
from tests.aws import CREDENTIALS, REGION, Trail
from tests.listed_bucket import ACCOUNTS, REGIONS, firehose_key, trail_key
from tests.records import NOON, log_file, record, zipped_log_file
from tests.sample_logs import SAMPLE_LOGS
from tests.unit.test_command_line import detector

pytestmark = pytest.mark.integration

DAY = 86_400.0


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)


def put(trail: Trail, key: str, body: bytes) -> None:
    trail.s3.put_object(Bucket=trail.bucket, Key=key, Body=body)


def put_sample_logs(trail: Trail) -> None:
    """Put the sample logs where a trail delivers them, digest file and all."""
    for path in SAMPLE_LOGS.iterdir():
        account, kind, region, *_ = path.name.split("_")
        key = f"org/AWSLogs/{account}/{kind}/{region}/2026/09/16/{path.name}"
        put(trail, key, path.read_bytes())


def replayed(*arguments: str | Path) -> dict[str, Any]:
    done = detector("replay", "--format", "json", *arguments)
    assert done.returncode == 0, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    return document


@pytest.mark.parametrize(
    ("mode", "options", "prefix"),
    [
        ("aligned", [], "org/AWSLogs/"),
        ("sliding", [], ""),
        ("aligned", ["--from", "2026-09-16", "--to", "2026-09-16"], ""),
    ],
)
def test_a_bucket_gives_the_alerts_of_the_same_files_on_disk(
    trail: Trail, mode: str, options: list[str], prefix: str
) -> None:
    put_sample_logs(trail)
    on_disk = replayed("--window-mode", mode, SAMPLE_LOGS)
    address = f"s3://{trail.bucket}/{prefix}"
    s3 = replayed(*("--window-mode", mode, "--endpoint-url", trail.endpoint, *options, address))
    assert s3["alerts"] == on_disk["alerts"] != []
    # The digest file is not even listed.
    assert s3["records"] == {
        **on_disk["records"],
        "in": on_disk["records"]["in"] - 1,
        "skipped": on_disk["records"]["skipped"] - 1,
    }


def test_buckets_and_files_are_taken_in_one_order(trail: Trail, tmp_path: Path) -> None:
    times = [time for path in SAMPLE_LOGS.iterdir() if (time := delivery_time(path.name))]
    middle = sorted(times)[len(times) // 2]
    for path in SAMPLE_LOGS.iterdir():
        if (delivery_time(path.name) or 0) < middle:
            (tmp_path / path.name).write_bytes(path.read_bytes())
        else:
            put(trail, path.name, path.read_bytes())
    put(trail, "notes.txt", b"no log file")
    address = f"s3://{trail.bucket}"
    for mode in ("aligned", "sliding"):
        options = ("--window-mode", mode, "--endpoint-url", trail.endpoint)
        mixed = replayed(*options, address, tmp_path)
        assert mixed["alerts"] == replayed("--window-mode", mode, SAMPLE_LOGS)["alerts"]


class Recording:
    """A client that notes what is asked for, and the keys that are told."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.calls = 0
        self.shown: set[str] = set()

    async def list_objects_v2(self, **request: Any) -> Any:
        self.calls += 1
        page = await self._client.list_objects_v2(**request, MaxKeys=20)
        self.shown.update(item["Key"] for item in page.get("Contents", ()))
        return page


async def test_a_day_is_listed_without_the_keys_of_other_days(trail: Trail) -> None:
    wanted: set[str] = set()
    every: set[str] = set()
    for account in ACCOUNTS:
        for region in REGIONS:
            for day in range(-30, 20):
                key = trail_key(NOON + day * DAY, account=account, region=region)
                every.add(key)
                if day == 0:
                    wanted.add(key)
    every |= {trail_key(NOON, kind=kind) for kind in ("CloudTrail-Digest", "CloudTrail-Insight")}
    every |= {firehose_key(NOON + day * DAY, before="firehose/") for day in range(-30, 20)}
    for key in every:
        put(trail, key, b"{}")
    period = Period(NOON - DAY / 2, NOON + DAY / 2)
    async with get_session().create_client("s3", REGION, endpoint_url=trail.endpoint) as client:
        recording: Any = Recording(client)
        found = await list_log_files(recording, S3Address(trail.bucket, ""), period)
        # moto wrote all of Firehose's objects just now.
        assert {item.reference.key for item in found} == wanted
        # To the regions and to Firehose's months, and the days of each of the four regions.
        assert recording.calls <= 14
        days = {re.findall(r"/(20../../..)/", key)[0] for key in recording.shown}
        assert "2026/09/16" in days
        assert min(days) >= "2026/09/15"
        assert len(recording.shown) <= 20 * 5
        listed = await list_log_files(recording, S3Address(trail.bucket, ""))
        assert len(listed) == len(every) - 2


def test_an_object_that_cannot_be_read_is_rejected_and_the_rest_is_not(trail: Trail) -> None:
    keys = [f"logs/{number}.json" for number in range(3)]
    for key in keys:
        put(trail, key, log_file(record()))
    with S3Objects(max_object_bytes=1 << 20, endpoint_url=trail.endpoint) as objects:
        items = objects.find([S3Address(trail.bucket, "logs/")])
        trail.s3.delete_object(Bucket=trail.bucket, Key=keys[1])
        bodies = {item.origin[-6:]: item.read().body for item in items}
    missing = bodies.pop("1.json")
    assert isinstance(missing, PayloadError)
    assert missing.reason == "object_missing"
    assert all(isinstance(body, bytes) for body in bodies.values())
    assert len(bodies) == 2


def test_an_object_over_the_cap_is_rejected_without_being_fetched(trail: Trail) -> None:
    put(trail, "large.json", log_file(record(padding="x" * 5000)))
    with S3Objects(max_object_bytes=1000, endpoint_url=trail.endpoint) as objects:
        (item,) = objects.find([S3Address(trail.bucket, "")])
        body = item.read().body
    assert isinstance(body, PayloadError)
    assert body.reason == "too_large"


def test_no_more_is_fetched_ahead_than_is_allowed(
    trail: Trail, monkeypatch: pytest.MonkeyPatch
) -> None:
    bodies = [log_file(record(padding="x" * (1000 * number))) for number in (1, 2, 30, 1, 4, 4, 1)]
    for number, body in enumerate(bodies):
        put(trail, trail_key(NOON + number * 60), body)
    begun: list[int] = []

    async def noted(client: Any, reference: ObjectReference, max_bytes: int) -> Payload:
        begun.append(reference.size or 0)
        return await fetch(client, reference, max_bytes)

    monkeypatch.setattr(reading, "fetch", noted)
    monkeypatch.setattr(reading, "OBJECTS_AHEAD", 3)
    monkeypatch.setattr(reading, "BYTES_AHEAD", 10_000)
    with S3Objects(max_object_bytes=1 << 20, endpoint_url=trail.endpoint) as objects:
        read = []
        for place, item in enumerate(objects.find([S3Address(trail.bucket, "")])):
            read.append(item.read().body)
            ahead = begun[place:]
            assert len(ahead) <= 3
            assert sum(ahead) <= 10_000 or len(ahead) == 1
        assert read == bodies
    assert begun == [len(body) for body in bodies]


def test_a_replay_that_ends_early_leaves_nothing_behind(trail: Trail) -> None:
    for number in range(5):
        put(trail, f"{number}.json.gz", zipped_log_file(record()))
    with pytest.raises(KeyboardInterrupt):
        _interrupted(trail)


def _interrupted(trail: Trail) -> None:
    with S3Objects(max_object_bytes=1 << 20, endpoint_url=trail.endpoint) as objects:
        objects.find([S3Address(trail.bucket, "")])[0].read()
        raise KeyboardInterrupt


@pytest.fixture
def unused_port() -> Iterator[int]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        yield probe.getsockname()[1]


def test_a_bucket_that_is_not_there_is_one_sentence(trail: Trail) -> None:
    done = detector("replay", "--endpoint-url", trail.endpoint, "s3://no-such-bucket/x")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("detector: s3://no-such-bucket/x: there is no bucket")
    assert done.stderr.count("\n") == 1


def test_without_credentials_it_is_told_what_to_set(
    trail: Trail, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    nothing = {
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": str(tmp_path / "config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials"),
    }
    options = ("replay", "--endpoint-url", trail.endpoint, f"s3://{trail.bucket}/")
    done = detector(*options, env=nothing)
    assert (done.returncode, done.stdout) == (1, "")
    assert "there are no AWS credentials; set AWS_PROFILE" in done.stderr
    assert done.stderr.count("\n") == 1
    done = detector(*options, env={**nothing, "AWS_PROFILE": "nobody"})
    assert (done.returncode, done.stdout) == (1, "")
    assert "profile (nobody) could not be found; check AWS_PROFILE" in done.stderr


def test_an_endpoint_that_is_none_is_one_sentence(unused_port: int) -> None:
    for endpoint, says in (
        (f"http://127.0.0.1:{unused_port}", "S3 cannot be reached"),
        ("nonsense", "S3 cannot be used"),
    ):
        options = ("--endpoint-url", endpoint, "s3://bucket/x")
        done = detector("replay", *options, env={"AWS_MAX_ATTEMPTS": "1"})
        assert (done.returncode, done.stdout) == (1, "")
        assert says in done.stderr
        assert done.stderr.count("\n") == 1


def test_a_prefix_with_nothing_in_it_is_told(trail: Trail) -> None:
    address = f"s3://{trail.bucket}/nothing/"
    done = detector("replay", "--endpoint-url", trail.endpoint, address)
    assert done.returncode == 0
    assert done.stderr == f"detector: {address}: there are no log files\n"
    assert "0 alerts from 0 files" in done.stdout
