"""Events delivered in any way, and the alerts that a count from scratch expects of them.

What is counted goes by periods of a minute from noon on, each known by its number.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

from hypothesis import strategies as st

from detector.alerts.alert import Alert, alert_id
from detector.alerts.routing import Router
from detector.counting.current import current_alerts
from detector.pipeline import Pipeline, Settings
from detector.rules.ruleset import RuleSet
from detector.sources.delivery import Delivery
from detector.state.sqlite import SQLiteStore
from detector.windows.aligned import WindowKey
from tests.records import NOON, delivery

PERIOD = 60
QUIET = 90.0

Record = dict[str, Any]
Group = tuple[Any, ...]


class Expected(NamedTuple):
    """What an alert must say."""

    id: str
    events: int
    value: float
    event_ids: list[str]
    episode: str
    episode_windows: int
    episode_count: int


def second_of(item: Record) -> int:
    """Return when an event happened, in seconds after noon."""
    return int(item["eventTime"][14:16]) * 60 + int(item["eventTime"][17:19])


def number_of(value: Any) -> Fraction | None:
    """Return the number that a field's value is, or spells."""
    if isinstance(value, bool) or value is None or value is ...:
        return None
    if isinstance(value, str):
        return Fraction(value) if value.isdigit() else None
    return Fraction(value)


def identity(rule_id: str, group: Group, number: int) -> str:
    """Return the id of the alert of a period."""
    return alert_id(WindowKey(rule_id, group, int(NOON) + number * PERIOD, PERIOD))


def chains(numbers: Iterable[int]) -> list[list[int]]:
    """Return sorted periods by the episodes that they form."""
    made: list[list[int]] = []
    for number in numbers:
        if made and (number - made[-1][-1] - 1) * PERIOD < QUIET:
            made[-1].append(number)
        else:
            made.append([number])
    return made


def delivered_any_way(
    records: Sequence[Record], data: st.DataObject, *, cuts: int, latest: int
) -> list[Delivery]:
    """Return deliveries of records in any order, some repeated, split at so many places at most.

    Delivery times are of any kind, up to `latest` seconds after noon: what is decided early must be
    put right by what comes late.
    """
    repeated = [*records]
    if records:
        repeated += data.draw(st.lists(st.sampled_from(records), max_size=4))
    shuffled = data.draw(st.permutations(repeated))
    places = sorted(data.draw(st.lists(st.integers(0, len(shuffled)), max_size=cuts)))
    return [
        delivery(*shuffled[start:end], delivered_at=NOON + data.draw(st.integers(0, latest)))
        for start, end in itertools.pairwise([0, *places, len(shuffled)])
    ]


def counted(
    rules: RuleSet, deliveries: Sequence[Delivery], data: st.DataObject, *, since: int
) -> list[Expected]:
    """Return what deliveries give, with restarts, time and commits anywhere between them.

    The first one comes `since` seconds after noon.
    """
    settings = Settings(routing=Router.to("s"), quiet=QUIET, late_after=30)
    with SQLiteStore.in_memory() as store:
        pipeline = Pipeline(rules, store, settings)
        now = NOON + since
        while deliveries:
            size = data.draw(st.integers(1, len(deliveries)), label="together")
            pipeline.process(deliveries[:size], now)
            deliveries = deliveries[size:]
            if data.draw(st.booleans(), label="restart"):
                pipeline = Pipeline(rules, store, settings)
            if data.draw(st.booleans(), label="wait"):
                now += data.draw(st.sampled_from([1, 40, 500, 5000]))
                pipeline.advance(now)
        pipeline.close()
        return _told(current_alerts(store))


def _told(alerts: Iterable[Alert]) -> list[Expected]:
    found = []
    for alert in alerts:
        if alert.state == "withdrawn":
            continue
        assert alert.episode is not None
        found.append(
            Expected(
                alert.id,
                alert.count,
                alert.value,
                alert.event_ids,
                alert.episode.id,
                alert.episode.windows,
                alert.episode.count,
            )
        )
    return sorted(found)
