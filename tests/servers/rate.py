"""A limit on requests, as services have one: so many in any stretch of time, then 429."""

from __future__ import annotations

import math
import time
from collections import deque

from tests.servers.checking import Answer, RefusedError


class RateLimit:
    """Lets `requests` through in any `seconds`; without a number all of them."""

    def __init__(self, requests: int | None = None, seconds: float = 1.0) -> None:
        self._requests = requests
        self._seconds = seconds
        self._times: deque[float] = deque()

    def check(self, body: str) -> None:
        """Count a request.

        Raises:
            RefusedError: there were too many; the answer says when to come again, in whole seconds.
        """
        if self._requests is None:
            return
        now = time.monotonic()
        while self._times and self._times[0] <= now - self._seconds:
            self._times.popleft()
        if len(self._times) >= self._requests:
            wait = self._times[0] + self._seconds - now
            headers = {"Retry-After": str(max(1, math.ceil(wait)))}
            raise RefusedError(Answer(429, body, headers))
        self._times.append(now)
