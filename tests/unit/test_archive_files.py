"""The archive's files: written by blocks, cut where a write failed, mended after a crash."""

from __future__ import annotations

import errno
import fcntl
import os
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from detector.sinks.archive.container import TornHeaderError, block, can_be_read, header, scan
from detector.sinks.archive.files import ArchiveFiles
from detector.sinks.archive.layout import day_of, file_name, is_name
from detector.sinks.archive.record import encoded
from detector.state.store import Notification
from tests.alerts import alert
from tests.archived import archive_files, read, read_bytes

SYNC = bytes(range(16))
NAME = "alerts-20260916T120000Z-0123456789abcdef.avro"
NOW = datetime(2026, 9, 16, 12, 0, tzinfo=UTC).timestamp()
RECORDS = [encoded(Notification(alert(f"user{number}")), NOW) for number in range(5)]
HEADER = header("zstandard", SYNC)
BLOCKS = [block("zstandard", RECORDS[n : n + 2], SYNC) for n in (0, 2, 4)]
FILE = HEADER + b"".join(BLOCKS)
ENDS = [len(HEADER) + sum(map(len, BLOCKS[:n])) for n in range(4)]


def actors(records: list[dict[str, Any]]) -> list[str]:
    return [record["actors"][0] for record in records]


def archive(root: Path, max_bytes: int = 1 << 20) -> ArchiveFiles:
    return ArchiveFiles(
        root / ".open",
        lambda name: root / day_of(name) / name,
        "zstandard",
        max_bytes,
        is_private=False,
    )


def left_over(root: Path, data: bytes) -> Path:
    """Put a file there as a crash leaves it."""
    part = root / ".open" / f"{NAME}.part"
    part.parent.mkdir(parents=True, exist_ok=True)
    part.write_bytes(data)
    return part


