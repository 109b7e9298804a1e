"""The calls of one stream, each tried once: whoever makes them knows how long to wait.

botocore takes the body of an answer that is no JSON for an answer without any field. An answer that
lacks what Kinesis always sends is therefore an error here: else one that was cut off would look
like the end of a shard. Source of what is always sent: Kinesis API Reference.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from detector.sources.kinesis.failures import PARSER_ERRORS, DamagedAnswerError
from detector.sources.kinesis.shards import After, From, Shard, is_sequence_number

if TYPE_CHECKING:
    from types_aiobotocore_kinesis import KinesisClient
    from types_aiobotocore_kinesis.literals import ShardIteratorTypeType

RECORD_BYTES = 512
"""What a record takes in memory beside its data: ten thousand small ones are not for nothing."""


@dataclass(frozen=True, slots=True)
class Record:
    """A record of a shard; `arrived_at` is when the stream took it, in seconds since the epoch."""

    sequence_number: str
    data: bytes
    arrived_at: float | None


@dataclass(frozen=True, slots=True)
class Answer:
    """Records that follow on one another, and what the stream says with them.

    `behind` is how far they are from the stream's tip, in seconds; `size` the bytes of their data.
    `next_iterator` is None at the end of a shard, and where events are pushed. `has_children` says
    that the shard is at its end. `continuation` is from where a subscription goes on.
    """

    records: Sequence[Record]
    behind: float
    next_iterator: str | None = None
    has_children: bool = False
    continuation: str | None = None

    @property
    def size(self) -> int:
        """The bytes of the records' data."""
        return sum(len(record.data) for record in self.records)

    @property
    def weight(self) -> int:
        """The bytes that the records take in memory, about."""
        return self.size + RECORD_BYTES * len(self.records)


class Stream:
    """A stream, by its name or its ARN; all methods raise what `CallError` names."""

    def __init__(self, client: KinesisClient, name: str, arn: str | None) -> None:
        self._client = client
        self._name = name
        self._arn = arn

    async def shards(self) -> tuple[list[Shard], float]:
        """Return all shards that the stream has, and the time by the stream's own clock."""
        shards: list[Shard] = []
        request: dict[str, Any] = self._named()
        while True:
            with _understood():
                response = await self._client.list_shards(**request)
                shards += [_shard(item) for item in _given(response, "Shards")]
            token = response.get("NextToken")
            if not token:
                break
            request = {"NextToken": token}
        if not shards:
            raise DamagedAnswerError("ListShards: a stream without any shard")
        return shards, _date_of(response)

    async def iterator(self, shard: Shard, place: From) -> str:
        """Return an iterator that begins at a place. It can be used for five minutes."""
        kind, sequence_number, moment = _position(place)
        request: dict[str, Any] = self._named()
        if sequence_number is not None:
            request["StartingSequenceNumber"] = sequence_number
        if moment is not None:
            request["Timestamp"] = moment
        with _understood():
            response = await self._client.get_shard_iterator(
                ShardId=shard.id, ShardIteratorType=kind, **request
            )
            return str(_given(response, "ShardIterator"))

    async def read(self, iterator: str) -> Answer:
        """Return the next records."""
        request: dict[str, Any] = {} if self._arn is None else {"StreamARN": self._arn}
        with _understood():
            response = await self._client.get_records(ShardIterator=iterator, **request)
            return _answer(response)

    @asynccontextmanager
    async def subscription(
        self, consumer_arn: str, shard: Shard, place: From
    ) -> AsyncIterator[AsyncIterator[Answer]]:
        """Subscribe to a shard, and yield what is pushed until Kinesis ends the subscription."""
        kind, sequence_number, moment = _position(place)
        position: dict[str, Any] = {"Type": kind}
        if sequence_number is not None:
            position["SequenceNumber"] = sequence_number
        if moment is not None:
            position["Timestamp"] = moment
        with _understood():
            response = await self._client.subscribe_to_shard(
                ConsumerARN=consumer_arn,
                ShardId=shard.id,
                StartingPosition=position,  # type: ignore[arg-type]
            )
            events = _given(response, "EventStream")
        try:
            yield _pushed(events)
        finally:
            events.close()

    async def find_consumer(self, name: str) -> tuple[str, str]:
        """Return the ARN of a registered consumer, and its status."""
        arn = await self._found_arn()
        with _understood():
            response = await self._client.describe_stream_consumer(StreamARN=arn, ConsumerName=name)
            found = _given(response, "ConsumerDescription")
            return str(_given(found, "ConsumerARN")), str(_given(found, "ConsumerStatus"))

    async def register_consumer(self, name: str) -> None:
        """Register a consumer; it can be used when its status is ACTIVE."""
        arn = await self._found_arn()
        with _understood():
            await self._client.register_stream_consumer(StreamARN=arn, ConsumerName=name)

    async def _found_arn(self) -> str:
        if self._arn is None:
            with _understood():
                response = await self._client.describe_stream_summary(StreamName=self._name)
                found = _given(response, "StreamDescriptionSummary")
                self._arn = str(_given(found, "StreamARN"))
        return self._arn

    def _named(self) -> dict[str, Any]:
        return {"StreamName": self._name} if self._arn is None else {"StreamARN": self._arn}


