"""An event, as counting sees it: what it is grouped by, what it adds, who caused it."""

from __future__ import annotations

import hashlib
import math

import msgspec

from detector.events.actor import actor
from detector.events.projection import dict_getter
from detector.events.record import Event
from detector.rules.correlation import Correlation
from detector.rules.rule import Rule
from detector.rules.syntax import Selector
from detector.rules.values import MISSING, is_number, number_of
from detector.windows.aligned import GroupValue, Observation
from detector.windows.correlated import Value
from detector.windows.statistic import Sample

MAX_GROUP_CHARACTERS = 512
"""A longer value is cut, and told apart by a digest: whoever may choose a field that a rule groups
by must not choose how much room each window, timer and alert of it takes."""


def observation_of(event: Event, late_after: float) -> Observation:
    """Return what counting needs to know of an event; `late_after` is in seconds."""
    age = event.age
    return Observation(
        time=event.time,
        event_id=event.identity.event_id,
        is_late=age is not None and age > late_after,
        event_name=event.text("eventName"),
        actor=actor(event.record),
        source_ip=event.text("sourceIPAddress"),
        region=event.text("awsRegion"),
        account=event.identity.account,
        record=event.record,
        delay=age,
    )


def group_of(rule: Rule, event: Event) -> tuple[GroupValue, ...]:
    """Return the values of an event by which a rule counts apart."""
    return tuple(group_value(event, selector) for _, selector in rule.group_by)


def group_value(event: Event, selector: Selector) -> GroupValue:
    """Return a field's value; of an object or a list its JSON, None where there is none.

    Long texts are cut.
    """
    value = dict_getter(selector)(event.record)
    if value is MISSING:
        return None
    if value is None or isinstance(value, (int, float)):
        return value
    if not isinstance(value, str):
        value = msgspec.json.encode(value, order="deterministic").decode()
    if len(value) <= MAX_GROUP_CHARACTERS:
        return value
    digest = hashlib.blake2b(value.encode(), digest_size=16).hexdigest()
    return f"{value[:MAX_GROUP_CHARACTERS]}~{digest}"


def sample_of(rule: Rule, event: Event) -> Sample:
    """Return what an event adds to a rule's statistic, as far as the record says it."""
    if rule.metric is None:
        return None
    value = group_value(event, rule.metric)
    if rule.file.window.statistic == "DistinctCount":
        # A type's name before the value: 1, "1" and true are three values.
        return None if value is None else f"{type(value).__name__}:{value}"
    return _number(value)


def correlated_value(event: Event, correlation: Correlation) -> Value | None:
    """Return what a correlation counts of an event, or None where the event does not have it."""
    if not correlation.fields:
        return None
    values = tuple(group_value(event, selector) for selector in correlation.fields)
    if not correlation.counts_numbers:
        return None if None in values else values
    return _number(values[0])


def _number(value: GroupValue) -> float | None:
    number = number_of(value) if isinstance(value, str) else value
    return _finite(number) if is_number(number) else None


def _finite(number: float) -> float | None:
    """Return a number, or None for one that no double holds: a caller of AWS may have chosen it."""
    try:
        return number if math.isfinite(number) else None
    except OverflowError:
        return None
