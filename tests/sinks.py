"""Sinks as tests use them: opened, with what the service gives them."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

from detector.alerts.story import Reading
from detector.config import SinkConfig
from detector.sinks.egress import Egress
from detector.sinks.making import make_sink
from detector.sinks.sink import Answer, Sink, SinkContext
from detector.state.store import Notification

LOOPBACK = ("127.0.0.0/8",)


def sink_context(
    spool: Path = Path("never-used"),
    *,
    reading: Reading | None = None,
    allow: Iterable[str] = LOOPBACK,
) -> SinkContext:
    """Return what a sink gets to work with; it may reach servers of the tests."""
    return SinkContext(reading or Reading(), Egress(allow), time.time, spool)


@asynccontextmanager
async def opened(config: SinkConfig, context: SinkContext | None = None) -> AsyncIterator[Sink]:
    """Make and open a sink, and close it afterwards."""
    sink = make_sink(config, context or sink_context())
    await sink.open()
    try:
        yield sink
    finally:
        await sink.close()


async def answers(config: SinkConfig, *notifications: Notification) -> list[Answer]:
    """Return what a sink answers to notifications that are sent one after the other."""
    async with opened(config) as sink:
        return [await sink.send(notification) for notification in notifications]
