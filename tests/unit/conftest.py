"""What unit tests share."""

from collections.abc import AsyncIterator

import pytest

from detector.sinks.policy import Policy
from detector.state.sqlite import SQLiteStore
from tests.outbox import Make, Outboxes, ScriptedSink


@pytest.fixture
async def make(store: SQLiteStore) -> AsyncIterator[Make]:
    """From sinks, and policies by their names, to outboxes over one state."""
    made: list[Outboxes] = []

    def outboxes(*sinks: ScriptedSink, **policies: Policy) -> Outboxes:
        made.append(Outboxes(store, *sinks, policies=policies))
        return made[-1]

    yield outboxes
    for item in made:
        item.close()
