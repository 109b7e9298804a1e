"""A Kinesis data stream as a source: its shards found, read, and followed as they split."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from contextlib import AsyncExitStack, suppress

import structlog
from aiobotocore.config import AioConfig
from aiobotocore.session import get_session

from detector.config import KinesisSourceConfig
from detector.errors import SourceError
from detector.sources.kinesis.failures import CallError, source_error
from detector.sources.kinesis.fan_out import FanOut, consumer_arn
from detector.sources.kinesis.polling import Polling
from detector.sources.kinesis.reading import Reading, Retries
from detector.sources.kinesis.shards import (
    END,
    Shard,
    Start,
    plan,
    position_key,
    start_key,
    start_of,
)
from detector.sources.kinesis.stream import Stream
from detector.sources.source import Emit, SourceContext
from detector.state.store import Position
from detector.tasks import cancel

READ_TIMEOUT_SECONDS = 30.0
"""How long a connection may be silent. A subscription to a quiet shard sends something more often,
and no other call takes as long."""

MAX_LOGGED_SHARDS = 10
"""Names in a line of the log: a stream may have thousands of shards."""

log = structlog.get_logger()


class KinesisSource:
    """A `Source` of the records of a stream.

    One detector reads all shards of a stream: the state that it counts in is a single one, so that
    there is nothing to share out, and no table of leases. Each shard has its position in that
    state, committed together with what its records caused. A second detector with a state of its
    own reads all of the stream, too; for enhanced fan-out it needs a consumer of its own.
    """

    def __init__(self, config: KinesisSourceConfig, context: SourceContext) -> None:
        self.name = config.name
        self._config = config
        self._context = context
        self._positions = dict(context.positions)
        """The positions that are in the state."""
        self._readers: dict[str, asyncio.Task[None]] = {}
        """What reads each shard. One whose end was handed on stays, so that it is not read again
        while that is on its way into the state."""
        self._is_due = asyncio.Event()
        self._client = AsyncExitStack()

    async def run(self, emit: Emit) -> None:
        """Read all shards until cancelled; see `Source`."""
        stream = await self._open()
        reading = Reading(self.name, self._config.stream_name, self._context, emit, self._committed)
        start = await self._start(stream, reading)
        reader = await self._reader(stream, reading)
        try:
            while True:
                self._is_due.clear()
                shards, _ = await _listed(stream, reading)
                await self._follow(shards, start, reading, reader)
                await self._until_due()
        finally:
            await cancel(self._readers.values())

    async def close(self) -> None:
        """Disconnect. What was handed on and is not in the state yet is read again."""
        await self._client.aclose()

    async def _open(self) -> Stream:
        config = self._config
        # The calls are tried again by what makes them, which knows the pace that a shard allows.
        aws = AioConfig(
            # A subscription keeps its connection; aiohttp takes 0 for as many as are needed.
            max_pool_connections=0 if config.fan_out else config.concurrency + 4,
            connect_timeout=5,
            read_timeout=READ_TIMEOUT_SECONDS,
            retries={"mode": "standard", "total_max_attempts": 1},
        )
        try:
            client = await self._client.enter_async_context(
                get_session().create_client(
                    "kinesis", config.region, endpoint_url=config.endpoint_url, config=aws
                )
            )
        except CallError as error:
            raise source_error(self.name, error) from error
        return Stream(client, config.stream_name, config.stream_arn)

    async def _start(self, stream: Stream, reading: Reading) -> Start:
        """Return where shards without a position begin; what was kept at the first start holds.

        It is kept before anything is read. LATEST taken anew at each start would skip what came
        while the detector was down, and everything in a child before it was found.
        """
        key = start_key(self._config.stream_name)
        kept = self._positions.get(key)
        if kept is not None:
            with suppress(ValueError):
                return start_of(kept)
            raise self._unknown_position(key)
        _, now = await _listed(stream, reading)
        moment = now if self._config.start == "LATEST" else self._config.start_time()
        if moment is not None and moment > now:
            raise SourceError(
                f"source {self.name}: sources.start lies in the future",
                remedy="set it to LATEST, or to a time that has been",
            )
        start = Start(moment)
        await reading.keep(key, str(start))
        log.info(
            "stream begun", source=self.name, stream=self._config.stream_name, start=str(start)
        )
        return start

    async def _reader(self, stream: Stream, reading: Reading) -> Polling | FanOut:
        config = self._config
        if config.fan_out is None:
            return Polling(
                stream,
                reading,
                poll_seconds=config.poll_seconds,
                concurrency=config.concurrency,
            )
        arn = await consumer_arn(self.name, stream, reading, config.fan_out)
        return FanOut(stream, reading, arn)

    async def _follow(
        self,
        shards: Collection[Shard],
        start: Start,
        reading: Reading,
        reader: Polling | FanOut,
    ) -> None:
        """Begin to read the shards that are to be read by now; let go of those that are gone."""
        reading.closed = {shard.id for shard in shards if shard.is_closed}
        try:
            todo = plan(self._config.stream_name, shards, self._positions, start)
        except ValueError as error:
            raise self._unknown_position(str(error)) from error
        followed = self._followed(shards)
        present = {shard.id for shard in shards}
        gone = [shard_id for shard_id in self._readers if shard_id not in present]
        await cancel([self._readers.pop(shard_id) for shard_id in gone])
        begun = [item for item in todo.readable if item[0].id not in self._readers]
        for shard, place in begun:
            reading.begin(shard)
            task = asyncio.create_task(reader.read(shard, place))
            self._readers[shard.id] = task
            task.add_done_callback(self._ended)
        # Not before the children have begun: what they hold would count as read in between.
        reading.forget([*gone, *followed])
        if begun:
            names = [shard.id for shard, _ in begun[:MAX_LOGGED_SHARDS]]
            log.info("shards begun", source=self.name, count=len(begun), shards=names)
        if todo.unfinished:
            log.warning(
                "shards are gone of which the end was never read",
                source=self.name,
                count=len(todo.unfinished),
                shards=todo.unfinished[:MAX_LOGGED_SHARDS],
            )
        if todo.forgotten:
            await self._context.forget(todo.forgotten)
            for key in todo.forgotten:
                self._positions.pop(key, None)

    def _followed(self, shards: Collection[Shard]) -> list[str]:
        """Return the ids of those that were read to their ends, and are listed with their children.

        A list that was asked for before a shard was closed may lack the children; with the next
        one they begin.
        """
        stream = self._config.stream_name
        return [
            shard.id
            for shard in shards
            if shard.is_closed and self._positions.get(position_key(stream, shard)) == END
        ]

    async def _until_due(self) -> None:
        """Wait until the shards are to be listed again; raise what a reader has failed with."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._config.shards_poll_seconds):
                await self._is_due.wait()
        for task in self._readers.values():
            if task.done() and not task.cancelled():
                task.result()

    def _committed(self, positions: Sequence[Position]) -> None:
        for position in positions:
            self._positions[position.key] = position.value
            if position.value == END:
                self._is_due.set()  # its children can be read now

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None:
            self._is_due.set()

    def _unknown_position(self, what: str) -> SourceError:
        return SourceError(
            f"source {self.name}: a position in the state is not understood: {what}",
            remedy="a newer version may have written it; to begin anew, give the source"
            " another name",
        )


async def _listed(stream: Stream, reading: Reading) -> tuple[list[Shard], float]:
    retries = Retries(reading, "shards")
    while True:
        try:
            listed = await stream.shards()
        except CallError as error:
            await retries.failed(error)
            continue
        retries.succeeded()
        return listed
