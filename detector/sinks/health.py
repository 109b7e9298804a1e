"""Whether a sink works: when to try it again, and when to say that it does not.

Everything here is pure; times are in seconds.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from detector.backoff import backoff_seconds
from detector.state.outbox import LONGEST_WAIT_SECONDS

OPEN_AFTER = 3
"""Failures in a row after which a sink is taken to be down as a whole. Fewer, and one alert that a
receiver chokes on holds up all others; more, and each of those that wait is tried in vain."""

PROBE_CAP_SECONDS = 300.0
"""The longest time between two attempts at a sink that is down: so late it is noticed, at most,
that it is back."""

ALERT_CAP_SECONDS = LONGEST_WAIT_SECONDS
"""The longest time between two attempts with an alert that is refused while others are taken."""


class Health(msgspec.Struct):
    """How a sink has fared. `failing_since` and what belongs to it outlive a restart.

    `failures` are those in a row, and none is tried before `closed_until`. `is_told` says that
    there is an alert on it.
    """

    failing_since: float | None = None
    why: str = ""
    is_told: bool = False
    failures: int = 0
    closed_until: float = 0.0

    @property
    def is_down(self) -> bool:
        """Whether it is tried with one alert at a time, and now and then only."""
        return self.failures >= OPEN_AFTER

    def worked(self) -> None:
        """Take note of a delivery."""
        self.failing_since = None
        self.why = ""
        self.failures = 0
        self.closed_until = 0.0

    def refused(self, now: float, why: str) -> None:
        """Take note of an alert that it will never take: it answers, so that others are tried."""
        self._fails(now, why)

    def failed(
        self, now: float, why: str, after: float | None, random: Callable[[], float]
    ) -> None:
        """Take note of a failure that may pass; `after` is the wait that the sink asks for."""
        self._fails(now, why)
        self.failures += 1
        wait = after or 0.0
        if self.is_down:
            beyond = self.failures - OPEN_AFTER + 1
            wait = max(wait, backoff_seconds(beyond, random, cap=PROBE_CAP_SECONDS))
        if wait:
            self.closed_until = max(self.closed_until, now + wait)

    def is_overdue(self, now: float, after: float) -> bool:
        """Return whether it has failed for so long, and nobody has been told."""
        return (
            not self.is_told
            and self.failing_since is not None
            and now - self.failing_since >= after
        )

    def start(self, now: float) -> None:
        """Begin anew in another process: whoever has just mended the sink need not wait.

        That it has failed is not forgotten, but a time that is yet to come was another clock's.
        """
        self.failures = 0
        self.closed_until = 0.0
        if self.failing_since is not None:
            self.failing_since = min(self.failing_since, now)

    def _fails(self, now: float, why: str) -> None:
        self.why = why
        if self.failing_since is None:
            self.failing_since = now
