"""The archive in S3, which moto stands for: whole files, nothing lost while S3 takes nothing."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from pathlib import Path
from typing import Any

import pytest

from detector.config import ArchiveSinkConfig
from detector.sinks.archive import sink as sink_module
from detector.sinks.archive import uploads as uploads_module
from detector.sinks.archive.sink import ArchiveSink
from detector.sinks.sink import Delivered, Retry, message_id
from detector.state.store import Notification
from tests.alerts import alert
from tests.archived import archive_files, read_bytes
from tests.aws import CREDENTIALS, REGION, Trail
from tests.servers import free_port
from tests.sinks import opened, sink_context
from tests.waiting import until

pytestmark = pytest.mark.integration


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nobody wait long for another attempt."""
    monkeypatch.setattr(uploads_module, "backoff_seconds", lambda *_: 0.05)


def config(trail: Trail, **settings: Any) -> ArchiveSinkConfig:
    values = {
        "path": f"s3://{trail.bucket}/alerts/prod",
        "region": REGION,
        "endpoint_url": trail.endpoint,
    }
    return ArchiveSinkConfig(name="archive", **{**values, **settings})


def objects(trail: Trail) -> dict[str, bytes]:
    """Return what is in the bucket."""
    listed = trail.s3.list_objects_v2(Bucket=trail.bucket).get("Contents", [])
    return {
        item["Key"]: trail.s3.get_object(Bucket=trail.bucket, Key=item["Key"])["Body"].read()
        for item in listed
    }


def sent(trail: Trail) -> list[str]:
    """Return the ids of the messages in the bucket."""
    return sorted(
        record["message_id"] for data in objects(trail).values() for record in read_bytes(data)
    )


def notifications(count: int) -> list[Notification]:
    return [Notification(alert(f"user{number}", number + 1)) for number in range(count)]


async def test_whole_files_come_to_the_bucket_by_day(trail: Trail, tmp_path: Path) -> None:
    async with opened(config(trail), sink_context(tmp_path)) as sink:
        for notification in notifications(3):
            assert await sink.send(notification) == Delivered()
        assert objects(trail) == {}
    ((key, data),) = objects(trail).items()
    day, _, name = key.removeprefix("alerts/prod/").partition("/")
    assert day == f"day={name[7:11]}-{name[11:13]}-{name[13:15]}"
    assert len(read_bytes(data)) == 3
    assert archive_files(tmp_path) == []


async def test_s3_is_given_a_checksum_to_hold_the_file_to(trail: Trail, tmp_path: Path) -> None:
    async with opened(config(trail), sink_context(tmp_path)) as sink:
        await sink.send(Notification(alert()))
    ((key, data),) = objects(trail).items()
    head = trail.s3.head_object(Bucket=trail.bucket, Key=key, ChecksumMode="ENABLED")
    assert base64.b64decode(head["ChecksumSHA256"]) == hashlib.sha256(data).digest()


async def test_files_are_uploaded_while_others_are_written(trail: Trail, tmp_path: Path) -> None:
    settings = config(trail, max_bytes=20_000, codec="null")
    async with opened(settings, sink_context(tmp_path)) as sink:
        await asyncio.gather(*map(sink.send, notifications(20)))
        await until(lambda: objects(trail))
        await asyncio.gather(*map(sink.send, notifications(20)))
    assert len(sent(trail)) == 40


@pytest.mark.usefixtures("soon")
async def test_a_bucket_that_is_not_there_yet_costs_delay(trail: Trail, tmp_path: Path) -> None:
    bucket = f"{trail.bucket}-later"
    settings = config(trail, path=f"s3://{bucket}", max_seconds=0.05)
    context = sink_context(tmp_path)
    async with opened(settings, context) as sink:
        assert isinstance(sink, ArchiveSink)
        assert await sink.send(Notification(alert())) == Delivered()
        uploads = sink._uploads
        assert uploads is not None
        await until(lambda: uploads.failure == "PutObject: NoSuchBucket")
        assert len(archive_files(tmp_path)) == 1
        trail.s3.create_bucket(Bucket=bucket)
        await until(lambda: not archive_files(tmp_path))
        assert uploads.failure == ""
    (key,) = [item["Key"] for item in trail.s3.list_objects_v2(Bucket=bucket)["Contents"]]
    assert key.startswith("day=")


async def test_what_s3_could_not_be_given_before_the_end_goes_there_at_the_next_start(
    trail: Trail, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sink_module, "CLOSE_SECONDS", 0.2)
    away = config(trail, endpoint_url=f"http://127.0.0.1:{free_port()}")
    first, second = notifications(2)
    async with opened(away, sink_context(tmp_path)) as sink:
        assert await sink.send(first) == Delivered()
    assert len(archive_files(tmp_path)) == 1
    monkeypatch.setattr(sink_module, "CLOSE_SECONDS", 10.0)
    async with opened(config(trail), sink_context(tmp_path)) as sink:
        assert await sink.send(second) == Delivered()
    assert sent(trail) == sorted([message_id(first), message_id(second)])
    assert archive_files(tmp_path) == []


async def test_a_full_spool_takes_nothing_until_s3_does(
    trail: Trail, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, soon: None
) -> None:
    monkeypatch.setattr(sink_module, "MAX_SPOOL_BYTES", 30_000)
    bucket = f"{trail.bucket}-full"
    settings = config(trail, path=f"s3://{bucket}", max_bytes=14_000, codec="null")
    async with opened(settings, sink_context(tmp_path)) as sink:
        taken = 0
        while (answer := await sink.send(Notification(alert()))) == Delivered():
            taken += 1
        assert isinstance(answer, Retry)
        assert "wait for S3, and no more may: " in answer.why
        assert 1 <= taken <= 10
        trail.s3.create_bucket(Bucket=bucket)
        await until(lambda: not archive_files(tmp_path))
        assert await sink.send(Notification(alert())) == Delivered()


async def test_a_file_that_was_taken_away_is_not_waited_for(trail: Trail, tmp_path: Path) -> None:
    gone = tmp_path / "alerts-20260916T120000Z-0123456789abcdef.avro"
    async with opened(config(trail), sink_context(tmp_path)) as sink:
        assert isinstance(sink, ArchiveSink)
        assert sink._uploads is not None
        sink._uploads._waiting = {gone.name: 1}
        sink._uploads._wake.set()
        await sink.send(Notification(alert()))
        await until(lambda: sink._uploads is not None and not sink._uploads.waiting_bytes)
    assert len(sent(trail)) == 1
