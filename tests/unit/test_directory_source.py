import os
import threading
from functools import partial
from pathlib import Path

import pytest

from detector.config import DirectorySourceConfig
from detector.errors import PayloadError, SourceError
from detector.sources import directory
from detector.sources.delivery import Delivery, Payload
from detector.sources.directory import GONE_SECONDS, DirectorySource
from detector.sources.files import read_payload
from tests.sources import Reader
from tests.waiting import PATIENCE, until


class Clock:
    """Stands in for the time module where a test says what time it is."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def time(self) -> float:
        return self.now

    monotonic = time


def reading(
    folder: Path, positions: dict[str, str] | None = None, **changes: float
) -> Reader[DirectorySource]:
    """Return a source of a folder, and what it has handed on."""
    settings = {"poll_seconds": 0.01, "settle_seconds": 0.0, **changes}
    config = DirectorySourceConfig(name="files", path=str(folder), **settings)  # type: ignore[arg-type]
    return Reader(partial(DirectorySource, config), positions)


def name(delivery: Delivery) -> str:
    (payload,) = delivery.payloads
    return Path(payload.origin).name


def scan(reader: Reader[DirectorySource]) -> list[str]:
    return [item.path for item in reader.source._scan()]


async def test_files_that_are_there_come_first_and_new_ones_follow(tmp_path: Path) -> None:
    (tmp_path / "b.json").write_bytes(b"B")
    (tmp_path / "a.json.gz").write_bytes(b"A")
    reader = reading(tmp_path)
    assert not reader.readiness.is_ready
    async with reader.running():
        assert [name(await reader.next()), name(await reader.next())] == ["a.json.gz", "b.json"]
        (tmp_path / "deep").mkdir()
        (tmp_path / "deep" / "c.json").write_bytes(b"C")
        delivery = await reader.next()
        assert (name(delivery), delivery.payloads[0].body) == ("c.json", b"C")
        assert reader.readiness.is_ready


async def test_a_restart_neither_repeats_nor_skips(tmp_path: Path) -> None:
    for letter in "abc":
        (tmp_path / f"{letter}.json").write_bytes(letter.encode())
    first = reading(tmp_path)
    async with first.running():
        seen = [name(await first.next()), name(await first.next())]
    # What was handed on but not committed, as after a crash, comes again.
    second = reading(tmp_path, first.positions)
    async with second.running():
        seen.append(name(await second.next()))
        (tmp_path / "d.json").write_bytes(b"d")
        seen.append(name(await second.next()))
    assert seen == ["a.json", "b.json", "c.json", "d.json"]


async def test_a_file_that_is_replaced_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(b"one")
    reader = reading(tmp_path)
    async with reader.running():
        await reader.next()
        path.write_bytes(b"three")
        assert (await reader.next()).payloads[0].body == b"three"


def test_a_file_still_growing_is_left_alone_until_it_has_settled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr(directory, "time", clock)
    reader = reading(tmp_path, settle_seconds=2)
    path = tmp_path / "a.json"
    for size in (1, 2):
        path.write_bytes(b"x" * size)
        os.utime(path, (clock.now, clock.now))
        assert scan(reader) == []
        clock.now += 1.5
        assert scan(reader) == []
    clock.now += 0.5
    assert scan(reader) == ["a.json"]


def test_a_file_whose_time_lies_in_the_future_settles_by_our_own_clock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr(directory, "time", clock)
    reader = reading(tmp_path, settle_seconds=2)
    (tmp_path / "a.json").write_bytes(b"x")
    os.utime(tmp_path / "a.json", (clock.now + 9999, clock.now + 9999))
    assert scan(reader) == []
    clock.now += 2
    assert scan(reader) == ["a.json"]


def test_what_is_no_log_file_is_left_alone(tmp_path: Path) -> None:
    for other in (".hidden.json", "a.json.tmp", "a.txt", "README.md"):
        (tmp_path / other).write_bytes(b"x")
    (tmp_path / "folder.json").mkdir()
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "dangling.json").symlink_to(tmp_path / "nowhere")
    assert scan(reading(tmp_path)) == []


async def test_a_full_pipeline_stops_the_reading(tmp_path: Path) -> None:
    for number in range(10):
        (tmp_path / f"{number}.json").write_bytes(b"x" * 400)
    reader = reading(tmp_path)
    async with reader.running():
        for number in range(10):
            expected = min(2, 10 - number)
            await until(lambda: reader.waiting >= expected)  # noqa: B023 - awaited at once
            # Two of 400 bytes fit into 1000, a third does not.
            assert reader.budget.bytes <= 800
            assert name(await reader.next()) == f"{number}.json"


async def test_a_file_over_the_cap_is_rejected_and_not_read_again(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b"x" * 50)
    (tmp_path / "b.json").write_bytes(b"x")
    reader = reading(tmp_path, max_file_bytes=10)
    async with reader.running():
        body = (await reader.next()).payloads[0].body
        assert isinstance(body, PayloadError)
        assert body.reason == "too_large"
        assert name(await reader.next()) == "b.json"
    assert reader.positions.keys() == {"a.json", "b.json"}


async def test_a_file_that_cannot_be_read_is_reported_once_and_read_when_it_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Root may read everything, so permission is taken away where the source asks for it.
    readable = False

    def read(path: Path, max_bytes: int) -> Payload:
        if readable:
            return read_payload(path, max_bytes)
        return Payload(str(path), PayloadError("unreadable", "Permission denied"))

    monkeypatch.setattr(directory, "read_payload", read)
    monkeypatch.setattr(os, "access", lambda *_: readable)
    (tmp_path / "a.json").write_bytes(b"x")
    reader = reading(tmp_path)
    async with reader.running():
        first = await reader.next()
        assert first.has_redrive  # it comes again, so that the quarantine need not keep it
        body = first.payloads[0].body
        assert isinstance(body, PayloadError)
        assert body.reason == "unreadable"
        assert reader.positions == {}
        (tmp_path / "b.json").write_bytes(b"x")
        await until(lambda: "b.json" in reader.source._unreadable)
        assert name(await reader.next()) == "b.json"
        assert reader.waiting == 0
        readable = True
        later = [await reader.next(), await reader.next()]
        assert {name(delivery) for delivery in later} == {"a.json", "b.json"}
        assert not any(delivery.has_redrive for delivery in later)
    assert reader.positions.keys() == {"a.json", "b.json"}


async def test_a_folder_that_is_missing_ends_the_source_with_a_remedy(tmp_path: Path) -> None:
    reader = reading(tmp_path / "nowhere")
    with pytest.raises(SourceError, match=r"nowhere cannot be read: No such file.*; create it"):
        await reader.source.run(lambda _: None)


async def test_a_file_that_is_gone_is_forgotten_only_after_a_day(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr(directory, "time", clock)
    (tmp_path / "stays.json").write_bytes(b"x")
    status = (tmp_path / "stays.json").stat()
    signature = f"{status.st_size}:{status.st_mtime_ns}"
    reader = reading(tmp_path, {"stays.json": signature, "gone.json": "1:1"})
    for passed, forgotten in ((0, []), (GONE_SECONDS - 1, []), (2, ["gone.json"])):
        clock.now += passed
        assert scan(reader) == []
        await reader.source._forget_gone()
        assert reader.forgotten == forgotten


async def test_a_stop_in_the_middle_of_a_read_leaves_no_place_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.json").write_bytes(b"A")
    reading_now, go_on = threading.Event(), threading.Event()

    def read(*_: object) -> Payload:
        reading_now.set()
        go_on.wait(PATIENCE)
        return Payload("a.json", b"A")

    monkeypatch.setattr(directory, "read_payload", read)
    reader = reading(tmp_path)
    async with reader.running():
        await until(reading_now.is_set)
    go_on.set()
    assert reader.budget.deliveries == 0


async def test_a_folder_below_that_cannot_be_read_keeps_nothing_else_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("lost+found", "sub"):
        (tmp_path / folder).mkdir()
    (tmp_path / "sub" / "a.json").write_bytes(b"A")
    scan = os.scandir

    def scandir(path: Path) -> object:
        if Path(path).name == "lost+found":
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", scandir)
    reader = reading(tmp_path)
    async with reader.running():
        assert name(await reader.next()) == "a.json"
    assert reader.meter.errors["folder"] >= 1
