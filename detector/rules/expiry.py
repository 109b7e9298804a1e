"""Exceptions that end: how they stand on a day, and what is to be said of it in time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, date, datetime
from typing import Literal, get_args

from detector.errors import Place
from detector.rules.exception import RuleFilter
from detector.rules.finding import Finding

EXPIRING_DAYS = 7
"""Days before the end from which on an exception is expiring: a week has a working day in it for
whoever is to renew it. More, and the warning is one that people learn to overlook."""

FilterState = Literal["active", "expiring", "expired"]

_STATES: tuple[FilterState, ...] = get_args(FilterState)


def day_of(now: float) -> date:
    """Return the day in UTC on which a time lies; `now` is in seconds since the epoch."""
    return datetime.fromtimestamp(now, UTC).date()


def filter_state(item: RuleFilter, today: date) -> FilterState:
    """Return how a filter stands on a day: one without an end is active for ever."""
    if item.file.expires is None:
        return "active"
    left = (date.fromisoformat(item.file.expires) - today).days
    if left <= 0:
        return "expired"
    return "expiring" if left <= EXPIRING_DAYS else "active"


def filters_by_state(filters: Iterable[RuleFilter], today: date) -> Mapping[FilterState, int]:
    """Return how many filters stand how on a day."""
    states = [filter_state(item, today) for item in filters]
    return {state: states.count(state) for state in _STATES}


def ending(filters: Iterable[RuleFilter], today: date) -> Iterator[tuple[RuleFilter, FilterState]]:
    """Yield the filters that somebody must look after, which have expired or soon will."""
    for item in filters:
        state = filter_state(item, today)
        if state != "active":
            yield item, state


def expiry_findings(filters: Iterable[RuleFilter], today: date) -> Iterator[Finding]:
    """Yield what a check says of the filters that have expired or soon will."""
    for item, state in ending(filters, today):
        place = item.document.place(["expires"]) if item.document else Place(item.path)
        day = item.file.expires
        if state == "expired":
            message = f"the exception {item.file.title} holds no more since {day}"
            yield Finding("expired-exception", message, place, "remove it, or give it a later day")
        else:
            message = f"the exception {item.file.title} holds no more from {day} on"
            yield Finding("expiring-exception", message, place, "give it a later day, if it is due")
