"""Aligned windows: events counted by their own time, in periods that begin at whole multiples.

Everything here is a pure function of one key's state and what is added to it. The order in which
events are added, and how they are split over calls, does not change the state: sums commute, and
what is kept of a long list is always its smallest items.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Callable, Iterable, Mapping
from copy import copy
from typing import Any

import msgspec

MAX_NAMES = 50
"""Distinct values kept of each kind (actors, addresses, ...). More help nobody to read an alert;
a window's state stays some kilobytes even if an attacker makes up a name for each call."""

MAX_NAME_CHARACTERS = 512
"""Longer ones are cut: an assumed role's ARN has some 150."""

MAX_EVENT_IDS = 200
"""Event ids kept, those of the earliest events; the count stays exact."""

MAX_EVIDENCE = 5
"""Full records kept, those of the earliest events."""

MAX_EVIDENCE_BYTES = 24_000
"""A longer record loses its two free-form parts, so that five fit into an SNS message."""

GroupValue = str | int | float | bool | None


class WindowKey(msgspec.Struct, frozen=True):
    """What is counted apart: a rule, the values that it groups by, and a period of event time.

    `start` and `period` are in seconds; the window holds times from `start` up to, not including,
    `start + period`.
    """

    rule_id: str
    group: tuple[GroupValue, ...]
    start: int
    period: int

    @property
    def end(self) -> int:
        """The first second after the window."""
        return self.start + self.period


class Observation(msgspec.Struct, frozen=True):
    """What counting needs to know of one matched event. `time` is eventTime in seconds."""

    time: float
    event_id: str
    is_late: bool
    event_name: str
    actor: str
    source_ip: str
    region: str
    account: str
    record: Mapping[str, Any]


class Evidence(msgspec.Struct, frozen=True):
    """One record kept in full, with what orders it."""

    time: float
    event_id: str
    record: Mapping[str, Any]
    account: str = ""

    @property
    def order(self) -> tuple[float, str, str]:
        """Earliest first. An event id is unique within an account only."""
        return self.time, self.event_id, self.account


class WindowState(msgspec.Struct):
    """What is known of one key: exact totals, and a bounded part of the detail.

    `on_time` counts the events that were not late. `revision` is 0 until the threshold is crossed,
    then 1, and one more for each later addition.
    """

    count: int = 0
    on_time: int = 0
    revision: int = 0
    first_event_time: float = math.inf
    last_event_time: float = -math.inf
    event_names: dict[str, int] = {}
    actors: dict[str, int] = {}
    source_ips: dict[str, int] = {}
    regions: dict[str, int] = {}
    accounts: dict[str, int] = {}
    event_ids: list[tuple[float, str]] = []
    evidence: list[Evidence] = []


class Verdict(enum.Enum):
    """What an addition did to a window."""

    SILENT = "silent"
    RAISED = "raised"
    UPDATED = "updated"


def window_start(time: float, period: int) -> int:
    """Return the start of the window that a time falls into, in seconds since the epoch."""
    return math.floor(time / period) * period


def add(
    state: WindowState | None,
    observations: Iterable[Observation],
    is_crossed_by: Callable[[int], bool],
) -> tuple[WindowState, Verdict]:
    """Return the state with the observations counted, and whether that is news.

    The state passed in is not changed. Each observation must be of an event not counted before.
    """
    new = _copy(state) if state is not None else WindowState()
    before = new.count
    for observation in observations:
        _count(new, observation)
    if new.count == before or not is_crossed_by(new.count):
        return new, Verdict.SILENT
    new.revision += 1
    return new, Verdict.RAISED if new.revision == 1 else Verdict.UPDATED


def is_late(state: WindowState, is_crossed_by: Callable[[int], bool]) -> bool:
    """Return whether the window would have stayed silent without its late events."""
    return not is_crossed_by(state.on_time)


def _copy(state: WindowState) -> WindowState:
    return WindowState(*(copy(getattr(state, field)) for field in state.__struct_fields__))


def _count(state: WindowState, observation: Observation) -> None:
    state.count += 1
    state.on_time += not observation.is_late
    state.first_event_time = min(state.first_event_time, observation.time)
    state.last_event_time = max(state.last_event_time, observation.time)
    _tally(state.event_names, observation.event_name)
    _tally(state.actors, observation.actor)
    _tally(state.source_ips, observation.source_ip)
    _tally(state.regions, observation.region)
    _tally(state.accounts, observation.account)
    order = (observation.time, observation.event_id)
    if len(state.event_ids) < MAX_EVENT_IDS or order < state.event_ids[-1]:
        state.event_ids.append(order)
        state.event_ids.sort()
        del state.event_ids[MAX_EVENT_IDS:]
    if not observation.record:
        return  # of many matches of a correlation only some keep their records
    evidence = Evidence(*order, observation.record, observation.account)
    if len(state.evidence) < MAX_EVIDENCE or evidence.order < state.evidence[-1].order:
        bounded = msgspec.structs.replace(evidence, record=_bounded(observation.record))
        state.evidence.append(bounded)
        state.evidence.sort(key=lambda item: item.order)
        del state.evidence[MAX_EVIDENCE:]


def _tally(counts: dict[str, int], name: str) -> None:
    """Count a name; past the cap the greatest names go, so that what stays was always counted."""
    if not name:
        return
    name = name[:MAX_NAME_CHARACTERS]
    if name in counts or len(counts) < MAX_NAMES:
        counts[name] = counts.get(name, 0) + 1
        return
    greatest = max(counts)
    if name < greatest:
        del counts[greatest]
        counts[name] = 1


def _bounded(record: Mapping[str, Any]) -> Mapping[str, Any]:
    if len(msgspec.json.encode(record)) <= MAX_EVIDENCE_BYTES:
        return record
    cut = {
        key: value
        for key, value in record.items()
        if key not in {"requestParameters", "responseElements"}
    }
    if len(msgspec.json.encode(cut)) > MAX_EVIDENCE_BYTES:
        kept = ("eventTime", "eventSource", "eventName", "awsRegion", "eventID")
        cut = {key: str(cut[key])[:MAX_NAME_CHARACTERS] for key in kept if key in cut}
    return {**cut, "detectorTruncated": True}
