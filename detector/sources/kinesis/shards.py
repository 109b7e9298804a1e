"""Which shards of a stream are to be read, and from where. Pure.

A shard that was split or merged closes, and its children go on with its keys. What is in a child
came after all that is in its parents, so a child is read when each of its parents has been read to
its end and that is in the state. Source: Kinesis Data Streams Developer Guide, "Reshard a stream";
API Reference, ListShards and GetShardIterator.

A position's key names the stream, the shard, and the first sequence number that the shard can have:
another stream of the same name, made later, has shards of the same ids, and these are others.

Its value is "SEQUENCE:SUB", the numbers of a Kinesis record and of a user record that the KPL put
into it. A Kinesis record is committed as a whole, so that the place is always behind all of its
user records: SUB is written as 0, and of no meaning where it is read.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

END = "end"
"""The position of a shard that was read to its end."""

TRIM_HORIZON = "TRIM_HORIZON"

_START = "start"
_AFTER = re.compile(r"(0|[1-9][0-9]{0,128}):[0-9]{1,9}")
_SEQUENCE_NUMBER = re.compile(r"0|[1-9][0-9]{0,128}")


@dataclass(frozen=True, slots=True)
class Shard:
    """A shard as ListShards names it; `parents` are one after a split, two after a merge."""

    id: str
    first: str
    parents: Sequence[str] = ()
    is_closed: bool = False


@dataclass(frozen=True, slots=True)
class Start:
    """Where a shard without a position begins: at a moment, or with the oldest record."""

    at: float | None = None

    def __str__(self) -> str:
        if self.at is None:
            return TRIM_HORIZON
        return datetime.fromtimestamp(self.at, UTC).isoformat(timespec="milliseconds")


@dataclass(frozen=True, slots=True)
class After:
    """Behind a Kinesis record, and all that is in it."""

    sequence_number: str

    def __str__(self) -> str:
        return f"{self.sequence_number}:0"


From = Start | After


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done about the shards of a stream.

    `readable` are those to read, with their places; `forgotten` the keys of positions whose shards
    the stream does not have any more; `unfinished` the ids of those among them whose end was never
    read: what they still held has been trimmed.
    """

    readable: Sequence[tuple[Shard, From]]
    forgotten: Sequence[str]
    unfinished: Sequence[str]


def plan(
    stream: str, shards: Collection[Shard], positions: Mapping[str, str], start: Start
) -> Plan:
    """Return which of all the shards that a stream has are to be read, and from where.

    `positions` are those that the state has of the source. A parent that the stream does not have
    any more holds nothing to wait for.

    Raises:
        ValueError: a position is none that this version writes.
    """
    ended = {shard.id for shard in shards if positions.get(position_key(stream, shard)) == END}
    present = {shard.id for shard in shards}
    readable: list[tuple[Shard, From]] = []
    for shard in shards:
        waits = any(parent in present and parent not in ended for parent in shard.parents)
        if shard.id not in ended and not waits:
            known = positions.get(position_key(stream, shard))
            readable.append((shard, start if known is None else _after(known)))
    kept = {position_key(stream, shard) for shard in shards} | {start_key(stream)}
    forgotten = [key for key in _of_stream(stream, positions) if key not in kept]
    unfinished = [key.split("/")[1] for key in forgotten if positions[key] != END]
    return Plan(readable, forgotten, unfinished)


def is_sequence_number(text: str) -> bool:
    """Return whether a text is a sequence number, by the pattern of the API Reference."""
    return _SEQUENCE_NUMBER.fullmatch(text) is not None


def position_key(stream: str, shard: Shard) -> str:
    """Return the key under which the position of a shard is kept."""
    return f"{stream}/{shard.id}/{shard.first}"


def start_key(stream: str) -> str:
    """Return the key under which is kept where shards without a position begin."""
    return f"{stream}/{_START}"


def start_of(value: str) -> Start:
    """Return the start that was kept as `str(start)`.

    Raises:
        ValueError: it is none.
    """
    return Start() if value == TRIM_HORIZON else Start(datetime.fromisoformat(value).timestamp())


def _after(value: str) -> After:
    match = _AFTER.fullmatch(value)
    if match is None:
        raise ValueError(f"no position in a shard: {value!r}")
    return After(match.group(1))


def _of_stream(stream: str, keys: Iterable[str]) -> list[str]:
    return [key for key in keys if key.startswith(f"{stream}/")]
