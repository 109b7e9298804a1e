"""Aligned windows: events counted by their own time, in periods that begin at whole multiples.

Everything here is a pure function of one key's state and what is added to it. The order in which
events are added, and how they are split over calls, does not change the state: sums are exact, and
what is kept of a long list (`bounded`) does not depend on the order either.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Iterable, Mapping
from copy import copy
from typing import Any

import msgspec

from detector.rules.window import WindowSettings
from detector.windows.bounded import (
    FIRST_EVIDENCE,
    LAST_EVIDENCE,
    MAX_EVENT_IDS,
    Ends,
    encoded_record,
    tally,
)
from detector.windows.statistic import Sample, Totals, number_of_matches

GroupValue = str | int | float | bool | None

UNKNOWN_ACCOUNT = "unknown"
"""Stands for the account of a record that names none: older than eventVersion 1.02."""


class WindowKey(msgspec.Struct, frozen=True):
    """What is counted apart: a rule, the values that it groups by, and a period of event time.

    `start` and `period` are in seconds; the window holds times from `start` up to, not including,
    `start + period`. With a period of 0 it is no window, but what there is to know of all windows
    of a rule and group.
    """

    rule_id: str
    group: tuple[GroupValue, ...]
    start: int
    period: int

    @property
    def end(self) -> int:
        """The first second after the window."""
        return self.start + self.period

    @property
    def identity(self) -> bytes:
        """The key as the state knows it: in Python 1, 1.0 and True are one, there they are not."""
        return msgspec.json.encode(self)

    @property
    def series(self) -> WindowKey:
        """The key of what there is to know of all windows of this rule and group."""
        return self.window(0, 0)

    def window(self, start: int, period: int) -> WindowKey:
        """Return the key of a window of the same rule and group."""
        return WindowKey(self.rule_id, self.group, start, period)


class Observation(msgspec.Struct, frozen=True):
    """What counting needs to know of one matched event. `time` is eventTime in seconds.

    `delay` is how many seconds later CloudTrail delivered it, None where nothing tells.
    """

    time: float
    event_id: str
    is_late: bool
    event_name: str
    actor: str
    source_ip: str
    region: str
    account: str
    record: Mapping[str, Any]
    delay: float | None = None


class Evidence(msgspec.Struct, frozen=True):
    """One record kept in full, as JSON, with what orders it."""

    time: float
    event_id: str
    record: msgspec.Raw
    account: str = ""

    @property
    def order(self) -> tuple[float, str, str]:
        """Earliest first. An event id is unique within an account only."""
        return self.time, self.event_id, self.account


class WindowState(msgspec.Struct):
    """What is known of one key: exact totals, and a bounded part of the detail.

    `on_time` and `on_time_totals` are of the events that were not late; totals are kept only where
    the number of matches does not say all. `sampled` names the kinds of which not all names are
    kept. `value` is what is compared with the threshold, None where there is nothing to compare;
    `is_late` says that it would not breach the threshold without the late events.

    Of what was decided: `is_complete`, that all of its events should be there; `is_breaching`;
    `is_alerting`, that an alert stands; `is_told`, that receivers were sent it.
    """

    count: int = 0
    on_time: int = 0
    first_event_time: float = math.inf
    last_event_time: float = -math.inf
    event_names: dict[str, int] = {}
    actors: dict[str, int] = {}
    source_ips: dict[str, int] = {}
    regions: dict[str, int] = {}
    accounts: dict[str, int] = {}
    event_ids: list[tuple[float, str]] = []
    last_event_ids: list[tuple[float, str]] = []
    evidence: list[Evidence] = []
    last_evidence: list[Evidence] = []
    sampled: list[str] = []
    totals: Totals | None = None
    on_time_totals: Totals | None = None
    value: float | None = None
    is_late: bool = False
    is_complete: bool = False
    is_breaching: bool = False
    is_alerting: bool = False
    is_told: bool = False
    delay: float | None = None
    """The longest one of its events, in seconds, None where none is known."""


Match = tuple[Observation, Sample]
"""What is counted: an event, and what it adds as far as its record says it."""

_EACH_ONE = WindowSettings()


class Verdict(enum.Enum):
    """What became of a window's alert."""

    RAISED = "raised"
    UPDATED = "updated"
    RESOLVED = "resolved"
    WITHDRAWN = "withdrawn"
    SUPPRESSED = "suppressed"


