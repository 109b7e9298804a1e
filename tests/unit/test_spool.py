from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from detector.errors import PayloadError
from detector.sources.spool import Spool, md5, remove, size_of


async def chunks(*parts: bytes, then: Exception | None = None) -> AsyncIterator[bytes]:
    for part in parts:
        yield part
    if then is not None:
        raise then


def files_in(folder: Path) -> list[Path]:
    return list(folder.iterdir())


async def test_what_comes_is_in_a_file_that_only_its_user_may_read(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    path = await spool.write(chunks(b"ab", b"c"), 3)
    assert path.read_bytes() == b"abc"
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert (size_of(path), await md5(path)) == (3, await md5(b"abc"))
    remove(path)
    remove(path)
    assert files_in(tmp_path / "spool") == []


async def test_what_is_too_large_or_cut_off_leaves_nothing(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    with pytest.raises(PayloadError) as caught:
        await spool.write(chunks(b"ab", b"cd"), 3)
    assert caught.value.reason == "too_large"
    with pytest.raises(ConnectionResetError):
        await spool.write(chunks(b"ab", then=ConnectionResetError()), 3)
    assert files_in(tmp_path) == []


async def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(PayloadError) as caught:
        await Spool(tmp_path / "file").write(chunks(b"a"), 3)
    assert caught.value.reason == "no_space"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a disk that is full")
@pytest.mark.parametrize("size", [3, 1 << 20])
async def test_a_full_disk_is_told_also_where_only_the_last_bytes_find_it_so(
    size: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "x.spooled"
    path.touch()
    spool = Spool(tmp_path / "spool")
    full = Path("/dev/full").open("wb")  # noqa: ASYNC230, SIM115 - the spool closes it
    monkeypatch.setattr(spool, "_new", lambda: (path, full))
    with pytest.raises(PayloadError) as caught:
        await spool.write(chunks(b"x" * size), size)
    assert caught.value.reason == "no_space"
    assert files_in(tmp_path) == []


def test_what_a_kill_has_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "x.spooled").touch()
    (tmp_path / "mine.txt").touch()
    Spool(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
