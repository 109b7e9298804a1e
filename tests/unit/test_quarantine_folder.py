import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.errors import QuarantineError
from detector.quarantine import folder as folder_module
from detector.quarantine.folder import BLOCK_BYTES, FolderQuarantine
from detector.quarantine.store import QuarantineStore, Usage
from tests.strategies import examples
from tests.unit.quarantine_contract import QuarantineContract, documents, ids, made

DAY = 86_400.0


def in_folder(
    folder: Path, *, max_bytes: int = 1 << 20, retention: float = DAY
) -> FolderQuarantine:
    return FolderQuarantine(folder, max_bytes=max_bytes, retention=retention)


class TestFolder(QuarantineContract):
    @pytest.fixture
    def place(self, tmp_path: Path) -> QuarantineStore:
        return in_folder(tmp_path / "a" / "quarantine")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "quarantine"


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every look is at all files."""
    monkeypatch.setattr(folder_module, "SCAN_SECONDS", 0.0)


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def open_to_others(folder: Path) -> set[Path]:
    return {path for path in (folder, *folder.rglob("*")) if path.stat().st_mode & 0o077}


def put(folder: Path, name: str, text: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text)
    return folder / name


def content(path: Path) -> str:
    return path.read_text()


def remove(path: Path) -> None:
    path.unlink()


async def test_only_the_detectors_user_may_read_it(folder: Path) -> None:
    place = in_folder(folder)
    await place.keep(documents(made(1)))
    (item,) = await place.listed("kept")
    await place.request_replay(item)
    assert open_to_others(folder) == set()


async def test_what_somebody_else_has_put_there_is_no_entry_and_stays(folder: Path) -> None:
    place = in_folder(folder)
    await place.keep(documents(made(1)))
    for name in ("notes.txt", "x.json", f"{made(2).id}.json.bak"):
        (folder / name).write_text("mine")
    (folder / f"{made(3).id}.json").mkdir()
    (folder / f"{made(4).id}.json").symlink_to("/etc/passwd")
    assert ids(await place.listed("kept")) == [made(1).id]
    await place.make_room(1 << 20, 99 * DAY)
    assert len(names(folder)) == 6


async def test_a_part_that_a_kill_has_left_is_no_entry_and_is_removed(folder: Path) -> None:
    put(folder, f".{made(1).id}.json.tmp", "{")
    place = in_folder(folder)
    assert await place.listed("kept") == []
    await place.make_room(0, 0)
    assert names(folder) == []


async def test_a_write_that_fails_leaves_no_part_and_says_what_to_do(folder: Path) -> None:
    place = in_folder(folder)
    blocked = folder / f"{made(1).id}.json"
    blocked.mkdir(parents=True)
    with pytest.raises(QuarantineError, match=r"cannot be used: .*; check quarantine\.path"):
        await place.keep(documents(made(1)))
    assert sorted(names(folder)) == [blocked.name, "replay"]


async def test_a_link_in_place_of_a_part_is_not_followed(folder: Path, tmp_path: Path) -> None:
    precious = put(tmp_path, "precious", "mine")
    (put(folder, "other", "").parent / f".{made(1).id}.json.tmp").symlink_to(precious)
    with pytest.raises(QuarantineError):
        await in_folder(folder).keep(documents(made(1)))
    assert content(precious) == "mine"


async def test_what_is_past_its_retention_goes(folder: Path) -> None:
    place = in_folder(folder, retention=10)
    await place.keep(documents(made(100), made(105), made(110)))
    assert await place.make_room(0, 115.5) == Usage(1, BLOCK_BYTES, expired=2)
    assert ids(await place.listed("kept")) == [made(110).id]


async def test_the_oldest_go_first_and_some_room_is_made_at_once(folder: Path) -> None:
    place = in_folder(folder, max_bytes=20 * BLOCK_BYTES)
    await place.keep(documents(*(made(number) for number in range(20))))
    (first, *_) = await place.listed("kept")
    await place.request_replay(first)
    usage = await place.make_room(BLOCK_BYTES, 20)
    assert (usage.entries, usage.full, usage.expired) == (17, 3, 0)
    assert ids(await place.listed("kept")) == ids([made(number) for number in range(3, 20)])
    assert await place.listed("replaying") == []  # it was the oldest


async def test_files_are_looked_at_now_and_then_as_others_take_some_away(
    folder: Path, eager: None
) -> None:
    place = in_folder(folder)
    await place.keep(documents(made(1), made(2)))
    assert (await place.make_room(0, 2)).entries == 2
    await in_folder(folder).drop((await place.listed("kept"))[0])
    assert (await place.make_room(0, 2)).entries == 1


@examples(50)
@given(st.lists(st.lists(st.integers(0, 30_000), min_size=1, max_size=5), max_size=6))
def test_whatever_is_kept_the_folder_stays_within_its_bound(batches: list[list[int]]) -> None:
    bound = 160_000

    async def run(folder: Path) -> None:
        place = in_folder(folder, max_bytes=bound)
        number = kept = dropped = 0
        for sizes in batches:
            number += len(sizes)
            batch = documents(*(made(number - at, size) for at, size in enumerate(reversed(sizes))))
            usage = await place.make_room(sum(map(len, batch.values())), number)
            dropped += usage.full
            await place.keep(batch)
            kept += len(sizes)
            listed = await place.listed("kept")
            on_disk = sum(-(-item.size // BLOCK_BYTES) * BLOCK_BYTES for item in listed)
            assert on_disk <= bound + len(sizes) * BLOCK_BYTES
            assert len(listed) == kept - dropped
            assert batch.keys() <= set(ids(listed))

    with TemporaryDirectory() as folder:
        asyncio.run(run(Path(folder)))


async def test_a_folder_that_cannot_be_written_is_an_error_each_time_and_then_works(
    tmp_path: Path,
) -> None:
    put(tmp_path, "file", "")
    place = in_folder(tmp_path / "file" / "quarantine")
    for _ in range(2):
        with pytest.raises(QuarantineError, match="Not a directory"):
            await place.keep(documents(made(1)))
    remove(tmp_path / "file")
    await place.keep(documents(made(1)))
    assert len(await place.listed("kept")) == 1
