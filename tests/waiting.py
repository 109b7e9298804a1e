"""Waiting for a condition, instead of sleeping and hoping."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

PATIENCE = 30.0
"""Seconds until a test gives up on what should come at once; machines are shared and pause."""

_PAUSE = 0.01


def wait_for(what: Callable[[], T], *, patience: float = PATIENCE) -> T:
    """Return the first true value that a function gives; fail when none comes."""
    deadline = time.monotonic() + patience
    while not (value := what()):
        assert time.monotonic() < deadline, f"waited {patience} s in vain"
        time.sleep(_PAUSE)
    return value


async def until(what: Callable[[], object]) -> None:
    """Let the event loop run until a function gives a true value; fail when it does not."""
    async with asyncio.timeout(PATIENCE):
        while not what():  # noqa: ASYNC110 - any condition at all, not only one that can notify
            await asyncio.sleep(_PAUSE)


def pause(seconds: float) -> None:
    """Let time pass where the moment itself is what a test chooses at random."""
    time.sleep(seconds)