async def _pushed(events: Any) -> AsyncIterator[Answer]:
    coming = aiter(events)
    while True:
        with _understood():
            event = await anext(coming, None)
            if event is None:
                return
            answer = _answer(_given(event, "SubscribeToShardEvent"))
        yield answer


@contextmanager
def _understood() -> Iterator[None]:
    """Tell of an answer that cannot be parsed as of a damaged one."""
    try:
        yield
    except PARSER_ERRORS as error:
        raise DamagedAnswerError(f"the answer cannot be read: {type(error).__name__}") from error


def _position(place: From) -> tuple[ShardIteratorTypeType, str | None, float | None]:
    if isinstance(place, After):
        return "AFTER_SEQUENCE_NUMBER", place.sequence_number, None
    if place.at is not None:
        return "AT_TIMESTAMP", None, place.at
    return "TRIM_HORIZON", None, None


def _answer(response: Mapping[str, Any]) -> Answer:
    continuation = response.get("ContinuationSequenceNumber")
    return Answer(
        records=[_record(item) for item in _given(response, "Records")],
        behind=response.get("MillisBehindLatest", 0) / 1000,
        next_iterator=response.get("NextShardIterator"),
        has_children=bool(response.get("ChildShards")),
        continuation=None if continuation is None else _number(continuation),
    )


def _record(item: Mapping[str, Any]) -> Record:
    arrived = item.get("ApproximateArrivalTimestamp")
    return Record(
        _number(_given(item, "SequenceNumber")),
        _given(item, "Data"),
        None if arrived is None else arrived.timestamp(),
    )


def _shard(item: Mapping[str, Any]) -> Shard:
    numbers = _given(item, "SequenceNumberRange")
    parents = (item.get("ParentShardId"), item.get("AdjacentParentShardId"))
    return Shard(
        id=_given(item, "ShardId"),
        first=_number(_given(numbers, "StartingSequenceNumber")),
        parents=tuple(parent for parent in parents if parent),
        is_closed="EndingSequenceNumber" in numbers,
    )


def _number(text: str) -> str:
    """Return a sequence number; one that is none would be a position that nobody can read."""
    if not is_sequence_number(text):
        raise DamagedAnswerError("an answer with a sequence number that is none")
    return text


def _given(response: Mapping[str, Any], name: str) -> Any:
    value = response.get(name)
    if value is None:
        raise DamagedAnswerError(f"an answer without {name}, which Kinesis always sends")
    return value


def _date_of(response: Mapping[str, Any]) -> float:
    """Return when an answer was sent; by our own clock where it does not say."""
    date = response.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
    try:
        return parsedate_to_datetime(date).timestamp()
    except (TypeError, ValueError):
        return time.time()
