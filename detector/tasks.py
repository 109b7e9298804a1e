"""Tasks brought to their end."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

CANCEL_AGAIN_SECONDS = 5.0
"""Longer than anything that a cancelled task still has to do."""


async def cancel(tasks: Iterable[asyncio.Task[object]]) -> None:
    """Cancel tasks and wait for their end; again and again, as a library may swallow one cancel."""
    pending = {task for task in tasks if not task.done()}
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=CANCEL_AGAIN_SECONDS)
