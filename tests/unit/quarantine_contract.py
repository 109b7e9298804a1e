"""What any place of the quarantine must do, whatever it is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from detector.errors import QuarantineError
from detector.quarantine.entry import Entry, document_of, entry_of, read_entry, read_head
from detector.quarantine.store import EntryGoneError, Listed, QuarantineStore
from detector.state.store import Quarantined
from tests.records import NOON


def made(number: int, size: int = 10, kept_at: float | None = None) -> Entry:
    """Return an entry; a later number is a later one, unless it says when it was kept."""
    item = Quarantined("logs", f"{number}.json", None, "truncated", b"x" * size)
    return entry_of(replace(item, kept_at=number if kept_at is None else kept_at))


def documents(*entries: Entry) -> dict[str, bytes]:
    return {entry.id: document_of(entry) for entry in entries}


def ids(items: Sequence[Listed | Entry]) -> list[str]:
    return [item.id for item in items]


class QuarantineContract:
    """The tests of every place; a subclass has a fixture `place` that is empty."""

    async def test_an_empty_place_has_no_entries(self, place: QuarantineStore) -> None:
        assert await place.listed("kept") == []
        assert await place.listed("replaying") == []

    async def test_what_is_kept_is_listed_oldest_first_and_read(
        self, place: QuarantineStore
    ) -> None:
        entries = [made(number) for number in (3, 1, 2)]
        await place.keep(documents(*entries))
        found = await place.listed("kept")
        assert ids(found) == ids(sorted(entries, key=lambda entry: entry.id))
        for item in found:
            document = await place.read(item)
            assert item.size == len(document)
            assert read_entry(document) in entries
            assert read_head(await place.beginning(item)).id == item.id
        assert await place.listed("replaying") == []

    async def test_of_a_long_entry_only_the_beginning_is_read_for_its_head(
        self, place: QuarantineStore
    ) -> None:
        entry = made(1, 200_000)
        await place.keep(documents(entry))
        (item,) = await place.listed("kept")
        beginning = await place.beginning(item)
        assert len(beginning) < 70_000
        assert read_head(beginning).bytes == 200_000
        assert read_entry(await place.read(item)) == entry

    async def test_keeping_twice_changes_nothing(self, place: QuarantineStore) -> None:
        for _ in range(2):
            await place.keep(documents(made(1), made(2)))
        assert len(await place.listed("kept")) == 2

    async def test_what_comes_again_later_is_one_entry_until_that_is_moved_or_dropped(
        self, place: QuarantineStore
    ) -> None:
        for later in (0, 60, 120):
            await place.keep(documents(made(1, kept_at=NOON + later), made(2, kept_at=NOON)))
        first = made(1, kept_at=NOON)
        assert sorted(ids(await place.listed("kept"))) == sorted(
            ids([first, made(2, kept_at=NOON)])
        )
        assert (await place.make_room(0, NOON)).entries == 2
        (item,) = [item for item in await place.listed("kept") if item.id == first.id]
        assert read_entry(await place.read(item)) == first
        await place.request_replay(item)
        # What is replayed and refused again is back before the entry in `replay` is deleted.
        again = made(1, kept_at=NOON + 180)
        await place.keep(documents(again))
        assert again.id in ids(await place.listed("kept"))
        (moved,) = await place.listed("replaying")
        await place.drop(moved)
        for item in await place.listed("kept"):
            await place.drop(item)
        await place.keep(documents(made(1, kept_at=NOON + 240)))
        assert ids(await place.listed("kept")) == ids([made(1, kept_at=NOON + 240)])

    async def test_a_replay_that_is_asked_for_moves_the_entry_and_may_be_asked_for_twice(
        self, place: QuarantineStore
    ) -> None:
        await place.keep(documents(made(1), made(2)))
        first, second = await place.listed("kept")
        for _ in range(2):
            await place.request_replay(first)
        assert await place.listed("kept") == [second]
        (moved,) = await place.listed("replaying")
        assert moved.id == first.id
        assert read_entry(await place.read(moved)) == made(1)

    async def test_what_is_dropped_is_gone_and_may_be_dropped_twice(
        self, place: QuarantineStore
    ) -> None:
        await place.keep(documents(made(1), made(2), made(3)))
        first, second, third = await place.listed("kept")
        await place.request_replay(second)
        (moved,) = await place.listed("replaying")
        for item in (first, first, moved, moved):
            await place.drop(item)
        assert await place.listed("kept") == [third]
        assert await place.listed("replaying") == []

    async def test_what_is_gone_cannot_be_read_or_replayed(self, place: QuarantineStore) -> None:
        await place.keep(documents(made(1)))
        (item,) = await place.listed("kept")
        await place.drop(item)
        for call in (place.read, place.beginning, place.request_replay):
            with pytest.raises(EntryGoneError, match=f"there is no entry {item.id}"):
                await call(item)

    async def test_what_is_larger_than_any_entry_is_not_read(self, place: QuarantineStore) -> None:
        with pytest.raises(QuarantineError):
            await place.read(Listed(made(1).id, 1 << 40, "kept"))

    async def test_it_can_be_used_again_after_it_was_closed(self, place: QuarantineStore) -> None:
        await place.keep(documents(made(1)))
        await place.close()
        assert len(await place.listed("kept")) == 1

    async def test_the_usage_counts_what_was_kept(self, place: QuarantineStore) -> None:
        assert (await place.make_room(0, NOON)).entries == 0
        await place.keep(documents(made(1), made(2)))
        usage = await place.make_room(0, 2)
        assert usage.entries == 2
        assert usage.bytes >= sum(map(len, documents(made(1), made(2)).values()))
