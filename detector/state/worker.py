"""The one thread that uses the state, so that no commit ever holds up the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from detector.state.store import Store

T = TypeVar("T")


class StateWorker:
    """Runs functions of the store in its thread, one after the other."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="state")

    async def call(self, function: Callable[[Store], T]) -> T:
        """Return what a function makes of the store; raises what it raises.

        The function runs to its end even when the caller is cancelled.
        """
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, function, self._store)

    def close(self) -> None:
        """Wait for what is running, and end the thread."""
        self._thread.shutdown(wait=True, cancel_futures=True)
