"""A shard that Kinesis pushes to a registered consumer, with SubscribeToShard.

A subscription ends after five minutes, and the next one begins where it had come to. A second call
within five seconds of the first is refused with ResourceInUseException; a later one takes the
subscription over, from a process that was killed as from one that lives. While a shard is quiet,
events without records come every few seconds, so that a connection that is dead shows.
Source: Kinesis API Reference, SubscribeToShard and SubscribeToShardEvent.

The API is documented to want HTTP/2. botocore speaks HTTP/1.1 to all of AWS and offers the call
nevertheless. AWS's developers have called that unsupported and said that it may break at any time
(amazon-kinesis-client, pull request 434; boto3, issue 1690), so that polling is the default.
"""

from __future__ import annotations

import asyncio
import time

from botocore.exceptions import ClientError

from detector.aws import error_code
from detector.config import FanOutConfig
from detector.errors import SourceError
from detector.sources.kinesis.failures import IN_USE, CallError, kind_of
from detector.sources.kinesis.reading import Reading, Retries
from detector.sources.kinesis.shards import After, From, Shard
from detector.sources.kinesis.stream import Answer, Stream

SUBSCRIBE_SECONDS = 5.0
"""The least time between two subscriptions to a shard."""

ACTIVATION_SECONDS = 1.0
"""How often is looked whether a consumer that was just registered can be used."""


class FanOut:
    """Subscribes to shards, as one consumer.

    Of each shard one event is in memory beside the budget, until the next one comes: a place that
    was taken before would be held while a quiet shard sends nothing, and there are few.
    """

    def __init__(self, stream: Stream, reading: Reading, consumer_arn: str) -> None:
        self._stream = stream
        self._reading = reading
        self._consumer_arn = consumer_arn

    async def read(self, shard: Shard, place: From) -> None:
        """Read a shard from a place on, and return when its end was handed on.

        Raises:
            SourceError: it cannot be read until somebody changes something.
        """
        retries = Retries(self._reading, shard.id)
        subscription = _Subscription(shard, place)
        while not subscription.is_at_end:
            begun = time.monotonic()
            try:
                await self._follow(shard, subscription, retries)
            except CallError as error:
                least = SUBSCRIBE_SECONDS if kind_of(error) == IN_USE else 0.0
                await retries.failed(error, least=least)
            else:
                pause = SUBSCRIBE_SECONDS - (time.monotonic() - begun)
                await asyncio.sleep(0.0 if subscription.is_at_end else max(0.0, pause))
        await self._reading.hand_on_end(shard)

    async def _follow(self, shard: Shard, subscription: _Subscription, retries: Retries) -> None:
        """Hand on what is pushed, until the subscription or the shard ends."""
        async with self._stream.subscription(
            self._consumer_arn, shard, subscription.place
        ) as pushed:
            async for answer in pushed:
                if answer.records:
                    with self._reading.waiting(shard):
                        hold = await self._reading.share.acquire(answer.weight)
                    # Not before: how far a shard has come is told once it is handed on.
                    self._reading.answered(shard, answer, is_end=answer.has_children)
                    subscription.place = self._reading.hand_on(shard, answer, hold)
                else:
                    self._reading.answered(shard, answer, is_end=answer.has_children)
                retries.succeeded()
                subscription.follow(answer)
                if subscription.is_at_end:
                    return


class _Subscription:
    """How far a shard was read over its subscriptions."""

    def __init__(self, shard: Shard, place: From) -> None:
        self._first = int(shard.first)
        self.place = place
        self.is_at_end = False

    def follow(self, answer: Answer) -> None:
        """Go on behind an event; also behind one without records.

        LocalStack gives 0 where nothing was read yet, which is no place in any shard.
        """
        self.is_at_end = answer.has_children
        if answer.continuation and int(answer.continuation) >= self._first:
            self.place = After(answer.continuation)


async def consumer_arn(source: str, stream: Stream, reading: Reading, config: FanOutConfig) -> str:
    """Return the ARN of the consumer that the configuration names, when it can be used.

    Raises:
        SourceError: there is none, and none is to be registered; or it cannot be looked up.
    """
    if config.consumer_arn is not None:
        return config.consumer_arn
    name = config.consumer_name or ""
    retries = Retries(reading, "consumer")
    while True:
        try:
            found = await _find(stream, name)
            if found is None and not config.register:
                raise SourceError(
                    f"source {source}: the stream has no consumer {name}",
                    remedy="register it, or set sources.fan_out.register to true",
                )
            if found is None:
                await stream.register_consumer(name)
        except CallError as error:
            await retries.failed(error)
            continue
        retries.succeeded()
        if found is not None and found[1] == "ACTIVE":
            return found[0]
        await asyncio.sleep(ACTIVATION_SECONDS)


async def _find(stream: Stream, name: str) -> tuple[str, str] | None:
    try:
        return await stream.find_consumer(name)
    except ClientError as error:
        if error_code(error) == "ResourceNotFoundException" and (
            error.operation_name == "DescribeStreamConsumer"
        ):
            return None
        raise