@pytest.fixture
def no_sync(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests of what is on disk, not of when."""
    monkeypatch.setattr("os.fsync", lambda descriptor: None)


def test_a_name_tells_the_time_and_the_day() -> None:
    assert file_name(NOW, "0123456789abcdef") == NAME
    assert day_of(NAME) == "day=2026-09-16"
    assert is_name(NAME)
    assert not is_name(f"../{NAME}")
    assert not is_name("other.avro")


def test_a_file_gets_its_name_when_it_is_closed(tmp_path: Path) -> None:
    files = archive(tmp_path)
    assert files.finish() is None
    files.append(RECORDS[:2], NOW)
    assert archive_files(tmp_path) == []
    files.append(RECORDS[2:], NOW + 60)
    path = files.finish()
    assert archive_files(tmp_path) == [path]
    assert path is not None
    assert path.parent == tmp_path / "day=2026-09-16"
    assert path.name.startswith("alerts-20260916T120000Z-")
    assert actors(read([path])) == [f"user{number}" for number in range(5)]
    assert list((tmp_path / ".open").iterdir()) == []


def test_what_was_appended_is_in_the_file_before_it_is_closed(tmp_path: Path) -> None:
    files = archive(tmp_path)
    for number, record in enumerate(RECORDS):
        files.append([record], NOW)
        (part,) = (tmp_path / ".open").iterdir()
        assert len(read_bytes(part.read_bytes())) == number + 1
        assert files.size == part.stat().st_size


def test_a_file_is_full_at_its_size(tmp_path: Path) -> None:
    files = archive(tmp_path, max_bytes=ENDS[2])
    files.append(RECORDS[:2], NOW)
    assert not files.is_full
    files.append(RECORDS[2:], NOW)
    assert files.is_full


# After a crash.


def whole_blocks(length: int) -> int:
    return sum(length >= end for end in ENDS[1:])


def test_of_a_file_torn_at_any_byte_the_whole_blocks_are_found() -> None:
    for length in range(len(FILE) + 1):
        torn = FILE[:length]
        if length < len(HEADER):
            with pytest.raises(TornHeaderError):
                scan(torn)
            continue
        found = scan(torn)
        whole = whole_blocks(length)
        assert found.ranges == ([(len(HEADER), ENDS[whole])] if whole else [])
        assert found.is_sound == bool(whole)


@pytest.mark.usefixtures("no_sync")
def test_a_file_torn_at_any_byte_is_recovered_as_far_as_it_is_whole(tmp_path: Path) -> None:
    lengths = [*range(0, ENDS[2], 97), *range(ENDS[2] - 20, ENDS[3] + 1)]
    for length in lengths:
        root = tmp_path / str(length)
        left_over(root, FILE[:length])
        archive(root).prepare()
        recovered = read(archive_files(root))
        assert actors(recovered) == [f"user{n}" for n in range(5)][: 2 * whole_blocks(length)]
        assert list((root / ".open").iterdir()) == []


def test_a_recovered_file_goes_to_the_day_it_was_begun(tmp_path: Path) -> None:
    left_over(tmp_path, FILE[:-1])
    archive(tmp_path).prepare()
    assert archive_files(tmp_path) == [tmp_path / "day=2026-09-16" / NAME]


def zeroed(data: bytes, start: int, end: int) -> bytes:
    return data[:start] + bytes(end - start) + data[end:]


@pytest.mark.usefixtures("no_sync")
def test_a_last_block_that_came_to_the_disk_in_part_is_cut_off(tmp_path: Path) -> None:
    start, end = ENDS[2], ENDS[3]
    for number, torn in enumerate(
        [
            zeroed(FILE, start, end),
            zeroed(FILE, start + 4, end - 16),  # its middle alone is missing
            zeroed(FILE, start + 100, start + 140),
            FILE + bytes(4096),
        ]
    ):
        root = tmp_path / str(number)
        left_over(root, torn)
        archive(root).prepare()
        assert len(read(archive_files(root))) == (5 if number == 3 else 4)
        assert list((root / ".open").iterdir()) == []


@pytest.mark.parametrize(
    ("place", "lost"),
    [
        pytest.param(ENDS[0], 0, id="the first block's count"),
        pytest.param(ENDS[1] - 1, 0, id="the first block's marker"),
        pytest.param(ENDS[1] + 1, 1, id="the second block's size"),
        pytest.param(ENDS[2] - 16, 1, id="the second block's marker"),
    ],
)
def test_damage_between_blocks_costs_one_of_them_and_the_file_is_kept(
    tmp_path: Path, place: int, lost: int
) -> None:
    damaged = FILE[:place] + bytes([FILE[place] ^ 0x41]) + FILE[place + 1 :]
    left_over(tmp_path, damaged)
    archive(tmp_path).prepare()
    kept = [f"user{number}" for number in range(5) if number // 2 != lost]
    assert actors(read(archive_files(tmp_path))) == kept
    (aside,) = (tmp_path / ".open").iterdir()
    assert aside.name == f"{NAME}.damaged"
    assert aside.read_bytes() == damaged


def test_what_is_no_archive_file_is_set_aside(tmp_path: Path) -> None:
    left_over(tmp_path, b"something else altogether")
    archive(tmp_path).prepare()
    (aside,) = (tmp_path / ".open").iterdir()
    assert aside.read_bytes() == b"something else altogether"
    assert archive_files(tmp_path) == []


def test_a_file_that_another_process_writes_is_let_be(tmp_path: Path) -> None:
    ours, theirs = archive(tmp_path), archive(tmp_path)
    ours.append(RECORDS[:2], NOW)
    theirs.prepare()
    theirs.append(RECORDS[2:4], NOW)
    ours.append(RECORDS[4:], NOW)
    first, second = ours.finish(), theirs.finish()
    assert first is not None
    assert second is not None
    assert actors(read([first])) == ["user0", "user1", "user4"]
    assert actors(read([second])) == ["user2", "user3"]


def test_a_leftover_is_taken_by_one_of_two_that_start(tmp_path: Path) -> None:
    part = left_over(tmp_path, FILE)
    with part.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        archive(tmp_path).prepare()
        assert part.exists()
    archive(tmp_path).prepare()
    assert not part.exists()
    assert len(read(archive_files(tmp_path))) == 5


# A disk that refuses.


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """Let no file of this process grow beyond a size, as a full disk would."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("missing", [1, 100, len(BLOCKS[1])])
def test_what_a_full_disk_left_half_written_is_cut_off(tmp_path: Path, missing: int) -> None:
    files = archive(tmp_path)
    files.append(RECORDS[:2], NOW)
    (part,) = (tmp_path / ".open").iterdir()
    before = part.read_bytes()
    with (
        file_size_limit(len(before) + len(BLOCKS[1]) - missing),
        pytest.raises(OSError, match="File too large"),
    ):
        files.append(RECORDS[2:4], NOW)
    assert part.read_bytes() == before
    files.append(RECORDS[2:4], NOW)
    path = files.finish()
    assert path is not None
    assert actors(read([path])) == ["user0", "user1", "user2", "user3"]


def test_a_file_that_cannot_be_begun_leaves_nothing(tmp_path: Path) -> None:
    files = archive(tmp_path)
    with file_size_limit(100), pytest.raises(OSError, match="File too large"):
        files.append(RECORDS, NOW)
    assert list((tmp_path / ".open").iterdir()) == []
    assert files.begun_at is None


def failing(times: int, error: int = errno.EIO) -> Callable[..., None]:
    calls, real = count(), os.fsync

    def fail(descriptor: int) -> None:
        if next(calls) < times:
            raise OSError(error, os.strerror(error))
        real(descriptor)

    return fail


def test_a_file_that_cannot_even_be_cut_is_recovered_before_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = archive(tmp_path)
    files.append(RECORDS[:2], NOW)
    monkeypatch.setattr("os.fsync", failing(2))
    with pytest.raises(OSError, match="error"):
        files.append(RECORDS[2:4], NOW)
    assert files.begun_at is None
    files.append(RECORDS[2:4], NOW)
    files.finish()
    kept = actors(read(archive_files(tmp_path)))
    assert sorted(kept) == ["user0", "user1", "user2", "user3"]
    assert list((tmp_path / ".open").iterdir()) == []


def test_a_leftover_without_a_place_holds_up_nothing(tmp_path: Path) -> None:
    part = left_over(tmp_path, FILE)
    (tmp_path / "day=2026-09-16").write_bytes(b"in the way")
    files = archive(tmp_path)
    files.append(RECORDS[:1], NOW + 86_400)
    files.finish()
    assert actors(read(archive_files(tmp_path))) == ["user0"]
    assert part.exists()
    (tmp_path / "day=2026-09-16").unlink()
    files.append(RECORDS[1:2], NOW + 86_400)
    assert not part.exists()
    assert len(read(archive_files(tmp_path))) == 6


def test_only_what_can_be_decoded_is_a_block_that_can_be_read() -> None:
    found = scan(FILE)
    assert found.last == (ENDS[2], ENDS[3])
    assert can_be_read(FILE, found, found.last)
    hollow = zeroed(FILE, ENDS[2] + 4, ENDS[3] - 16)
    assert not can_be_read(hollow, found, found.last)


def test_a_file_that_another_process_has_removed_before_its_lock_takes_no_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = archive(tmp_path)
    files.prepare()
    with monkeypatch.context() as patched:
        real = fcntl.flock

        def first(descriptor: int, operation: int) -> None:
            patched.setattr("detector.sinks.archive.files.fcntl.flock", real)
            archive(tmp_path).prepare()  # as of another detector: it finds an empty file, unlocked
            real(descriptor, operation)

        patched.setattr("detector.sinks.archive.files.fcntl.flock", first)
        with pytest.raises(FileNotFoundError):
            files.append(RECORDS, NOW)
    files.append(RECORDS, NOW)
    files.finish()
    assert len(read(archive_files(tmp_path))) == len(RECORDS)
