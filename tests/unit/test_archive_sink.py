"""The archive sink: what Delivered means, what is shared, and what it says when it cannot write."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from detector.config import ArchiveSinkConfig
from detector.errors import SinkError
from detector.sinks.archive.sink import WORK_FOLDER, ArchiveSink
from detector.sinks.sink import Delivered, Permanent, Retry, message_id
from detector.state.store import Notification
from tests.alerts import alert
from tests.archived import archive_files, read
from tests.sinks import answers, opened, sink_context
from tests.waiting import until


def config(folder: Path, **settings: Any) -> ArchiveSinkConfig:
    return ArchiveSinkConfig(name="archive", path=str(folder), **settings)


def notifications(count: int) -> list[Notification]:
    made = alert()
    return [
        Notification(msgspec.structs.replace(made, id=f"a{number:05}")) for number in range(count)
    ]


async def test_each_kind_of_notification_is_a_record(tmp_path: Path) -> None:
    sent = [Notification(alert(), kind) for kind in ("raised", "updated", "resolved")]
    assert await answers(config(tmp_path), *sent) == [Delivered()] * 3
    records = read(archive_files(tmp_path))
    assert [record["kind"] for record in records] == ["raised", "updated", "resolved"]
    assert [record["message_id"] for record in records] == list(map(message_id, sent))


async def test_what_is_sent_at_a_time_shares_a_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    real = os.fsync
    sent = notifications(ArchiveSink.concurrency * 4)
    async with opened(config(tmp_path)) as sink:
        await sink.send(sent[0])  # which makes the file

        def counted(descriptor: int) -> None:
            synced.append(descriptor)
            real(descriptor)

        monkeypatch.setattr("os.fsync", counted)
        for start in range(0, len(sent), ArchiveSink.concurrency):
            group = sent[start : start + ArchiveSink.concurrency]
            assert set(await asyncio.gather(*map(sink.send, group))) == {Delivered()}
        monkeypatch.undo()
    assert 4 <= len(synced) <= 8
    assert len(read(archive_files(tmp_path))) == len(sent) + 1


async def test_delivered_is_said_when_the_record_is_on_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    real = os.fsync

    def noted(descriptor: int) -> None:
        real(descriptor)
        steps.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)

    monkeypatch.setattr("os.fsync", noted)
    async with opened(config(tmp_path)) as sink:
        del steps[:]
        assert await sink.send(Notification(alert())) == Delivered()
        file, folder = steps
        assert file.endswith(".avro.part")
        assert folder == WORK_FOLDER


async def test_a_file_is_closed_at_its_size(tmp_path: Path) -> None:
    async with opened(config(tmp_path, max_bytes=20_000, codec="null")) as sink:
        for notification in notifications(20):
            await sink.send(notification)
    files = archive_files(tmp_path)
    assert len(files) > 1
    assert len(read(files)) == 20
    for path in files:
        assert path.stat().st_size < 24_000


async def test_a_file_is_closed_in_time(tmp_path: Path) -> None:
    async with opened(config(tmp_path, max_seconds=0.05)) as sink:
        for _ in range(2):
            known = len(archive_files(tmp_path))
            await sink.send(Notification(alert()))
            await until(lambda known=known: len(archive_files(tmp_path)) > known)  # type: ignore[misc]


async def test_an_archive_without_alerts_has_no_files(tmp_path: Path) -> None:
    assert await answers(config(tmp_path)) == []
    assert archive_files(tmp_path) == []


async def test_who_waits_no_more_disturbs_nobody(tmp_path: Path) -> None:
    async with opened(config(tmp_path)) as sink:
        first, second = (asyncio.create_task(sink.send(item)) for item in notifications(2))
        await asyncio.sleep(0)
        first.cancel()
        assert await second == Delivered()
    assert 1 <= len(read(archive_files(tmp_path))) <= 2


async def test_an_alert_that_does_not_fit_is_refused_alone(tmp_path: Path) -> None:
    good = Notification(alert())
    bad = replace(good, alert=msgspec.structs.replace(good.alert, count=2**63))
    async with opened(config(tmp_path)) as sink:
        refused, *delivered = await asyncio.gather(*map(sink.send, [bad, good, good]))
    assert isinstance(refused, Permanent)
    assert delivered == [Delivered()] * 2


async def test_a_folder_that_cannot_be_written_is_said_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SinkError, match="File exists; check path"):
        await answers(config(tmp_path / "file"))


async def test_while_nothing_can_be_written_the_outbox_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    async with opened(config(tmp_path)) as sink:
        with monkeypatch.context() as patch:
            patch.setattr("os.pwrite", full)
            for _ in range(2):
                why = "the archive cannot be written: No space left on device"
                assert await sink.send(Notification(alert())) == Retry(why)
        assert await sink.send(Notification(alert())) == Delivered()
    assert len(read(archive_files(tmp_path))) == 1


async def test_after_the_end_nothing_is_taken(tmp_path: Path) -> None:
    async with opened(config(tmp_path)) as sink:
        pass
    assert await sink.send(Notification(alert())) == Retry("the archive is closed")
    never_opened = ArchiveSink(config(tmp_path), sink_context())
    await never_opened.close()
