"""Times as AWS writes them."""

from __future__ import annotations

from datetime import UTC, datetime


def seconds(text: object) -> float | None:
    """Return an ISO 8601 time in seconds since the epoch, None where it is none.

    Without an offset it is taken for UTC.
    """
    if not isinstance(text, str):
        return None
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None
