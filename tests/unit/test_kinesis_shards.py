"""Which shards are read, and from where: through any history of splits, merges and restarts."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from detector.sources.kinesis.shards import (
    END,
    After,
    Shard,
    Start,
    plan,
    position_key,
    start_key,
    start_of,
)

STREAM = "trail"
OLDEST = Start()


def shard(number: int, *parents: int, is_closed: bool = False) -> Shard:
    return Shard(name(number), str(1000 + number), tuple(map(name, parents)), is_closed)


def name(number: int) -> str:
    return f"shardId-{number:012d}"


def key(number: int) -> str:
    return position_key(STREAM, shard(number))


def readable(shards: list[Shard], positions: dict[str, str], start: Start = OLDEST) -> list[str]:
    return [item.id for item, _ in plan(STREAM, shards, positions, start).readable]


def test_a_shard_without_a_position_begins_at_the_start_and_others_behind_theirs() -> None:
    start = Start(1_789_560_000.5)
    todo = plan(STREAM, [shard(0), shard(1)], {key(1): "1007:3"}, start)
    assert todo.readable == [(shard(0), start), (shard(1), After("1007"))]
    assert (todo.forgotten, todo.unfinished) == ([], [])


def test_children_of_a_split_wait_for_their_parent() -> None:
    shards = [shard(0, is_closed=True), shard(1, 0), shard(2, 0)]
    assert readable(shards, {}) == [name(0)]
    assert readable(shards, {key(0): "1003:0"}) == [name(0)]
    assert readable(shards, {key(0): END}) == [name(1), name(2)]


def test_the_child_of_a_merge_waits_for_both_parents() -> None:
    shards = [shard(0, is_closed=True), shard(1, is_closed=True), shard(2, 0, 1)]
    assert readable(shards, {}) == [name(0), name(1)]
    assert readable(shards, {key(1): END}) == [name(0)]
    assert readable(shards, {key(0): END, key(1): END}) == [name(2)]


def test_a_parent_that_was_trimmed_holds_up_nothing() -> None:
    assert readable([shard(5, 3, 4)], {}) == [name(5)]
    assert readable([shard(4, is_closed=True), shard(5, 3, 4)], {}) == [name(4)]


def test_positions_of_shards_that_are_gone_are_forgotten_and_what_they_still_held_is_told() -> None:
    positions = {key(0): END, key(1): "1003:0", key(2): "7:0", start_key(STREAM): str(OLDEST)}
    todo = plan(STREAM, [shard(2)], positions, OLDEST)
    assert todo.forgotten == [key(0), key(1)]
    assert todo.unfinished == [name(1)]


def test_positions_of_other_streams_stay() -> None:
    positions = {position_key("trail-2", shard(0)): END, start_key("trail-2"): str(OLDEST)}
    assert plan(STREAM, [shard(0)], positions, OLDEST).forgotten == []


def test_a_stream_made_anew_under_the_same_name_is_read_from_its_start() -> None:
    again = Shard(name(0), "5000")
    todo = plan(STREAM, [again], {key(0): END}, OLDEST)
    assert todo.readable == [(again, OLDEST)]
    assert todo.forgotten == [key(0)]


@pytest.mark.parametrize("value", ["1007:0", "1007:3"])
def test_a_place_is_behind_all_user_records_of_its_kinesis_record(value: str) -> None:
    ((_, place),) = plan(STREAM, [shard(1)], {key(1): value}, OLDEST).readable
    assert place == After("1007")
    assert str(place) == "1007:0"


@pytest.mark.parametrize("value", ["", "x", "12", "12:", ":1", "012:1", "12:-1", "End", "12:1:1"])
def test_a_position_that_is_none_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match="no position"):
        plan(STREAM, [shard(0)], {key(0): value}, OLDEST)


@pytest.mark.parametrize("start", [OLDEST, Start(0.0), Start(1_789_560_000.123)])
def test_a_start_is_kept_as_it_is(start: Start) -> None:
    assert start_of(str(start)) == start


def test_a_start_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="Invalid isoformat"):
        start_of("yesterday")


@dataclass
class Made:
    """A shard of the model: `records` counts those put into it."""

    number: int
    parents: tuple[int, ...] = ()
    records: int = 0
    is_closed: bool = False
    is_trimmed: bool = False
    committed: int = 0
    is_ended: bool = False
    pending: list[str] = field(default_factory=list)
    reader: int | None = None
    """How many records the reader of this run has handed on; None where there is none."""
    is_done: bool = False


class Resharding(RuleBasedStateMachine):
    """A stream that is written to, split and merged, and a source that is stopped at any moment."""

    def __init__(self) -> None:
        super().__init__()
        self.made = [Made(0), Made(1)]
        self.positions: dict[str, str] = {}

    @rule(data=st.data(), count=st.integers(1, 3))
    def put(self, data: st.DataObject, count: int) -> None:
        self._open(data).records += count

    @rule(data=st.data())
    def split(self, data: st.DataObject) -> None:
        parent = self._open(data)
        parent.is_closed = True
        self._make(parent.number)
        self._make(parent.number)

    @precondition(lambda self: sum(not item.is_closed for item in self.made) > 1)
    @rule(data=st.data())
    def merge(self, data: st.DataObject) -> None:
        first = self._open(data)
        first.is_closed = True
        second = self._open(data)
        second.is_closed = True
        self._make(first.number, second.number)

    @rule()
    def look(self) -> None:
        todo = plan(STREAM, self._listed(), self.positions, OLDEST)
        for item, place in todo.readable:
            made = self.made[int(item.id.removeprefix("shardId-"))]
            if made.reader is not None:
                continue
            for parent in made.parents:
                assert self.made[parent].is_ended or self.made[parent].is_trimmed
            read = 0 if place == OLDEST else int(place.sequence_number)  # type: ignore[union-attr]
            assert read == made.committed
            assert not made.is_ended
            made.reader = read
        assert todo.unfinished == []
        for gone in todo.forgotten:
            del self.positions[gone]

    @precondition(lambda self: self._reading())
    @rule(data=st.data(), most=st.integers(1, 4))
    def read(self, data: st.DataObject, most: int) -> None:
        made = data.draw(st.sampled_from(self._reading()))
        assert made.reader is not None
        if made.reader < made.records:
            made.reader = min(made.reader + most, made.records)
            made.pending.append(f"{made.reader}:0")
        elif made.is_closed:
            made.is_done = True
            made.pending.append(END)

    @precondition(lambda self: self._uncommitted())
    @rule(data=st.data())
    def commit(self, data: st.DataObject) -> None:
        made = data.draw(st.sampled_from(self._uncommitted()))
        value = made.pending.pop(0)
        self.positions[key(made.number)] = value
        if value == END:
            assert made.committed == made.records
            made.is_ended = True
        else:
            assert made.committed < int(value.split(":")[0])
            made.committed = int(value.split(":")[0])

    @rule()
    def die(self) -> None:
        for made in self.made:
            made.pending.clear()
            made.reader = None
            made.is_done = False

    @precondition(lambda self: any(item.is_ended and not item.is_trimmed for item in self.made))
    @rule(data=st.data())
    def trim(self, data: st.DataObject) -> None:
        ended = [item for item in self.made if item.is_ended and not item.is_trimmed]
        data.draw(st.sampled_from(ended)).is_trimmed = True

    @invariant()
    def no_child_is_ahead_of_its_parents(self) -> None:
        for made in self.made:
            if made.reader is not None or made.committed:
                assert all(self.made[parent].is_ended for parent in made.parents)

    def teardown(self) -> None:
        """Whatever has happened, in the end every record of every shard is committed."""
        self.die()
        for _ in self.made:
            self.look()
            for made in self._reading():
                if made.reader is not None and made.reader < made.records:
                    made.pending.append(f"{made.records}:0")
                if made.is_closed:
                    made.pending.append(END)
                made.is_done = True
                while made.pending:
                    value = made.pending.pop(0)
                    self.positions[key(made.number)] = value
                    made.is_ended = value == END
                    made.committed = made.records
        for made in self.made:
            assert made.committed == made.records
            assert made.is_ended == made.is_closed

    def _open(self, data: st.DataObject) -> Made:
        return data.draw(st.sampled_from([item for item in self.made if not item.is_closed]))

    def _make(self, *parents: int) -> None:
        self.made.append(Made(len(self.made), parents))

    def _listed(self) -> list[Shard]:
        return [
            shard(item.number, *item.parents, is_closed=item.is_closed)
            for item in self.made
            if not item.is_trimmed
        ]

    def _reading(self) -> list[Made]:
        return [item for item in self.made if item.reader is not None and not item.is_done]

    def _uncommitted(self) -> list[Made]:
        return [item for item in self.made if item.pending]


TestResharding = Resharding.TestCase
TestResharding.settings = settings(max_examples=100, stateful_step_count=60, deadline=None)
