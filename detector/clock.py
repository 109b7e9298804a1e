"""The time that a service goes by: the clock on the wall, but one that never goes back.

A clock that is set back would put off alerts that are due, and make up a delay that there was not.
Within a process time goes on as steadily as the machine's own counter, and forward with the clock
on the wall where that is ahead.
"""

from __future__ import annotations

import time
from collections.abc import Callable


class SteadyClock:
    """Tells the time in seconds since the epoch."""

    def __init__(
        self,
        wall: Callable[[], float] = time.time,
        counter: Callable[[], float] = time.monotonic,
    ) -> None:
        self._wall = wall
        self._counter = counter
        self._ahead = wall() - counter()

    def now(self) -> float:
        """Return the time; never less than what was returned before."""
        count = self._counter()
        self._ahead = max(self._ahead, self._wall() - count)
        return self._ahead + count