def window_start(time: float, period: int) -> int:
    """Return the start of the window that a time falls into, in seconds since the epoch."""
    return math.floor(time / period) * period


def gathered(state: WindowState | None, observations: Iterable[Observation]) -> WindowState:
    """Return the state with events counted of which each adds one, as `add`."""
    return add(state, ((item, None) for item in observations), _EACH_ONE)


def add(
    state: WindowState | None, matches: Iterable[Match], settings: WindowSettings
) -> WindowState:
    """Return the state with matches counted; the one passed in is not changed.

    Each must be of an event not counted before. A match's sample is what the record says it adds;
    it is not looked at where all add the same.
    """
    new = _copy(state) if state is not None else WindowState()
    add_to(new, matches, settings)
    return new


def add_to(state: WindowState, matches: Iterable[Match], settings: WindowSettings) -> None:
    """Count matches in a state that is nobody else's: `add` without the copy."""
    counts_matches = settings.counts_matches
    for observation, sample in matches:
        _count(state, observation)
        if counts_matches:
            continue
        state.totals = state.totals or Totals()
        state.totals.add(sample)
        if not observation.is_late:
            state.on_time_totals = state.on_time_totals or Totals()
            state.on_time_totals.add(sample)
    state.value = _number(state, settings)
    state.is_late = _is_late(state, settings)


def _number(state: WindowState, settings: WindowSettings) -> float | None:
    if settings.counts_matches:
        return number_of_matches(state.count, settings)
    return (state.totals or Totals()).number(settings.statistic)


def _is_late(state: WindowState, settings: WindowSettings) -> bool:
    if settings.counts_matches:
        return not settings.is_breached_by(number_of_matches(state.on_time, settings))
    on_time = (state.on_time_totals or Totals()).number(settings.statistic)
    return state.on_time < state.count and not settings.is_breached_by(on_time)


def _copy(state: WindowState) -> WindowState:
    return WindowState(*(copy(getattr(state, field)) for field in state.__struct_fields__))


def _count(state: WindowState, observation: Observation) -> None:
    state.count += 1
    state.on_time += not observation.is_late
    state.first_event_time = min(state.first_event_time, observation.time)
    state.last_event_time = max(state.last_event_time, observation.time)
    if observation.delay is not None:
        state.delay = max(state.delay or 0.0, observation.delay)
    _tally(state, "event_names", observation.event_name)
    _tally(state, "actors", observation.actor)
    _tally(state, "source_ips", observation.source_ip)
    _tally(state, "regions", observation.region)
    _tally(state, "accounts", observation.account or UNKNOWN_ACCOUNT)
    rank = observation.time, observation.event_id
    _EVENT_IDS.keep(state.event_ids, state.last_event_ids, rank, lambda: rank)
    if not observation.record:
        return  # of many matches of a correlation only some keep their records
    _EVIDENCE.keep(
        state.evidence,
        state.last_evidence,
        (*rank, observation.account),
        lambda: Evidence(*rank, encoded_record(observation.record), observation.account),
    )


def _tally(state: WindowState, kind: str, name: str) -> None:
    if tally(getattr(state, kind), name) and kind not in state.sampled:
        state.sampled.append(kind)
        state.sampled.sort()


def _itself(item: tuple[float, str]) -> tuple[float, str]:
    return item


def _evidence_order(item: Evidence) -> tuple[float, str, str]:
    return item.order


_EVENT_IDS = Ends((MAX_EVENT_IDS, MAX_EVENT_IDS), _itself)
_EVIDENCE = Ends((FIRST_EVIDENCE, LAST_EVIDENCE), _evidence_order)
