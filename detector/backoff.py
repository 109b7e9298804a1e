"""How long to wait before trying again."""

from __future__ import annotations

from collections.abc import Callable

BASE_SECONDS = 1.0
"""The first wait. Shorter hammers a service that has just failed; longer delays a page for a
connection that was merely reset."""

CAP_SECONDS = 900.0
"""The longest wait. A sink that comes back after a day is noticed within a quarter of an hour."""


def backoff_seconds(
    failures: int,
    random: Callable[[], float],
    *,
    base: float = BASE_SECONDS,
    cap: float = CAP_SECONDS,
) -> float:
    """Return the wait after a number of failures in a row: doubled each time, half of it random.

    `random` returns a number from 0 up to 1; the random half keeps many waiters apart.
    """
    ceiling = min(cap, base * 2.0 ** min(failures - 1, 32))
    return ceiling * (0.5 + random() / 2)
